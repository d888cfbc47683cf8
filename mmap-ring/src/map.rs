//! What a descriptor stands for, asked of the kernel before anything is mapped.
//!
//! A record is lent as a slice because the kernel keeps the ring's protocol. It does so for a map of the right type alone: an
//! array with `BPF_F_MMAPABLE`, a file or a socket can be mapped, too, and its bytes change whenever somebody writes there.
//! So the kernel is asked what the descriptor is:
//!
//! ```text
//!   bpf(BPF_OBJ_GET_INFO_BY_FD)    type, max_entries, map_flags    Linux 4.13; no privilege from 5.19 on, before that
//!                                                                  CAP_BPF if kernel.unprivileged_bpf_disabled is set
//!   /proc/thread-self/fdinfo/FD    the same as text, where bpf(2) is refused (`bpf_map_show_fdinfo`, kernel/bpf/syscall.c)
//! ```
//!
//! Where neither answers, the ring is refused: a guess would be unsound. The descriptor is borrowed from the question to the
//! last mapping, so it stands for the same map all the time. The first answer is given for BPF programs, links and types as
//! well, in another form; of all these only a map can be mapped, so that a descriptor which passes for another reason
//! fails with ENODEV right afterwards (`bpf_map_fops` is the only one of theirs with an `mmap`).

use std::io;
use std::os::fd::BorrowedFd;

use crate::error::Error;
use crate::memory::mapped::checked;

mod sys;

/// `BPF_MAP_TYPE_RINGBUF` of `enum bpf_map_type` (`include/uapi/linux/bpf.h`).
const RINGBUF: u32 = 27;
/// `BPF_MAP_TYPE_USER_RINGBUF`.
const USER_RINGBUF: u32 = 31;
/// `BPF_F_RB_OVERWRITE` (Linux 6.19).
const F_RB_OVERWRITE: u32 = 1 << 19;

/// What a descriptor is opened as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A ring whose records are lent.
    Lend,
    /// A ring whose records are copied, because they may be overwritten.
    Copy,
    /// A user ring that is produced into.
    Produce,
    /// A ring of either kind that is looked at.
    Look,
}

impl Purpose {
    fn allows(self, kind: u32) -> bool {
        match self {
            Self::Lend | Self::Copy => kind == RINGBUF,
            Self::Produce => kind == USER_RINGBUF,
            Self::Look => matches!(kind, RINGBUF | USER_RINGBUF),
        }
    }

    /// The type of map that it takes, by the kernel's name.
    fn wanted(self) -> &'static str {
        match self {
            Self::Lend | Self::Copy | Self::Look => "BPF_MAP_TYPE_RINGBUF",
            Self::Produce => "BPF_MAP_TYPE_USER_RINGBUF",
        }
    }
}

/// What the kernel says of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    kind: u32,
    max_entries: u32,
    flags: u32,
}

/// Fails unless `map` is a map that can be opened for `purpose` and has `bytes` bytes of data.
pub(crate) fn check(map: BorrowedFd<'_>, purpose: Purpose, bytes: u32) -> Result<(), Error> {
    checked(bytes)?;
    let wanted = purpose.wanted();
    let facts = match sys::info(map) {
        Ok(facts) if purpose.allows(facts.kind) => facts,
        // It may be the type of a program, which only this text tells from that of a map.
        Ok(facts) => match about(map) {
            Ok(None) => return Err(Error::Kind { wanted, found: None }),
            Ok(Some(facts)) => facts,
            Err(_) => facts,
        },
        Err(refused) => match about(map) {
            Ok(facts) => facts.ok_or(Error::Kind { wanted, found: None })?,
            Err(proc) => return Err(Error::Unknown { wanted, bpf: refused, proc }),
        },
    };
    judge(facts, purpose, bytes)
}

/// What `/proc` says of the map; `None` if it is none.
fn about(map: BorrowedFd<'_>) -> io::Result<Option<Facts>> {
    // A map's takes some 200 bytes.
    sys::fdinfo(map, &mut [0; 4096]).map(facts)
}

