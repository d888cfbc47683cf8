//! The kernel's configuration, as constants that the verifier knows.
//!
//! ```text
//!     extern unsigned long CONFIG_HZ __kconfig;       CONFIG_HZ=250                   250
//!     extern bool CONFIG_BPF_SYSCALL __kconfig;       CONFIG_BPF_SYSCALL=y            true
//!     extern enum libbpf_tristate CONFIG_X __kconfig; CONFIG_X=m                      TRI_MODULE (2)
//!     extern char CONFIG_LSM[64] __kconfig;           CONFIG_LSM="lockdown,yama"      that text, cut to fit
//!     extern int LINUX_KERNEL_VERSION __kconfig;      asked of the kernel itself, as are the other two LINUX_…
//! ```
//!
//! All of them lie side by side in one section, which becomes an array that is frozen, so that the verifier leaves out what
//! the configuration makes unreachable. The text is that of `/proc/config.gz`, or else of `/boot/config-RELEASE`; what is
//! not in it, because it is not set or the kernel has no such choice, is 0 if the extern is weak, and missed if it is not.

use std::{
    io::Read,
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Extern, Resolved, Value, gzip, kallsyms};
use crate::{
    Error,
    btf::{Btf, Kind, Type},
    object::Contents,
    probe,
    sorted::{Sorted, sort},
    sys::{file, process},
};

/// Where in the section a constant lies, and how it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    form: Form,
    pub(super) offset: u32,
    /// Bytes.
    size: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bool,
    /// One byte: a small number, or one of `y`, `m` and `n`.
    Char,
    /// `enum libbpf_tristate`
    Tristate,
    Integer {
        signed: bool,
    },
    /// An array of characters.
    Text,
}

/// The longest section of constants that anybody means. (A name in the kernel's configuration takes 40 bytes.)
const LONGEST: u32 = 1 << 20;

/// The extern that tells whether system calls are wrapped.
const HAS_SYSCALL_WRAPPER: &str = "LINUX_HAS_SYSCALL_WRAPPER";
/// The choice by which they are, since Linux 4.17. The kernel's configuration is read a hundred times as quickly as its
/// symbols.
const ARCH_HAS_SYSCALL_WRAPPER: &str = "CONFIG_ARCH_HAS_SYSCALL_WRAPPER";
/// Where they are, the kernel has one of these functions.
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

impl Slot {
    /// How a constant of this type is written; its place comes later.
    pub(super) fn of(btf: &Btf<'_>, ty: Type<'_>) -> Option<Self> {
        let is_char = |ty: Type<'_>| ty.size() == 1 && ty.int().is_some_and(|int| !int.bool);
        let (form, size) = match ty.kind() {
            Kind::Int => match (ty.int()?, ty.size()) {
                (int, size) if int.bool => (size == 1).then_some((Form::Bool, 1))?,
                (_, 1) => (Form::Char, 1),
                (int, size @ (2 | 4 | 8)) => (Form::Integer { signed: int.signed }, size),
                _ => return None,
            },
            Kind::Enum | Kind::Enum64 if ty.size() == 4 && ty.name_bytes() == b"libbpf_tristate" => (Form::Tristate, 4),
            Kind::Array => {
                let array = ty.array().filter(|array| array.len != 0)?;
                btf.resolve(array.element).filter(|&element| is_char(element))?;
                (Form::Text, array.len)
            }
            _ => return None,
        };
        Some(Self { form, offset: 0, size })
    }

    fn align(&self) -> u32 {
        if self.form == Form::Text { 1 } else { self.size }
    }

    /// Where it lies, and how many bytes it has.
    pub(super) fn place(&self) -> (u32, u32) {
        (self.offset, self.size)
    }

    /// The first byte behind it.
    pub(super) fn end(&self) -> u32 {
        self.offset.saturating_add(self.size)
    }

    /// The constant as it is in memory, from the text that the configuration has for it.
    fn write(&self, text: &str) -> Result<Vec<u8>, String> {
        let unfit = || format!("the kernel's configuration has {text}, which does not fit into {self}");
        let number = match (self.form, text) {
            (Form::Text, _) => {
                let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(unfit)?;
                // As strncpy with room for the NUL: what is too long is cut.
                let room = self.size as usize;
                let mut bytes: Vec<u8> = text.bytes().take(room.saturating_sub(1)).collect();
                if bytes.len() < text.len() {
                    log::warn!("{text:?} is cut to {} bytes, since it has to fit into {self}", bytes.len());
                }
                bytes.resize(room, 0);
                return Ok(bytes);
            }
            (Form::Bool, "y") | (Form::Tristate, "y") => 1,
            (Form::Bool, "n") | (Form::Tristate, "n") => 0,
            (Form::Tristate, "m") => 2,
            (Form::Char, "y" | "m" | "n") => text.bytes().next().map_or(0, i128::from),
            (Form::Integer { .. } | Form::Char, _) => number(text).ok_or_else(unfit)?,
            (Form::Bool | Form::Tristate, _) => return Err(unfit()),
        };
        self.number(number).ok_or_else(unfit)
    }

