//! The verbs and flags that a map allows: the reasons to refuse one, and advice for the kernel's errors.

use super::Map;
use crate::{Error, LookupFlags, MapType, UpdateFlags};

impl Map {
    /// Returns the error of a failed system call on the map.
    pub(crate) fn failed(&self, what: &str, error: &std::io::Error) -> Error {
        // Not the usual advice about capabilities: since Linux 5.19, access to elements needs only the map's fd.
        // Before, it also needs `CAP_BPF` if `kernel.unprivileged_bpf_disabled` is set.
        let plain = Error::kernel(self.attempt(what), error);
        match error.raw_os_error() {
            Some(libc::EPERM) => {
                plain.advise("it is frozen, its flags forbid this to user space, or (before 5.19) CAP_BPF is missing")
            }
            _ => plain,
        }
    }

    /// Returns an attempt on the map, for an error.
    pub(super) fn attempt(&self, what: &str) -> String {
        format!("{what} the map `{}` ({})", self.name, self.map_type())
    }

    /// Returns the error of something that this map cannot do.
    pub(super) fn unfit(&self, what: &str, why: String) -> Error {
        Error::Invalid { operation: self.attempt(what), why }
    }

    /// Adds advice to the error of a call with these flags. The flags of lookups are among those of updates.
    pub(super) fn explain_flags(&self, error: Error, flags: u64) -> Error {
        let given = UpdateFlags::from_bits_retain(flags);
        let Some(errno) = error.errno() else { return error };
        match errno.raw() {
            libc::EEXIST if given.contains(UpdateFlags::NOEXIST) => {
                error.advise("the key exists already, and NOEXIST only adds a new one")
            }
            libc::EEXIST => error.advise("keys of this map cannot be added"),
            libc::ENOENT if given.contains(UpdateFlags::EXIST) => {
                error.advise("the key does not exist, and EXIST only changes the value of an existing one")
            }
            libc::EINVAL if given.intersects(UpdateFlags::CPU | UpdateFlags::ALL_CPUS) => {
                error.advise("flags for single CPUs need Linux 7.0 and a per-CPU hash or array")
            }
            libc::EINVAL if given.contains(UpdateFlags::LOCK) => {
                error.advise("LOCK needs values with a `bpf_spin_lock`, described by BTF, and Linux 5.1")
            }
            libc::EINVAL if given.contains(UpdateFlags::NOEXIST | UpdateFlags::EXIST) => {
                error.advise("NOEXIST and EXIST exclude each other")
            }
            libc::ERANGE if given.contains(UpdateFlags::CPU) => error.advise("there is no CPU of this number"),
            _ => error,
        }
    }

    /// Checks that a map has a value for each CPU, if a flag selects a CPU.
    pub(super) fn check_cpu(&self, selects: bool, what: &str) -> Result<(), Error> {
        if selects && !self.map_type().is_per_cpu() {
            let why = format!("it is a {}, which has one value for all CPUs", self.map_type());
            return Err(self.unfit(what, why));
        }
        Ok(())
    }

    /// Checks the length of a single CPU's value.
    pub(super) fn check_one(&self, value: &[u8], what: &str) -> Result<(), Error> {
        let (size, length) = (self.elements.info().value_size as usize, value.len());
        if length == size {
            return Ok(());
        }
        Err(self.unfit(what, format!("the value of one CPU has {size} bytes, and {length} are given")))
    }

    /// Checks that the map has keys.
    pub(super) fn check_keyed(&self, what: &str) -> Result<(), Error> {
        if cfg!(feature = "advice") && self.key_size() == 0 && self.map_type().name().is_some() {
            return Err(self.keyless(what));
        }
        Ok(())
    }

    /// Returns the error of a verb for keys on a map that has none.
    pub(super) fn keyless(&self, what: &str) -> Error {
        use MapType as T;
        let verbs = match self.map_type() {
            T::QUEUE | T::STACK => ": see `Map::push`, `Map::pop` and `Map::peek_value`",
            T::BLOOM_FILTER => ": see `Map::push` and `Map::contains`",
            T::RINGBUF => ": see `Map::ring`",
            T::USER_RINGBUF => ": see `UserRing` of the crate mmap_ring",
            T::ARENA => ": see `Map::mapped`",
            _ => "",
        };
        self.unfit(what, format!("its type is {}, which has no keys{verbs}", self.map_type()))
    }
}

// The flags of lookups have the bits of the same flags of updates, which `explain_flags` relies on.
const _: () = assert!(LookupFlags::LOCK.bits() == UpdateFlags::LOCK.bits());
const _: () = assert!(LookupFlags::CPU.bits() == UpdateFlags::CPU.bits());
