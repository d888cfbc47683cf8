//! `struct perf_event_attr` and perf_event_open(2) (`include/uapi/linux/perf_event.h`, `kernel/events/core.c`).
#![expect(unsafe_code, reason = "the system call itself")]

use std::io;

use crate::report::check;

/// `struct perf_event_attr` as of Linux 3.7 (`PERF_ATTR_SIZE_VER3`). Since Linux 4.1 its last four bytes are `clockid`.
///
/// The kernel reads `size` bytes and takes all later fields as 0. So the oldest version with every field in use works
/// on every kernel that has BPF.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PerfEventAttr {
    /// `type`: one of the constants `TYPE_…`, or the number of a dynamic PMU from sysfs.
    pub event_type: u32,
    /// The size of this struct in bytes: [`PerfEventAttr::SIZE`].
    pub size: u32,
    /// The event, among those of `event_type`.
    pub config: u64,
    /// `sample_period`, or `sample_freq` with [`PerfEventAttr::FREQ`].
    pub sample_period: u64,
    /// `PERF_SAMPLE_…`
    pub sample_type: u64,
    /// `PERF_FORMAT_…`
    pub read_format: u64,
    /// The one-bit fields, each a constant here.
    pub flags: u64,
    /// `wakeup_events`, or `wakeup_watermark` in bytes with [`PerfEventAttr::WATERMARK`].
    pub wakeup: u32,
    /// `bp_type`, for a breakpoint.
    pub bp_type: u32,
    /// `config1`; for a probe, the address of the name of its file or function.
    pub config1: u64,
    /// `config2`; for a probe, the offset.
    pub config2: u64,
    /// `branch_sample_type`
    pub branch_sample_type: u64,
    /// `sample_regs_user`
    pub sample_regs_user: u64,
    /// `sample_stack_user`
    pub sample_stack_user: u32,
    /// The clock of timestamps, with [`PerfEventAttr::USE_CLOCKID`].
    pub clockid: i32,
}

impl PerfEventAttr {
    /// `PERF_ATTR_SIZE_VER3`, in bytes.
    pub const SIZE: u32 = 96;

    /// `PERF_TYPE_SOFTWARE`
    pub const TYPE_SOFTWARE: u32 = 1;
    /// `PERF_TYPE_TRACEPOINT`
    pub const TYPE_TRACEPOINT: u32 = 2;
    /// `PERF_TYPE_BREAKPOINT`
    pub const TYPE_BREAKPOINT: u32 = 5;

    /// The field `disabled`.
    pub const DISABLED: u64 = bit(0);
    /// The field `exclude_kernel`.
    pub const EXCLUDE_KERNEL: u64 = bit(5);
    /// The field `exclude_hv`.
    pub const EXCLUDE_HV: u64 = bit(6);
    /// The field `mmap`.
    pub const MMAP: u64 = bit(8);
    /// The field `freq`.
    pub const FREQ: u64 = bit(10);
    /// The field `watermark`.
    pub const WATERMARK: u64 = bit(14);
    /// The field `mmap2`.
    pub const MMAP2: u64 = bit(23);
    /// The field `use_clockid`.
    pub const USE_CLOCKID: u64 = bit(25);
    /// The field `write_backward`.
    pub const WRITE_BACKWARD: u64 = bit(27);

    /// Creates the struct with `size` set; all other fields are 0.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            event_type: 0,
            size: Self::SIZE,
            config: 0,
            sample_period: 0,
            sample_type: 0,
            read_format: 0,
            flags: 0,
            wakeup: 0,
            bp_type: 0,
            config1: 0,
            config2: 0,
            branch_sample_type: 0,
            sample_regs_user: 0,
            sample_stack_user: 0,
            clockid: 0,
        }
    }
}

impl Default for PerfEventAttr {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(size_of::<PerfEventAttr>() == PerfEventAttr::SIZE as usize);

/// Returns the mask of the nth one-bit field of the C struct. Big-endian machines count from the most significant bit.
const fn bit(n: u32) -> u64 {
    if cfg!(target_endian = "little") { 1 << n } else { 1 << (63 - n) }
}

/// Opens a close-on-exec perf event without a group. Returns its fd. The caller reports the call and takes ownership of
/// the fd ([`owned`](crate::fd::owned)).
///
/// `pid` and `cpu` are -1 for all processes and all CPUs; the kernel refuses both at once.
///
/// # Errors
/// Those of perf_event_open(2): EACCES or EPERM without privileges, EINVAL for a combination of fields that this kernel
/// does not support, ENODEV for a CPU that is offline, EMFILE.
///
/// # Safety
/// `attr.size` is at most [`PerfEventAttr::SIZE`]. An address in `config1` or `config2` is that of a C string that
/// lives during the call.
pub unsafe fn perf_event_open(attr: &PerfEventAttr, pid: i32, cpu: i32) -> io::Result<i64> {
    /// `PERF_FLAG_FD_CLOEXEC`
    const FD_CLOEXEC: libc::c_ulong = 1 << 3;
    // On E2BIG the kernel writes the size that it supports into the struct. The copy keeps the caller's struct
    // unchanged.
    let mut attr = *attr;
    // SAFETY: `attr` is alive, writable and at least `attr.size` bytes long; the caller vouches for addresses in it.
    check(unsafe { libc::syscall(libc::SYS_perf_event_open, &raw mut attr, pid, cpu, -1, FD_CLOEXEC) })
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn fields_are_where_the_kernel_reads_them() {
        assert_eq!(offset_of!(PerfEventAttr, flags), 40);
        assert_eq!(offset_of!(PerfEventAttr, config1), 56);
        assert_eq!(offset_of!(PerfEventAttr, config2), 64);
        assert_eq!(offset_of!(PerfEventAttr, clockid), 92);
        // gcc lays out the bit-fields with `disabled` first.
        let first_byte = PerfEventAttr::DISABLED.to_ne_bytes()[0];
        assert_eq!(first_byte, if cfg!(target_endian = "little") { 1 } else { 0x80 });
    }

    #[test]
    fn event_without_a_cpu_and_a_process_is_refused() {
        let attr = PerfEventAttr { event_type: PerfEventAttr::TYPE_SOFTWARE, ..PerfEventAttr::new() };
        // SAFETY: the size is the struct's, and it holds no address.
        let error = unsafe { perf_event_open(&attr, -1, -1) }.unwrap_err();
        // Where perf events are forbidden, the kernel checks that first.
        assert!(matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EACCES | libc::EPERM)), "{error}");
    }
}