    /// A number as it is in memory, if it fits.
    fn number(&self, number: i128) -> Option<Vec<u8>> {
        let bits = self.size * 8;
        let fits = match self.form {
            // The sign of all 64 bits is nobody's business: the configuration writes addresses, too.
            Form::Integer { .. } if bits == 64 => (-(1 << 63)..1 << 64).contains(&number),
            Form::Integer { signed: true } => (-(1 << (bits - 1))..1 << (bits - 1)).contains(&number),
            Form::Integer { signed: false } | Form::Tristate | Form::Bool => (0..1 << bits).contains(&number),
            Form::Char => (-128..256).contains(&number),
            Form::Text => false,
        };
        let bytes = (number as u64).to_le_bytes();
        let mut bytes = bytes.get(..self.size as usize)?.to_vec();
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
        fits.then_some(bytes)
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.form {
            Form::Bool => f.write_str("a bool"),
            Form::Char => f.write_str("a char"),
            Form::Tristate => f.write_str("an enum libbpf_tristate"),
            Form::Integer { signed: true } => write!(f, "a signed integer of {} bits", self.size * 8),
            Form::Integer { signed: false } => write!(f, "an unsigned integer of {} bits", self.size * 8),
            Form::Text => write!(f, "a char[{}]", self.size),
        }
    }
}

/// A number as C writes it: decimal, hexadecimal or octal.
fn number(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let magnitude = if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hexadecimal, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    let magnitude = i128::from(magnitude.ok()?);
    Some(if negative { -magnitude } else { magnitude })
}

/// Gives each constant its place, those with the widest alignment first.
pub(super) fn lay_out(externs: &mut [Extern]) -> Result<(), Error> {
    let mut slots: Vec<_> = externs.iter_mut().filter_map(|known| Some((&known.name, known.slot.as_mut()?))).collect();
    sort(&mut slots, |(one, a), (other, b)| (b.align(), a.size, one).cmp(&(a.align(), b.size, other)));
    let mut end = 0_u32;
    for (name, slot) in slots {
        slot.offset = end.next_multiple_of(slot.align().max(1));
        end = slot.end();
        if end > LONGEST {
            let why = format!("with `{name}`, its constants of the kernel's configuration take {end} bytes");
            return Err(Error::Object { why });
        }
    }
    Ok(())
}

/// Writes the section of constants. `own` is what the user says, and counts before what the kernel says, which is only asked if
/// it is the one that is `running`.
pub(super) fn fill(externs: &[Extern], own: &str, running: bool, resolved: &mut Resolved) {
    let slots = || externs.iter().filter_map(|known| Some((known, known.slot.as_ref()?)));
    let size = super::config_size(externs) as usize;
    if size == 0 {
        return;
    }
    let names = slots().filter_map(|(known, _)| match known.name.as_str() {
        HAS_SYSCALL_WRAPPER => (!is_known_wrapped(own, running)).then_some(ARCH_HAS_SYSCALL_WRAPPER),
        name => name.starts_with("CONFIG_").then_some(name),
    });
    let mut values = Values::of(names);
    let _ = values.take(own.as_bytes());
    let mut unreadable = None;
    if !values.is_complete() {
        let told = if running { kernels_own(&values) } else { Err(NO_KERNEL.to_owned()) };
        match told {
            Ok(told) => values = told,
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
            Ok(Ok(bytes)) => {
                if let Some(place) = section.get_mut(slot.offset as usize..slot.end() as usize) {
                    place.copy_from_slice(&bytes);
                }
                Value::Place(slot.offset)
            }
            // One that is missing is 0, as all of the section is until now.
            Err(why) if known.weak => {
                log::debug!("the extern `{}` is weak, and stays 0: {why}", known.name);
                Value::Place(slot.offset)
            }
            Ok(Err(why)) | Err(why) => known.refused(&why),
        };
        resolved.values.push((known.symbol, value));
    }
    resolved.config = Some(Contents::new(section.into(), true));
}

