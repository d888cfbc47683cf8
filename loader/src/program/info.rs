//! The kernel's information about a program: `struct bpf_prog_info`, and the lines of its fd in `/proc`.

use std::{
    os::fd::AsFd,
    time::{Duration, SystemTime},
};

use cutaway_sys::clock;

use super::{Program, ProgramStats};
use crate::{
    Error, ProgramType,
    sys::{
        fdinfo::fdinfo,
        prog_info::{self, Wanted},
    },
};

/// A program as the kernel describes it.
///
/// `None` in a field means that this kernel does not record it, or hides it from this process; the field's text says
/// when.
///
/// Needs this crate's feature `info`.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[doc(alias = "bpf_prog_info")]
pub struct ProgramInfo {
    /// The program id.
    pub id: u32,
    /// The first 15 bytes of its name; may be empty.
    pub name: String,
    /// The program type.
    pub program_type: ProgramType,
    /// A checksum of its instructions, without the fds of maps: equal programs have equal tags. Written as 16
    /// hexadecimal digits elsewhere.
    pub tag: [u8; 8],
    /// The user who loaded it.
    #[doc(alias = "created_by_uid")]
    pub uid: u32,
    /// When it was loaded. The kernel records the time since boot; this is that time by the wall clock as it is
    /// now, so two calls may differ by some nanoseconds.
    #[doc(alias = "load_time")]
    pub loaded_at: SystemTime,
    /// Whether its license is compatible with the GPL. Linux 4.18.
    pub gpl_compatible: bool,
    /// The runs that the kernel has counted while there was a [`StatsGuard`](crate::StatsGuard). Linux 5.1.
    pub stats: ProgramStats,
    /// The runs that did not take place because the program was already running on the CPU; `None` before Linux 5.12.
    pub recursion_misses: Option<u64>,
    /// The instructions that the verifier has processed; `None` before Linux 5.16.
    pub verified_insns: Option<u32>,
    /// The memory that it takes, in bytes, in whole pages; `None` if `/proc` is not mounted.
    pub memlock: Option<u64>,
    /// The size of its instructions in bytes, after the verifier has changed them; `None` without CAP_BPF.
    #[doc(alias = "xlated_prog_len")]
    pub xlated_size: Option<u32>,
    /// The size of its machine code in bytes; `None` without CAP_BPF, or if the kernel interprets it
    /// (`net.core.bpf_jit_enable` is 0).
    #[doc(alias = "jited_prog_len")]
    pub jited_size: Option<u32>,
    /// The ids of the maps that it uses; [`Program::used_maps`] opens them.
    pub map_ids: Vec<u32>,
    /// The id of the BTF that it was loaded with; `None` without BTF. Linux 5.0.
    pub btf_id: Option<u32>,
    /// The id of the BTF that its target is in, and the target's id there; `None` for programs without such a target,
    /// and before Linux 6.0. The program of many functions has the id of the kernel's function `bpf_multi_func`.
    #[doc(alias("attach_btf_obj_id", "attach_btf_id"))]
    pub attach_btf: Option<(u32, u32)>,
    /// The index of the network device that it is offloaded to; `None` if it runs on the CPU.
    pub ifindex: Option<u32>,
}

impl Program {
    /// Returns what the kernel knows about the program.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the kernel refuses the query.
    #[doc(alias("BPF_OBJ_GET_INFO_BY_FD", "bpf_prog_get_info_by_fd"))]
    pub fn info(&self) -> Result<ProgramInfo, Error> {
        let why = "reads what the kernel knows about a program, with the ids of its maps";
        let (known, lists) = prog_info::read(self.as_fd(), Wanted::Maps, why)
            .map_err(|error| Error::kernel(format!("query the program `{}`", self.name()), &error))?;
        let info = &known.info;
        let known_size = |size: u32| (size != 0).then_some(size);
        let about = fdinfo(self.as_fd()).unwrap_or_default();
        let memlock = about.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok());
        Ok(ProgramInfo {
            id: info.id,
            name: info.name.to_string(),
            program_type: info.prog_type,
            tag: info.tag.to_ne_bytes(),
            uid: info.created_by_uid,
            loaded_at: wall_clock(info.load_time),
            gpl_compatible: info.gpl_compatible & GPL != 0,
            stats: ProgramStats { count: info.run_cnt, time: Duration::from_nanos(info.run_time_ns) },
            recursion_misses: known.recursion_misses(),
            verified_insns: known.verified_insns(),
            memlock,
            xlated_size: known_size(info.xlated_prog_len),
            jited_size: known_size(info.jited_prog_len),
            map_ids: lists.map_ids,
            btf_id: known_size(info.btf_id),
            attach_btf: (info.attach_btf_id != 0).then_some((info.attach_btf_obj_id, info.attach_btf_id)),
            ifindex: known_size(info.ifindex),
        })
    }

    /// Opens the maps that the program uses, in the order of [`ProgramInfo::map_ids`]. Their names are the kernel's, at
    /// most 15 bytes.
    ///
    /// Needs CAP_SYS_ADMIN.
    ///
    /// Needs this crate's feature `system`.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EPERM without privileges.
    #[cfg(feature = "system")]
    #[doc(alias = "BPF_MAP_GET_FD_BY_ID")]
    pub fn used_maps(&self) -> Result<Vec<crate::Map>, Error> {
        self.info()?.map_ids.into_iter().map(crate::Map::from_id).collect()
    }
}

/// The first bit of the bit field `gpl_compatible`.
const GPL: u32 = if cfg!(target_endian = "little") { 1 } else { 1 << 31 };

/// Returns the wall-clock time of a time in nanoseconds since boot.
fn wall_clock(since_boot: u64) -> SystemTime {
    let ago = clock::boottime_ns().saturating_sub(since_boot);
    let now = SystemTime::now();
    now.checked_sub(Duration::from_nanos(ago)).unwrap_or(SystemTime::UNIX_EPOCH)
}
