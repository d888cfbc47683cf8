//! The names of numbers in bpf(2)'s structures (`include/uapi/linux/bpf.h`), for the log.
//!
//! The names of a number depend on its field; the kernel uses few names in two fields.
//!
//! Each list of names is one string. In an array of strings, each would take 40 more bytes: its address, its length and
//! the dynamic relocation of the address.

use std::{
    ffi::{CStr, OsStr},
    fmt,
    os::unix::ffi::OsStrExt,
};

use cutaway_sys::names::nth;

use log::kv;

/// Returns the name of a number in this field; `None` for a plain number, or one that is unknown to this crate.
pub(super) fn of(field: &str, number: u32) -> Option<&'static str> {
    let names = match (field, number) {
        ("kprobe_multi_flags", 1) => return Some("BPF_F_KPROBE_MULTI_RETURN"),
        ("uprobe_multi_flags", 1) => return Some("BPF_F_UPROBE_MULTI_RETURN"),
        ("uprobe_multi_flags", 2) => return Some("BPF_F_UPROBE_MULTI_PATH_FD"),
        ("uprobe_multi_flags", 3) => return Some("BPF_F_UPROBE_MULTI_RETURN|BPF_F_UPROBE_MULTI_PATH_FD"),
        ("query_flags", 1) => return Some("BPF_F_QUERY_EFFECTIVE"),
        ("netfilter_flags", 1) => return Some("BPF_F_NETFILTER_IP_DEFRAG"),
        ("test_flags", 1) if cfg!(feature = "advice") => return Some("BPF_F_TEST_RUN_ON_CPU"),
        ("test_flags", 2) if cfg!(feature = "advice") => return Some("BPF_F_TEST_XDP_LIVE_FRAMES"),
        ("test_flags", 4) if cfg!(feature = "advice") => return Some("BPF_F_TEST_SKB_CHECKSUM_COMPLETE"),
        ("stream_id", 1) if cfg!(feature = "advice") => return Some("BPF_STDOUT"),
        ("stream_id", 2) if cfg!(feature = "advice") => return Some("BPF_STDERR"),
        ("pf", 2) => return Some("NFPROTO_IPV4"),
        ("pf", 10) => return Some("NFPROTO_IPV6"),
        ("btf_flags", 0x1_0000) if cfg!(feature = "token") => return Some("BPF_F_TOKEN_FD"),
        ("hooknum", _) => HOOKS,
        _ => "",
    };
    nth(names, number as usize)
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident: $names:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq)]
        #[repr(transparent)]
        pub(crate) struct $name(pub(crate) u32);

        /// Writes the names, separated by bars, and the bits without a name as a number.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_flags(self.0, $names, f)
            }
        }
    )*};
}

flags! {
    /// Flags of `BPF_MAP_CREATE`.
    MapFlagBits: MAP_FLAGS;
    /// Flags of `BPF_PROG_LOAD`.
    ProgFlagBits: PROG_FLAGS;
    /// Flags of `BPF_PROG_ATTACH`, `BPF_LINK_CREATE` and `BPF_LINK_UPDATE`.
    AttachFlagBits: ATTACH_FLAGS;
    /// Flags of `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
    ObjFlagBits: MAP_FLAGS;
}

fn write_flags(number: u32, names: &'static str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    /// The bit of `BPF_F_TOKEN_FD` is the same for maps and programs.
    const TOKEN_FD: usize = 16;
    let (mut rest, mut bar) = (number, "");
    for bit in (0..32).filter(|bit| number >> bit & 1 == 1) {
        let is_token = cfg!(feature = "token") && bit == TOKEN_FD;
        let Some(name) = (if is_token { Some("BPF_F_TOKEN_FD") } else { nth(names, bit) }) else { continue };
        write!(f, "{bar}{name}")?;
        (rest, bar) = (rest & !(1 << bit), "|");
    }
    if rest == 0 && !bar.is_empty() { Ok(()) } else { write!(f, "{bar}{rest:#x}") }
}

/// `enum nf_inet_hooks`
const HOOKS: &str = "\
    NF_INET_PRE_ROUTING NF_INET_LOCAL_IN NF_INET_FORWARD NF_INET_LOCAL_OUT NF_INET_POST_ROUTING";

