//! The license: what the object says, and whether the kernel counts it as GPL-compatible.

use std::ffi::{CStr, CString};

use crate::{Error, btf::shown, elf::Elf};

/// Reads the license, a C string. Empty if the section holds a pointer, whose bytes are not text.
pub(super) fn read(elf: &Elf) -> Result<CString, Error> {
    if has_pointer(elf) {
        return Ok(CString::default());
    }
    let text = elf.contents("license").split(|&byte| byte == 0).next().unwrap_or_default();
    CString::new(text).map_err(|_| Error::bug("text up to a NUL holds a NUL"))
}

/// Returns whether the license section holds a pointer.
pub(super) fn has_pointer(elf: &Elf) -> bool {
    cfg!(feature = "advice")
        && elf
            .position(b"license")
            .is_some_and(|license| elf.addresses().iter().any(|(section, _)| *section == license))
}

/// Returns why the kernel does not take the object's license for GPL; `None` if it does.
pub(super) fn fault_of(elf: &Elf, license: &CStr) -> Option<String> {
    if !cfg!(feature = "advice") {
        return None;
    }
    fault(elf.position(b"license").is_some(), has_pointer(elf), license)
}

/// As [`fault_of`], for an object that comes without its file.
#[cfg(feature = "aya-obj")]
pub(super) fn fault_of_text(license: &CStr) -> Option<String> {
    if cfg!(feature = "advice") { fault(true, false, license) } else { None }
}

/// Returns why the kernel does not take a license for GPL (`license_is_gpl_compatible` in `include/linux/license.h`).
fn fault(is_there: bool, is_pointer: bool, license: &CStr) -> Option<String> {
    const TAKEN: [&str; 6] =
        ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
    let bytes = license.to_bytes();
    if TAKEN.iter().any(|taken| taken.as_bytes() == bytes) {
        return None;
    }
    Some(if !is_there {
        "the object has no section `license`: add `char LICENSE[] SEC(\"license\") = \"GPL\";`".to_owned()
    } else if is_pointer {
        "the license is a pointer, not text: declare it as `char LICENSE[]`".to_owned()
    } else if bytes.is_empty() {
        "the section `license` is empty: write `GPL` there".to_owned()
    } else {
        // Names one of the six only, so that the message stays on one or two lines of a terminal.
        format!("the kernel does not take the license `{}` for GPL: write `GPL`", shown(bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn license_is_judged_as_the_kernel_does() {
        for taken in
            [c"GPL", c"GPL v2", c"GPL and additional rights", c"Dual BSD/GPL", c"Dual MIT/GPL", c"Dual MPL/GPL"]
        {
            assert_eq!(fault(true, false, taken), None, "{taken:?}");
        }
        for (is_there, is_pointer, license, part) in [
            (false, false, c"", "no section `license`"),
            (true, true, c"", "is a pointer"),
            (true, false, c"", "is empty"),
            (true, false, c"GPLv2", "does not take the license `GPLv2`"),
            (true, false, c"gpl", "does not take the license `gpl`"),
            (true, false, c"GPL-2.0", "does not take the license `GPL-2.0`"),
            (true, false, c"Proprietary", "does not take the license `Proprietary`"),
        ] {
            let why = fault(is_there, is_pointer, license).unwrap();
            assert!(why.contains(part), "{why}");
        }
    }
}