fn judge(facts: Facts, purpose: Purpose, bytes: u32) -> Result<(), Error> {
    let Facts { kind, max_entries, flags } = facts;
    if !purpose.allows(kind) {
        return Err(Error::Kind { wanted: purpose.wanted(), found: Some(kind) });
    }
    if max_entries != bytes {
        return Err(Error::OtherSize { bytes, max_entries });
    }
    if purpose == Purpose::Lend && flags & F_RB_OVERWRITE != 0 {
        return Err(Error::Overwrites);
    }
    Ok(())
}

/// Reads what `/proc/PID/fdinfo/FD` says of a map; `None` if it is of something else.
fn facts(text: &str) -> Option<Facts> {
    let (mut kind, mut max_entries, mut flags) = (None, None, None);
    for (name, value) in text.lines().filter_map(|line| line.split_once(":\t")) {
        match name {
            "map_type" => kind = value.parse().ok(),
            "max_entries" => max_entries = value.parse().ok(),
            "map_flags" => flags = u32::from_str_radix(value.strip_prefix("0x")?, 16).ok(),
            _ => {}
        }
    }
    Some(Facts { kind: kind?, max_entries: max_entries?, flags: flags? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &str, entries: &str, flags: &str) -> String {
        format!(
            "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nmap_type:\t{kind}\nkey_size:\t0\nvalue_size:\t0\n\
             max_entries:\t{entries}\nmap_flags:\t{flags}\nmemlock:\t0\nmap_id:\t7\nfrozen:\t0\n"
        )
    }

    #[test]
    fn fdinfo_of_a_map_is_read_and_of_anything_else_is_not() {
        let ring = Facts { kind: RINGBUF, max_entries: 4096, flags: F_RB_OVERWRITE };
        assert_eq!(facts(&text("27", "4096", "0x80000")), Some(ring));
        assert_eq!(facts(&text("2", "1", "0x400")), Some(Facts { kind: 2, max_entries: 1, flags: 0x400 }));
        let cut = text("27", "4096", "0x0");
        for text in
            ["", "pos:\t0\nflags:\t0x80000\n", "prog_type:\t27\nmax_entries:\t4096\nmap_flags:\t0x0\n", &cut[..60]]
        {
            assert_eq!(facts(text), None, "{text:?}");
        }
        for (kind, entries, flags) in
            [("x", "1", "0x0"), ("27", "-1", "0x0"), ("27", "1", "-"), ("27", "4294967296", "0x0")]
        {
            assert_eq!(facts(&text(kind, entries, flags)), None, "{kind} {entries} {flags}");
        }
    }

    #[test]
    fn each_purpose_takes_maps_of_its_type_alone() {
        use Purpose::{Copy, Lend, Look, Produce};
        for kind in 0..64 {
            let allowed: &[Purpose] = match kind {
                RINGBUF => &[Lend, Copy, Look],
                USER_RINGBUF => &[Produce, Look],
                _ => &[],
            };
            for purpose in [Lend, Copy, Produce, Look] {
                let judged = judge(Facts { kind, max_entries: 4096, flags: 0 }, purpose, 4096);
                match judged {
                    Ok(()) => assert!(allowed.contains(&purpose), "{kind} {purpose:?}"),
                    Err(Error::Kind { found, .. }) if found == Some(kind) => {
                        assert!(!allowed.contains(&purpose), "{kind} {purpose:?}");
                    }
                    Err(error) => panic!("{kind} {purpose:?}: {error:?}"),
                }
            }
        }
    }

    #[test]
    fn sizes_and_overwriting_are_judged() {
        let ring = Facts { kind: RINGBUF, max_entries: 8192, flags: F_RB_OVERWRITE };
        assert!(matches!(judge(ring, Purpose::Lend, 8192), Err(Error::Overwrites)));
        for purpose in [Purpose::Copy, Purpose::Look] {
            assert!(judge(ring, purpose, 8192).is_ok());
            for bytes in [4096, 16384] {
                let error = judge(ring, purpose, bytes);
                assert!(
                    matches!(error, Err(Error::OtherSize { bytes: stated, max_entries: 8192 }) if stated == bytes),
                    "{error:?}"
                );
            }
        }
    }
}