/// Flags of `BPF_MAP_CREATE`, by bit.
const MAP_FLAGS: &str = "\
    BPF_F_NO_PREALLOC BPF_F_NO_COMMON_LRU BPF_F_NUMA_NODE BPF_F_RDONLY BPF_F_WRONLY BPF_F_STACK_BUILD_ID \
    BPF_F_ZERO_SEED BPF_F_RDONLY_PROG BPF_F_WRONLY_PROG BPF_F_CLONE BPF_F_MMAPABLE BPF_F_PRESERVE_ELEMS \
    BPF_F_INNER_MAP BPF_F_LINK BPF_F_PATH_FD BPF_F_VTYPE_BTF_OBJ_FD BPF_F_TOKEN_FD BPF_F_SEGV_ON_FAULT \
    BPF_F_NO_USER_CONV BPF_F_RB_OVERWRITE";

/// Flags of `BPF_PROG_LOAD`, by bit.
const PROG_FLAGS: &str = "\
    BPF_F_STRICT_ALIGNMENT BPF_F_ANY_ALIGNMENT BPF_F_TEST_RND_HI32 BPF_F_TEST_STATE_FREQ BPF_F_SLEEPABLE \
    BPF_F_XDP_HAS_FRAGS - BPF_F_TEST_REG_INVARIANTS";

/// Flags of `BPF_PROG_ATTACH`, by bit; `BPF_F_LINK` is also a flag of maps.
const ATTACH_FLAGS: &str = "\
    BPF_F_ALLOW_OVERRIDE BPF_F_ALLOW_MULTI BPF_F_REPLACE BPF_F_BEFORE BPF_F_AFTER BPF_F_ID BPF_F_PREORDER - - - - - - \
    BPF_F_LINK";

/// The strings or bytes to log in place of addresses, by field.
pub(super) type LoggedAs<'a> = &'a [(&'static str, &'a dyn fmt::Display)];

/// Bytes in hexadecimal; only the first ones if there are many.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 32;
        f.write_str("[")?;
        self.0.iter().take(SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        let more = self.0.len().saturating_sub(SHOWN);
        if more > 0 { write!(f, "… {more} more]") } else { f.write_str("]") }
    }
}

/// A C string in quotation marks.
pub(super) struct Text<'a>(pub(super) &'a CStr);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Debug` of `OsStr`, because `Debug` of `CStr` adds two kilobytes of machine code.
        fmt::Debug::fmt(OsStr::from_bytes(self.0.to_bytes()), f)
    }
}

/// A value that is logged by its `Debug`: a list.
pub(super) struct Shown<T>(pub(super) T);

impl<T: fmt::Debug> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Passes fields to the log, with the data behind addresses in place of the addresses.
pub(super) struct Replacing<'a, 'kvs> {
    pub(super) logged: LoggedAs<'kvs>,
    pub(super) visitor: &'a mut dyn kv::VisitSource<'kvs>,
}

impl<'kvs> kv::VisitSource<'kvs> for Replacing<'_, 'kvs> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let logged = self.logged.iter().find(|(field, _)| *field == key.as_str());
        self.visitor.visit_pair(key, logged.map_or(value, |(_, shown)| kv::Value::from_dyn_display(*shown)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_kernels_names() {
        assert_eq!((of("hooknum", 1), of("key_size", 4)), (Some("NF_INET_LOCAL_IN"), None));
        assert_eq!(format!("{:?}", MapFlagBits(1 << 10 | 1 << 7)), "BPF_F_RDONLY_PROG|BPF_F_MMAPABLE");
        assert_eq!(format!("{:?}", MapFlagBits(1 | 1 << 30)), "BPF_F_NO_PREALLOC|0x40000000");
        assert_eq!(format!("{:?}", ProgFlagBits(1 << 4)), "BPF_F_SLEEPABLE");
        assert_eq!(format!("{:?}", ProgFlagBits(3 << 6)), "BPF_F_TEST_REG_INVARIANTS|0x40");
        assert_eq!(format!("{:?}", MapFlagBits(1 << 19)), "BPF_F_RB_OVERWRITE");
        assert_eq!(format!("{:?}", AttachFlagBits(2 | 1 << 13)), "BPF_F_ALLOW_MULTI|BPF_F_LINK");
        assert_eq!(format!("{:?}", ObjFlagBits(1 << 14)), "BPF_F_PATH_FD");
        assert_eq!((of("hooknum", 4), of("hooknum", 5)), (Some("NF_INET_POST_ROUTING"), None));
        assert_eq!(Hex(&[0, 0xff]).to_string(), "[00ff]");
        assert_eq!(Text(c"a\n\xff").to_string(), "\"a\\n\\xFF\"");
        assert_eq!(Shown([1]).to_string(), "[1]");
    }
}
