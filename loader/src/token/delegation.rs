//! The commands and types that a token delegates: a bit for each command and type, as in `struct bpf_token_info`.

use std::fmt;

use cutaway_sys::names::nth;

use super::Need;
use crate::{AttachType, MapType, ProgramType, sys::attr::TokenInfo};

/// The commands and types that a [`BpfToken`](super::BpfToken) delegates: the options of its BPF file system. Each
/// field has a bit for each value of the kernel's enumeration.
///
/// Displayed as the mount options, e.g.
/// `delegate_cmds=map_create:prog_load,delegate_maps=any,delegate_progs=kprobe,delegate_attachs=trace_uprobe_multi`.
/// A bit without a name is displayed as a hexadecimal mask, which the kernel accepts as well.
///
/// `Send` and `Sync`.
#[doc(alias = "bpf_token_info")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delegation {
    /// Commands, by `enum bpf_cmd`. The kernel checks `MAP_CREATE` (0), `PROG_LOAD` (5) and `BTF_LOAD` (18).
    #[doc(alias("delegate_cmds", "allowed_cmds"))]
    pub commands: u64,
    /// Types of maps to create.
    #[doc(alias("delegate_maps", "allowed_maps"))]
    pub maps: u64,
    /// Types of programs to load.
    #[doc(alias("delegate_progs", "allowed_progs"))]
    pub programs: u64,
    /// The `expected_attach_type` of programs to load. It is 0 (`CGROUP_INET_INGRESS`) for program types that have no
    /// attach types.
    #[doc(alias("delegate_attachs", "allowed_attachs"))]
    pub attach_types: u64,
}

/// The commands that the kernel checks.
const MAP_CREATE: u32 = 0;
const PROG_LOAD: u32 = 5;
const BTF_LOAD: u32 = 18;

impl Delegation {
    /// Returns whether maps of this type can be created with the token.
    #[must_use]
    pub fn allows_map(&self, map_type: MapType) -> bool {
        self.missing(Need::Map(map_type)).is_none()
    }

    /// Returns whether programs of this type can be loaded with the token, for this `expected_attach_type`.
    #[must_use]
    pub fn allows_program(&self, program_type: ProgramType, attach_type: AttachType) -> bool {
        self.missing(Need::Program(program_type, attach_type)).is_none()
    }

    /// Returns whether BTF can be loaded with the token.
    #[must_use]
    pub fn allows_btf(&self) -> bool {
        has(self.commands, BTF_LOAD)
    }

    /// Returns what the request needs and the token does not delegate, with the mount options; `None` if it delegates
    /// everything.
    pub(super) fn missing(&self, need: Need) -> Option<String> {
        let missing: Vec<_> = needs(need).into_iter().filter(|(kind, bit)| !has(self.mask(*kind), *bit)).collect();
        let subjects: Vec<_> = missing.iter().map(|(kind, bit)| kind.subject(*bit)).collect();
        (!missing.is_empty()).then(|| format!("{}: mount with {}", subjects.join(" and "), options(&missing)))
    }

    fn mask(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Command => self.commands,
            Kind::Map => self.maps,
            Kind::Program => self.programs,
            Kind::Attach => self.attach_types,
        }
    }

    /// Parses the lines of a token in `/proc/PID/fdinfo`; `None` if they are not those of a token.
    pub(super) fn of_fdinfo(text: &str) -> Option<Self> {
        let mask = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim();
            match value {
                "any" => Some(u64::MAX),
                value => u64::from_str_radix(value.strip_prefix("0x")?, 16).ok(),
            }
        };
        Some(Self {
            commands: mask("allowed_cmds")?,
            maps: mask("allowed_maps")?,
            programs: mask("allowed_progs")?,
            attach_types: mask("allowed_attachs")?,
        })
    }
}

impl From<TokenInfo> for Delegation {
    fn from(info: TokenInfo) -> Self {
        Self {
            commands: info.allowed_cmds,
            maps: info.allowed_maps,
            programs: info.allowed_progs,
            attach_types: info.allowed_attachs,
        }
    }
}

impl Need {
    /// Returns the mount options that delegate the request.
    pub(super) fn options(self) -> String {
        options(&needs(self))
    }
}

/// The kinds of delegation, in the kernel's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Command,
    Map,
    Program,
    Attach,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Command, Self::Map, Self::Program, Self::Attach];

    /// Returns the mount option (`kernel/bpf/inode.c`).
    fn option(self) -> &'static str {
        match self {
            Self::Command => "delegate_cmds",
            Self::Map => "delegate_maps",
            Self::Program => "delegate_progs",
            Self::Attach => "delegate_attachs",
        }
    }

    /// Returns the name in a mount option: the kernel's name in lower case, without its prefix.
    fn name(self, bit: u32) -> Option<String> {
        let name = match self {
            Self::Command => nth(COMMANDS, bit as usize),
            Self::Map => MapType(bit).name(),
            Self::Program => ProgramType(bit).name(),
            Self::Attach => AttachType(bit).name(),
        };
        name.map(str::to_lowercase)
    }

    /// Returns the name, or the mask of the bit.
    fn value(self, bit: u32) -> String {
        self.name(bit).unwrap_or_else(|| format!("{:#x}", 1_u64.checked_shl(bit).unwrap_or(0)))
    }

    /// Returns the words for one bit in a sentence.
    fn subject(self, bit: u32) -> String {
        let name = self.value(bit);
        match self {
            Self::Command => format!("the command {name}"),
            Self::Map => format!("maps of the type {name}"),
            Self::Program => format!("programs of the type {name}"),
            Self::Attach if bit == 0 => format!("the attach type {name} (0, of programs without an attach type)"),
            Self::Attach => format!("the attach type {name}"),
        }
    }
}

