//! The kernel's configuration, as constants that the verifier knows.
//!
//! ```text
//!     extern unsigned long CONFIG_HZ __kconfig;       CONFIG_HZ=250                   250
//!     extern bool CONFIG_BPF_SYSCALL __kconfig;       CONFIG_BPF_SYSCALL=y            true
//!     extern enum libbpf_tristate CONFIG_X __kconfig; CONFIG_X=m                      TRI_MODULE (2)
//!     extern char CONFIG_LSM[64] __kconfig;           CONFIG_LSM="lockdown,yama"      that text, cut to fit
//!     extern int LINUX_KERNEL_VERSION __kconfig;      from the kernel itself, as are the other two LINUX_…
//! ```
//!
//! All constants are in one section, which becomes a frozen array, so that the verifier removes code that the
//! configuration makes unreachable. The configuration is read from `/proc/config.gz`, or else from
//! `/boot/config-RELEASE`. A constant may be missing there, because it is not set or the kernel has no such option. It
//! is then 0 if the extern is weak; otherwise linking a program that uses it fails.

use std::{
    io::Read,
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use cutaway_sys::file;

use super::{
    externs::{Externs, Value, refused},
    gzip, kallsyms,
};
use crate::{
    Error,
    features::{self, Support},
    object::{Contents, Extern, config_size},
    sorted::{Sorted, sort},
    sys::process,
};

/// The extern that says whether system calls have wrapper functions.
const HAS_SYSCALL_WRAPPER: &str = "LINUX_HAS_SYSCALL_WRAPPER";
/// The configuration option for it, since Linux 4.17. Reading the configuration takes a hundredth of the time that the
/// kernel's symbols take.
const ARCH_HAS_SYSCALL_WRAPPER: &str = "CONFIG_ARCH_HAS_SYSCALL_WRAPPER";
/// A kernel with such wrappers has one of these functions.
const WRAPPED: &[&str] = if cfg!(target_arch = "x86_64") {
    &["__x64_sys_bpf"]
} else if cfg!(target_arch = "aarch64") {
    &["__arm64_sys_bpf"]
} else if cfg!(target_arch = "s390x") {
    &["__s390x_sys_bpf"]
} else if cfg!(target_arch = "riscv64") {
    &["__riscv_sys_bpf"]
} else {
    &[]
};

/// Fills the section of constants. `own` is the caller's configuration text; it overrides the kernel's configuration,
/// which is read only if the kernel is the `running` one.
pub(super) fn fill(externs: &[Extern], own: &str, running: bool, found_all: &mut Externs) {
    let slots = || externs.iter().filter_map(|known| Some((known, known.slot.as_ref()?)));
    let size = config_size(externs) as usize;
    if size == 0 {
        return;
    }
    let names = slots().filter_map(|(known, _)| match known.name.as_str() {
        HAS_SYSCALL_WRAPPER => (!is_known_to_wrap(own, running)).then_some(ARCH_HAS_SYSCALL_WRAPPER),
        name => name.starts_with("CONFIG_").then_some(name),
    });
    let mut values = Values::of(names);
    let _ = values.take(own.as_bytes());
    let mut unreadable = None;
    if !values.is_complete() {
        let completed = if running { kernels_own(&values) } else { Err(NO_KERNEL.to_owned()) };
        match completed {
            Ok(completed) => values = completed,
            Err(why) => unreadable = Some(why),
        }
    }
    let mut section = vec![0; size];
    for (known, slot) in slots() {
        let found = match values.get(&known.name) {
            Some(Some(text)) => Ok(slot.write(text)),
            Some(None) => Err(match &unreadable {
                Some(why) => why.clone(),
                None => "the kernel's configuration does not set it".to_owned(),
            }),
            None => about_linux(&known.name, &values, own, running).map(|value| {
                slot.number(value).ok_or_else(|| format!("its value is {value}, which does not fit into {slot}"))
            }),
        };
        let value = match found {
            Ok(Ok(bytes)) => match section.get_mut(slot.offset as usize..slot.end() as usize) {
                Some(into) if into.len() == bytes.len() => {
                    into.copy_from_slice(&bytes);
                    Value::Constant(slot.offset)
                }
                _ => Value::Refused(Error::bug("a constant lies outside .kconfig").to_string()),
            },
            // A missing constant is 0, as the section is initially.
            Err(why) if known.weak => {
                log::debug!("the extern `{}` is weak, and stays 0: {why}", known.name);
                Value::Constant(slot.offset)
            }
            Ok(Err(why)) | Err(why) => refused(known, &why),
        };
        found_all.push(known, value);
    }
    found_all.config = Some(Contents::new(section.into(), true));
}

const NO_KERNEL: &str = "there is no running kernel to ask";

/// Set when the running kernel was found to wrap system calls, which does not change. Reading its configuration takes
/// longer than loading a small object. A negative result is not kept, since the files may have been unreadable.
static SEEN_WRAPPED: AtomicBool = AtomicBool::new(false);

/// Returns whether the running kernel is known to wrap system calls. With a configuration text of the caller,
/// `SEEN_WRAPPED` is neither used nor set: that text is valid for one object only.
fn is_known_to_wrap(own: &str, running: bool) -> bool {
    // ATOMICS: pairs with the store in `about_linux`.
    running && own.is_empty() && SEEN_WRAPPED.load(Ordering::Relaxed)
}

/// Returns the value of a constant that does not come from the configuration.
fn about_linux(name: &str, values: &Values<'_>, own: &str, running: bool) -> Result<i128, String> {
    if !running {
        return Err(NO_KERNEL.to_owned());
    }
    match name {
        "LINUX_KERNEL_VERSION" => Ok(process::kernel_version().map_err(|error| error.to_string())?.into()),
        "LINUX_HAS_BPF_COOKIE" => Ok(Support::probed_or_since(features::attach_cookie, 5, 15).is_yes().into()),
        HAS_SYSCALL_WRAPPER => {
            let configured = || values.get(ARCH_HAS_SYSCALL_WRAPPER) == Some(Some("y"));
            let wrapped = is_known_to_wrap(own, running) || configured() || kallsyms::has_one_of(WRAPPED);
            // ATOMICS: pairs with the load in `is_known_to_wrap`; nothing but the flag passes from thread to thread.
            SEEN_WRAPPED.fetch_or(wrapped && own.is_empty(), Ordering::Relaxed);
            Ok(wrapped.into())
        }
        _ => Err("unknown constant: there are CONFIG_…, LINUX_KERNEL_VERSION, LINUX_HAS_BPF_COOKIE, \
                  LINUX_HAS_SYSCALL_WRAPPER"
            .to_owned()),
    }
}

/// The requested values as text.
#[derive(Clone)]
struct Values<'n> {
    found: Sorted<&'n [u8], Option<String>>,
    /// The number of values that are missing.
    missing: usize,
    /// A bit for each length of a requested name, which excludes nearly all lines.
    lengths: u64,
}