const NO_KERNEL: &str = "there is no running kernel to ask";

/// Whether an earlier object has found that the running kernel wraps system calls, for the kernel does not change:
/// reading its configuration takes longer than loading a small object. That it does not wrap them is asked anew, since
/// the files may have been out of reach.
static SEEN_WRAPPED: AtomicBool = AtomicBool::new(false);

/// What the user says of a kernel counts for that object alone: it is neither overruled by what is remembered, nor
/// remembered.
fn is_known_wrapped(own: &str, running: bool) -> bool {
    // ATOMICS: pairs with the store in `about_linux`.
    running && own.is_empty() && SEEN_WRAPPED.load(Ordering::Relaxed)
}

/// What is not configuration, but asked of the kernel.
fn about_linux(name: &str, values: &Values<'_>, own: &str, running: bool) -> Result<i128, String> {
    if !running {
        return Err(NO_KERNEL.to_owned());
    }
    match name {
        "LINUX_KERNEL_VERSION" => Ok(process::kernel_version().map_err(|error| error.to_string())?.into()),
        "LINUX_HAS_BPF_COOKIE" => Ok(probe::attach_cookie().is_yes().into()),
        HAS_SYSCALL_WRAPPER => {
            let configured = || values.get(ARCH_HAS_SYSCALL_WRAPPER) == Some(Some("y"));
            let wrapped = is_known_wrapped(own, running) || configured() || kallsyms::has_one_of(WRAPPED);
            // ATOMICS: pairs with the load in `is_known_wrapped`; nothing but the flag passes from thread to thread.
            SEEN_WRAPPED.fetch_or(wrapped && own.is_empty(), Ordering::Relaxed);
            Ok(wrapped.into())
        }
        _ => Err("it is none of the constants that there are: CONFIG_…, LINUX_KERNEL_VERSION, LINUX_HAS_BPF_COOKIE, \
                  LINUX_HAS_SYSCALL_WRAPPER"
            .to_owned()),
    }
}

/// The values that are wanted, as texts.
#[derive(Clone)]
struct Values<'n> {
    found: Sorted<&'n [u8], Option<String>>,
    /// How many have none yet.
    missing: usize,
    /// A bit for each length of a name that is wanted: nearly all lines are of no interest.
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

    /// The value of a constant that is wanted, if it was found.
    fn get(&self, name: &str) -> Option<Option<&str>> {
        self.found.get(name.as_bytes()).map(Option::as_deref)
    }

    /// Takes those values from whole lines that have none yet, and breaks off when all have one. Of two lines for one name the
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
            if let Some(place @ None) = self.found.get_mut(name) {
                let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
                *place = Some(String::from_utf8_lossy(value).into_owned());
                self.missing -= 1;
            }
        }
        if self.is_complete() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The bit of a name's length.
fn bit(name: &[u8]) -> u64 {
    1 << (name.len() % 64)
}