/// Names of `enum bpf_cmd`, by number.
const COMMANDS: &str = "\
    map_create map_lookup_elem map_update_elem map_delete_elem map_get_next_key prog_load obj_pin obj_get prog_attach \
    prog_detach prog_test_run prog_get_next_id map_get_next_id prog_get_fd_by_id map_get_fd_by_id obj_get_info_by_fd \
    prog_query raw_tracepoint_open btf_load btf_get_fd_by_id task_fd_query map_lookup_and_delete_elem map_freeze \
    btf_get_next_id map_lookup_batch map_lookup_and_delete_batch map_update_batch map_delete_batch link_create \
    link_update link_get_fd_by_id link_get_next_id enable_stats iter_create link_detach prog_bind_map token_create \
    prog_stream_read_by_fd";

/// Returns the bits that a request needs.
fn needs(need: Need) -> Vec<(Kind, u32)> {
    match need {
        Need::Map(map_type) => vec![(Kind::Command, MAP_CREATE), (Kind::Map, map_type.0)],
        Need::Program(program_type, attach_type) => {
            vec![(Kind::Command, PROG_LOAD), (Kind::Program, program_type.0), (Kind::Attach, attach_type.0)]
        }
    }
}

fn has(mask: u64, bit: u32) -> bool {
    mask.checked_shr(bit).is_some_and(|rest| rest & 1 == 1)
}

/// Returns the mount options that delegate these bits.
fn options(bits: &[(Kind, u32)]) -> String {
    let options: Vec<_> = bits.iter().map(|(kind, bit)| format!("{}={}", kind.option(), kind.value(*bit))).collect();
    options.join(",")
}

impl fmt::Display for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for kind in Kind::ALL {
            let mask = self.mask(kind);
            if mask == 0 {
                continue;
            }
            write!(f, "{comma}{}=", kind.option())?;
            comma = ",";
            if mask == u64::MAX {
                f.write_str("any")?;
                continue;
            }
            let mut colon = "";
            let mut unnamed = mask;
            for bit in 0..u64::BITS {
                if let Some(name) = kind.name(bit).filter(|_| has(mask, bit)) {
                    write!(f, "{colon}{name}")?;
                    unnamed &= !(1 << bit);
                    colon = ":";
                }
            }
            if unnamed != 0 {
                write!(f, "{colon}{unnamed:#x}")?;
            }
        }
        if comma.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPROBE: Need = Need::Program(ProgramType::KPROBE, AttachType::TRACE_UPROBE_MULTI);

    #[test]
    fn fdinfo_gives_the_masks() {
        let text = "pos:\t0\nflags:\t02000002\nallowed_cmds:\t0x40021\nallowed_maps:\tany\nallowed_progs:\t0x4\n\
                    allowed_attachs:\t0x1000000000000\n";
        let delegation = Delegation::of_fdinfo(text).unwrap();
        assert_eq!((delegation.commands, delegation.maps), (1 << 0 | 1 << 5 | 1 << 18, u64::MAX));
        assert!(delegation.allows_program(ProgramType::KPROBE, AttachType::TRACE_UPROBE_MULTI));
        assert!(!delegation.allows_program(ProgramType::KPROBE, AttachType::default()));
        assert!(delegation.allows_map(MapType::RINGBUF) && delegation.allows_btf());
        assert_eq!(
            delegation.to_string(),
            "delegate_cmds=map_create:prog_load:btf_load,delegate_maps=any,delegate_progs=kprobe,\
             delegate_attachs=trace_uprobe_multi"
        );
        assert_eq!(Delegation::of_fdinfo("pos:\t0\nmap_type:\t1\n"), None);
        assert_eq!(Delegation::of_fdinfo("allowed_cmds:\tx\nallowed_maps:\tany\nallowed_progs:\t0x4\n"), None);
    }

    #[test]
    fn missing_delegation_names_the_mount_option() {
        let delegation = Delegation { commands: 1 << PROG_LOAD, programs: 1 << 2, ..Delegation::default() };
        assert_eq!(
            delegation.missing(Need::Program(ProgramType::XDP, AttachType::XDP)).unwrap(),
            "programs of the type xdp and the attach type xdp: mount with delegate_progs=xdp,delegate_attachs=xdp"
        );
        assert_eq!(
            delegation.missing(UPROBE).unwrap(),
            "the attach type trace_uprobe_multi: mount with delegate_attachs=trace_uprobe_multi"
        );
        assert_eq!(
            delegation.missing(Need::Map(MapType::RINGBUF)).unwrap(),
            "the command map_create and maps of the type ringbuf: mount with \
             delegate_cmds=map_create,delegate_maps=ringbuf"
        );
        let raw = delegation.missing(Need::Program(ProgramType::RAW_TRACEPOINT, AttachType::default())).unwrap();
        assert!(raw.contains("cgroup_inet_ingress (0, of programs without an attach type)"), "{raw}");
        let all = Delegation { commands: u64::MAX, maps: u64::MAX, programs: u64::MAX, attach_types: u64::MAX };
        assert_eq!(all.missing(UPROBE), None);
        assert_eq!(all.to_string().matches("any").count(), 4);
    }

    #[test]
    fn unknown_bits_are_masks() {
        let delegation = Delegation { maps: 1 << 1 | 1 << 63, ..Delegation::default() };
        assert_eq!(delegation.to_string(), "delegate_maps=hash:0x8000000000000000");
        assert_eq!(Delegation::default().to_string(), "nothing");
        // A type that no mask has a bit for.
        assert!(!delegation.allows_map(MapType(64)) && !delegation.allows_map(MapType(u32::MAX)));
        assert_eq!(Need::Map(MapType(60)).options(), "delegate_cmds=map_create,delegate_maps=0x1000000000000000");
    }
}
