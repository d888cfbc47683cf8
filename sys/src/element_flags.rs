//! `BPF_ANY` and its relatives: flags of the commands on a map's elements.

/// Shifts a CPU's number to where `BPF_F_CPU` has it: the upper half of the flags.
const CPU_SHIFT: u32 = 32;

bitflags::bitflags! {
    /// Flags of `BPF_MAP_UPDATE_ELEM` and `BPF_MAP_UPDATE_BATCH`, by the kernel's names without `BPF_` or `BPF_F_`
    /// (`include/uapi/linux/bpf.h`). Without a flag (`BPF_ANY`), an update sets the value of an existing key or adds a
    /// new one. Bits without a name here are kept.
    #[doc(alias("BPF_ANY", "MapUpdateFlags"))]
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct UpdateFlags: u64 {
        /// Adds a new key; an existing key is an error (EEXIST).
        #[doc(alias = "BPF_NOEXIST")]
        const NOEXIST = 1 << 0;
        /// Sets the value of an existing key; a new key is an error (ENOENT).
        #[doc(alias = "BPF_EXIST")]
        const EXIST = 1 << 1;
        /// Writes the value while holding its `bpf_spin_lock` (Linux 5.1). The bytes of the lock are not written.
        #[doc(alias = "BPF_F_LOCK")]
        const LOCK = 1 << 2;
        /// Sets the value of one CPU in a per-CPU map (Linux 7.0). [`UpdateFlags::cpu`] includes the CPU's number.
        #[doc(alias = "BPF_F_CPU")]
        const CPU = 1 << 3;
        /// Sets the values of all CPUs in a per-CPU map to the same value (Linux 7.0).
        #[doc(alias = "BPF_F_ALL_CPUS")]
        const ALL_CPUS = 1 << 4;

        const _ = !0;
    }

    /// Flags of `BPF_MAP_LOOKUP_ELEM`, `BPF_MAP_LOOKUP_AND_DELETE_ELEM` and the batch commands that look up, by the
    /// kernel's names without `BPF_F_` (`include/uapi/linux/bpf.h`). Bits without a name here are kept.
    #[doc(alias = "MapLookupFlags")]
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct LookupFlags: u64 {
        /// Reads the value while holding its `bpf_spin_lock` (Linux 5.1). The bytes of the lock are read as 0.
        #[doc(alias = "BPF_F_LOCK")]
        const LOCK = 1 << 2;
        /// Reads the value of one CPU in a per-CPU map (Linux 7.0). [`LookupFlags::cpu`] includes the CPU's number.
        #[doc(alias = "BPF_F_CPU")]
        const CPU = 1 << 3;

        const _ = !0;
    }
}

impl UpdateFlags {
    /// Sets the value of an existing key, or adds a new one: no flag.
    #[doc(alias = "BPF_ANY")]
    pub const ANY: Self = Self::empty();

    /// Returns the flag that selects the value of one CPU in a per-CPU map. Linux 7.0.
    #[doc(alias = "BPF_F_CPU")]
    #[must_use]
    pub const fn cpu(cpu: u32) -> Self {
        Self::from_bits_retain(Self::CPU.bits() | (cpu as u64) << CPU_SHIFT)
    }
}

impl LookupFlags {
    /// Returns the flag that selects the value of one CPU in a per-CPU map. Linux 7.0.
    #[doc(alias = "BPF_F_CPU")]
    #[must_use]
    pub const fn cpu(cpu: u32) -> Self {
        Self::from_bits_retain(Self::CPU.bits() | (cpu as u64) << CPU_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_in_the_upper_half() {
        assert_eq!(UpdateFlags::cpu(0).bits(), 8);
        assert_eq!(UpdateFlags::cpu(3).bits(), 0x3_0000_0008);
        assert_eq!(LookupFlags::cpu(u32::MAX).bits(), 0xffff_ffff_0000_0008);
        assert_eq!((UpdateFlags::NOEXIST | UpdateFlags::LOCK).bits(), 5);
    }
}