impl<'n> Values<'n> {
    fn of(names: impl Iterator<Item = &'n str>) -> Self {
        let mut names: Vec<_> = names.map(|name| (name.as_bytes(), None)).collect();
        sort(&mut names, |(one, _), (other, _)| one.cmp(other));
        names.dedup_by_key(|(name, _)| *name);
        let lengths = names.iter().fold(0, |lengths, (name, _)| lengths | bit(name));
        Self { missing: names.len(), lengths, found: Sorted::in_order(names) }
    }

    fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Returns the value of a requested constant, if it was found.
    fn get(&self, name: &str) -> Option<Option<&str>> {
        self.found.get(name.as_bytes()).map(Option::as_deref)
    }

    /// Reads missing values from whole lines; breaks when none is missing. If several lines set the same name, the
    /// first counts.
    fn take(&mut self, lines: &[u8]) -> ControlFlow<()> {
        for line in lines.split(|&byte| byte == b'\n') {
            if self.is_complete() {
                return ControlFlow::Break(());
            }
            let line = line.trim_ascii();
            if !line.starts_with(b"CONFIG_") {
                continue;
            }
            let Some(end) = line.iter().position(|&byte| byte == b'=') else { continue };
            let Some((name, value)) = line.split_at_checked(end) else { continue };
            if self.lengths & bit(name) == 0 {
                continue;
            }
            if let Some(found @ None) = self.found.get_mut(name) {
                let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
                *found = Some(String::from_utf8_lossy(value).into_owned());
                self.missing -= 1;
            }
        }
        if self.is_complete() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Returns the bit of a name's length.
fn bit(name: &[u8]) -> u64 {
    1 << (name.len() % 64)
}

/// Returns the values, completed from the running kernel's configuration.
fn kernels_own<'n>(values: &Values<'n>) -> Result<Values<'n>, String> {
    /// A kernel with all options has 300 kB.
    const MOST: usize = 16 << 20;
    let why = "the kernel's configuration: the program uses constants of it";
    let read = |path: &Path| {
        let file = file::open(path, why)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len()).min(MOST as u64);
        // One more byte of capacity, so that the read that finds the end does not grow the vector.
        let mut bytes = Vec::with_capacity(length as usize + 1);
        file.take(MOST as u64).read_to_end(&mut bytes).map(|_| bytes)
    };
    let packed = Path::new("/proc/config.gz");
    let first = match read(packed) {
        Ok(bytes) => {
            let mut completed = values.clone();
            match gzip::unpack(&bytes, MOST, &mut |lines| completed.take(lines)) {
                Ok(_) => return Ok(completed),
                Err(why) => format!("{} is broken: {why}", packed.display()),
            }
        }
        Err(error) => format!("{} cannot be read: {error}", packed.display()),
    };
    let release = process::release().map_err(|error| error.to_string())?;
    let plain = format!("/boot/config-{release}");
    match read(Path::new(&plain)) {
        Ok(bytes) => {
            let mut completed = values.clone();
            let _ = completed.take(&bytes);
            Ok(completed)
        }
        Err(error) => Err(format!("the kernel's configuration cannot be read: {first}; {plain}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_that_sets_a_value_counts() {
        let text = b"# CONFIG_A=1\nCONFIG_A=2\nCONFIG_A=3\n\nCONFIG_B =4\n CONFIG_C=\"=\"\nCONFIG_AB=5\n";
        let mut values = Values::of(["CONFIG_B", "CONFIG_A", "CONFIG_C"].into_iter());
        assert!(values.take(text).is_continue());
        assert_eq!(
            ["CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_AB"].map(|name| values.get(name)),
            [Some(Some("2")), Some(None), Some(Some("\"=\"")), None]
        );
    }

    #[test]
    fn configuration_of_the_caller_is_not_remembered() {
        let own = "CONFIG_ARCH_HAS_SYSCALL_WRAPPER=y";
        let mut values = Values::of([ARCH_HAS_SYSCALL_WRAPPER].into_iter());
        assert!(values.take(own.as_bytes()).is_break());
        let before = SEEN_WRAPPED.load(Ordering::Relaxed);
        assert_eq!(about_linux(HAS_SYSCALL_WRAPPER, &values, own, true), Ok(1));
        assert_eq!(SEEN_WRAPPED.load(Ordering::Relaxed), before);
        SEEN_WRAPPED.store(true, Ordering::Relaxed);
        assert_eq!(
            [(own, true), ("", false), ("", true)].map(|(own, run)| is_known_to_wrap(own, run)),
            [false, false, true]
        );
        SEEN_WRAPPED.store(before, Ordering::Relaxed);
    }

    #[test]
    fn reading_ends_when_all_values_are_found() {
        let mut values = Values::of(["CONFIG_A", "CONFIG_B", "CONFIG_A"].into_iter());
        assert!(values.take(b"CONFIG_A=1\n").is_continue());
        assert!(values.take(b"CONFIG_B=\nCONFIG_A=2\n").is_break());
        assert_eq!((values.get("CONFIG_A"), values.get("CONFIG_B")), (Some(Some("1")), Some(Some(""))));
        assert!(Values::of(std::iter::empty()).take(b"").is_break());
    }
}