/// The values with those that the running kernel's configuration has.
fn kernels_own<'n>(values: &Values<'n>) -> Result<Values<'n>, String> {
    /// A kernel with everything has 300 kB.
    const MOST: usize = 16 << 20;
    let why = "the kernel's configuration, of which the program wants some constants";
    let read = |path: &Path| {
        let file = file::open(path, why)?;
        let length = file.metadata().map_or(0, |metadata| metadata.len()).min(MOST as u64);
        // One byte more shows that there is no more.
        let mut bytes = Vec::with_capacity(length as usize + 1);
        file.take(MOST as u64).read_to_end(&mut bytes).map(|_| bytes)
    };
    let packed = Path::new("/proc/config.gz");
    let first = match read(packed) {
        Ok(bytes) => {
            let mut told = values.clone();
            match gzip::unpack(&bytes, MOST, &mut |lines| told.take(lines)) {
                Ok(_) => return Ok(told),
                Err(why) => format!("{} is broken: {why}", packed.display()),
            }
        }
        Err(error) => format!("{} cannot be read: {error}", packed.display()),
    };
    let release = process::release().map_err(|error| error.to_string())?;
    let plain = format!("/boot/config-{release}");
    match read(Path::new(&plain)) {
        Ok(bytes) => {
            let mut told = values.clone();
            let _ = told.take(&bytes);
            Ok(told)
        }
        Err(error) => Err(format!("the kernel's configuration is not to be had: {first}; {plain}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(form: Form, size: u32) -> Slot {
        Slot { form, offset: 0, size }
    }

    const SIGNED: Form = Form::Integer { signed: true };
    const UNSIGNED: Form = Form::Integer { signed: false };

    #[test]
    fn each_form_takes_what_it_can_hold() {
        let number = |bytes: Vec<u8>| bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        for (form, size, text, expected) in [
            (Form::Bool, 1, "y", Some(1)),
            (Form::Bool, 1, "n", Some(0)),
            (Form::Bool, 1, "m", None),
            (Form::Bool, 1, "1", None),
            (Form::Tristate, 4, "m", Some(2)),
            (Form::Tristate, 4, "y", Some(1)),
            (Form::Tristate, 4, "2", None),
            (Form::Char, 1, "m", Some(u64::from(b'm'))),
            (Form::Char, 1, "200", Some(200)),
            (Form::Char, 1, "256", None),
            (UNSIGNED, 4, "250", Some(250)),
            (UNSIGNED, 4, "-1", None),
            (SIGNED, 4, "-1", Some(0xffff_ffff)),
            (SIGNED, 4, "0x80000000", None),
            (UNSIGNED, 4, "0x80000000", Some(0x8000_0000)),
            (UNSIGNED, 4, "0x100000000", None),
            (SIGNED, 8, "0xffffffff81000000", Some(0xffff_ffff_8100_0000)),
            (UNSIGNED, 2, "010", Some(8)),
            (UNSIGNED, 4, "y", None),
            (UNSIGNED, 4, "\"3\"", None),
            (UNSIGNED, 4, "", None),
        ] {
            assert_eq!(slot(form, size).write(text).ok().map(number), expected, "{form:?} of {size}: {text}");
        }
    }

    #[test]
    fn texts_are_cut_to_fit_and_always_end() {
        let text = |size, text| slot(Form::Text, size).write(text);
        assert_eq!(text(8, "\"abc\"").unwrap(), b"abc\0\0\0\0\0");
        assert_eq!(text(4, "\"abcdef\"").unwrap(), b"abc\0");
        assert_eq!(text(1, "\"abcdef\"").unwrap(), b"\0");
        assert_eq!(text(4, "\"\"").unwrap(), b"\0\0\0\0");
        for wrong in ["y", "12", "\"abc", "\""] {
            let error = text(8, wrong).unwrap_err();
            assert!(error.contains(wrong) && error.contains("a char[8]"), "{error}");
        }
    }

    #[test]
    fn the_first_line_that_sets_a_value_counts() {
        let text = b"# CONFIG_A=1\nCONFIG_A=2\nCONFIG_A=3\n\nCONFIG_B =4\n CONFIG_C=\"=\"\nCONFIG_AB=5\n";
        let mut values = Values::of(["CONFIG_B", "CONFIG_A", "CONFIG_C"].into_iter());
        assert!(values.take(text).is_continue());
        assert_eq!(
            ["CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_AB"].map(|name| values.get(name)),
            [Some(Some("2")), Some(None), Some(Some("\"=\"")), None]
        );
    }

    #[test]
    fn what_the_user_says_is_not_remembered_of_the_kernel() {
        let own = "CONFIG_ARCH_HAS_SYSCALL_WRAPPER=y";
        let mut values = Values::of([ARCH_HAS_SYSCALL_WRAPPER].into_iter());
        assert!(values.take(own.as_bytes()).is_break());
        let before = SEEN_WRAPPED.load(Ordering::Relaxed);
        assert_eq!(about_linux(HAS_SYSCALL_WRAPPER, &values, own, true), Ok(1));
        assert_eq!(SEEN_WRAPPED.load(Ordering::Relaxed), before);
        SEEN_WRAPPED.store(true, Ordering::Relaxed);
        assert_eq!(
            [(own, true), ("", false), ("", true)].map(|(own, run)| is_known_wrapped(own, run)),
            [false, false, true]
        );
        SEEN_WRAPPED.store(before, Ordering::Relaxed);
    }

    #[test]
    fn reading_ends_when_all_values_were_found() {
        let mut values = Values::of(["CONFIG_A", "CONFIG_B", "CONFIG_A"].into_iter());
        assert!(values.take(b"CONFIG_A=1\n").is_continue());
        assert!(values.take(b"CONFIG_B=\nCONFIG_A=2\n").is_break());
        assert_eq!((values.get("CONFIG_A"), values.get("CONFIG_B")), (Some(Some("1")), Some(Some(""))));
        assert!(Values::of(std::iter::empty()).take(b"").is_break());
    }
}
