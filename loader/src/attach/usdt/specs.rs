//! What programs are told about the arguments of a probe, in the form that `usdt.bpf.h` of libbpf reads.
//!
//! An object that includes that header brings two maps. `__bpf_usdt_specs` is an array of descriptions, one for each way in
//! which the arguments of some place are found:
//!
//! ```text
//!     args[12]  value or distance u64 │ how u8 … │ register i16 │ signed u8 │ shift u8      16 bytes each
//!     cookie    u64                                                                         the user's own
//!     arg_cnt   i16
//! ```
//!
//! A program that is hit looks for the number of its description: in its attach cookie where the kernel has such (5.15), or
//! else in the hash `__bpf_usdt_ip_to_spec_id`, by the address that it was hit at.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use log::warn;

use super::{
    super::link::Detach,
    arguments::{Argument, Place},
};
use crate::{Error, Map};

/// The maps, and which of their slots are taken. All programs of an object share them.
#[derive(Debug)]
pub(crate) struct Specs {
    specs: Map,
    /// The other one.
    addresses: Option<Map>,
    /// Other processes may have the same maps, by a pin.
    pinned: bool,
    slots: Mutex<Slots>,
}

/// Places whose arguments are found in the same way, for the same cookie, share a slot.
#[derive(Debug, Default)]
struct Slots {
    taken: HashMap<Vec<u8>, Slot>,
    /// The same for the addresses in the other map.
    addresses: HashMap<u64, Slot>,
    free: Vec<u32>,
    next: u32,
}

#[derive(Debug)]
struct Slot {
    number: u32,
    users: usize,
}

/// Slots in use; dropping this gives them back.
#[derive(Debug)]
pub(super) struct Taken {
    specs: Arc<Specs>,
    descriptions: Vec<Vec<u8>>,
    addresses: Vec<u64>,
    forever: Mutex<bool>,
}

/// One argument: 16 bytes.
const ARGUMENT: usize = 16;
/// What follows them: the cookie, the number of arguments, and padding.
const BEHIND: usize = 16;

impl Specs {
    /// The maps that the header brings.
    pub(crate) const MAPS: [&str; 2] = ["__bpf_usdt_specs", "__bpf_usdt_ip_to_spec_id"];

    pub(crate) fn new(specs: Map, addresses: Option<Map>, pinned: bool) -> Self {
        Self { specs, addresses, pinned, slots: Mutex::default() }
    }

    /// Writes a description for each place; gives their numbers, and what holds them.
    pub(super) fn describe<'a>(
        self: &Arc<Self>,
        places: impl Iterator<Item = &'a [Argument]>,
        cookie: u64,
    ) -> Result<(Vec<u32>, Taken), Error> {
        if self.pinned {
            return Err(self.unfit(format!(
                "its maps `{}` and `{}` are pinned by name, and whoever else has them there may take the same \
                 entries for probes of theirs: leave these maps unpinned (`MapSpec::pinning`), and pin the links",
                Self::MAPS[0],
                Self::MAPS[1]
            )));
        }
        let mut taken = Taken {
            specs: Arc::clone(self),
            descriptions: Vec::new(),
            addresses: Vec::new(),
            forever: Mutex::default(),
        };
        let mut numbers = Vec::new();
        for arguments in places {
            let description = self.encode(arguments, cookie)?;
            numbers.push(self.take(&description)?);
            taken.descriptions.push(description);
        }
        Ok((numbers, taken))
    }

    fn take(&self, description: &[u8]) -> Result<u32, Error> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.taken.get_mut(description) {
            slot.users += 1;
            return Ok(slot.number);
        }
        let number = match slots.free.pop() {
            Some(number) => number,
            None if slots.next < self.specs.max_entries() => {
                slots.next += 1;
                slots.next - 1
            }
            None => {
                let count = self.specs.max_entries();
                return Err(self.unfit(format!(
                    "its map `{}` has {count} entries, and all are taken: compile it with a larger BPF_USDT_MAX_SPEC_CNT",
                    self.specs.name()
                )));
            }
        };
        if let Err(error) = self.specs.update(&number.to_ne_bytes(), description) {
            slots.free.push(number);
            return Err(error);
        }
        slots.taken.insert(description.to_vec(), Slot { number, users: 1 });
        Ok(number)
    }

    fn encode(&self, arguments: &[Argument], cookie: u64) -> Result<Vec<u8>, Error> {
        let size = self.specs.value_size();
        let room = size.checked_sub(BEHIND).filter(|room| room.is_multiple_of(ARGUMENT)).map(|room| room / ARGUMENT);
        let room = room.ok_or_else(|| {
            self.unfit(format!(
                "the values of its map `{}` have {size} bytes, which is not libbpf's form",
                self.specs.name()
            ))
        })?;
        if arguments.len() > room {
            let count = arguments.len();
            return Err(self.unfit(format!("the probe has {count} arguments, and libbpf's form has room for {room}")));
        }
        let mut bytes: Vec<u8> = arguments.iter().flat_map(encode).collect();
        bytes.resize(room * ARGUMENT, 0);
        bytes.extend(cookie.to_ne_bytes());
        bytes.extend((arguments.len() as u16).to_ne_bytes());
        bytes.resize(size, 0);
        Ok(bytes)
    }

    fn unfit(&self, why: String) -> Error {
        Error::Unfit { attempt: "tell the program where a probe's arguments are".to_owned(), why }
    }
}

impl Taken {
    /// Notes at which addresses the program will be hit, for kernels that have no cookies. An address leads to one description:
    /// who wants another one there has to be refused.
    pub(super) fn at_addresses(&mut self, addresses: &[u64], numbers: &[u32]) -> Result<(), Error> {
        let Some(map) = &self.specs.addresses else {
            return Err(self.specs.unfit(format!("the object has no map `{}`", Specs::MAPS[1])));
        };
        let mut slots = self.specs.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (&address, &number) in addresses.iter().zip(numbers) {
            match slots.addresses.entry(address) {
                Entry::Occupied(slot) if slot.get().number != number => {
                    return Err(self.specs.unfit(format!(
                        "another probe is at {address:#x} already, with another cookie or other arguments, and this kernel has no \
                         cookies to tell them apart (Linux 5.15)"
                    )));
                }
                Entry::Occupied(slot) => slot.into_mut().users += 1,
                Entry::Vacant(slot) => {
                    map.update(key_of(&address.to_ne_bytes(), map), &number.to_ne_bytes())?;
                    slot.insert(Slot { number, users: 1 });
                }
            }
            self.addresses.push(address);
        }
        Ok(())
    }
}

impl Detach for Taken {
    fn keep(&self) {
        *self.forever.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if *self.forever.lock().unwrap_or_else(PoisonError::into_inner) {
            return;
        }
        let mut slots = self.specs.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for address in &self.addresses {
            let Some(slot) = slots.addresses.get_mut(address) else { continue };
            slot.users -= 1;
            if slot.users == 0 {
                slots.addresses.remove(address);
                let gone = self.specs.addresses.as_ref().map(|map| map.delete(key_of(&address.to_ne_bytes(), map)));
                if let Some(Err(error)) = gone {
                    warn!("the address of a probe stays in its map: {error}");
                }
            }
        }
        for description in &self.descriptions {
            let Some(slot) = slots.taken.get_mut(description) else { continue };
            slot.users -= 1;
            if slot.users == 0 {
                let number = slot.number;
                slots.taken.remove(description);
                slots.free.push(number);
            }
        }
    }
}

/// An address as the map's key: as wide as the kernel's `long`.
fn key_of<'a>(address: &'a [u8; 8], map: &Map) -> &'a [u8] {
    address.get(..map.key_size()).unwrap_or(address)
}

/// `struct __bpf_usdt_arg_spec`. How the value is found is a byte and, since libbpf 1.7, 12 bits of where the second register
/// lies and 4 of the power that it is multiplied by; older headers take all of it for one number, which then is none that
/// they know.
fn encode(argument: &Argument) -> [u8; ARGUMENT] {
    const CONSTANT: u32 = 0;
    const REGISTER: u32 = 1;
    const MEMORY: u32 = 2;
    const MEMORY_INDEXED: u32 = 3;
    /// Programs are told EINVAL.
    const NONE: u32 = 0xff;
    let (value, how, register) = match argument.place {
        Place::Constant(value) => (value, CONSTANT, 0),
        Place::Register(register) => (0, REGISTER, register),
        Place::Memory { base, distance, index: None } => (distance, MEMORY, base),
        Place::Memory { base, distance, index: Some((index, power)) } => {
            let how = match cfg!(target_endian = "little") {
                true => MEMORY_INDEXED | u32::from(index) << 8 | u32::from(power) << 20,
                false => MEMORY_INDEXED | u32::from(power) << 8 | u32::from(index) << 12,
            };
            (distance, how, base)
        }
        Place::Unreadable => (0, NONE, 0),
    };
    let mut bytes = [0; ARGUMENT];
    let shift = 64 - argument.size * 8;
    let parts = value.to_ne_bytes().into_iter().chain(how.to_ne_bytes()).chain(register.to_ne_bytes());
    for (byte, part) in bytes.iter_mut().zip(parts.chain([u8::from(argument.signed), shift])) {
        *byte = part;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn arguments_have_libbpfs_form() {
        let memory = Place::Memory { base: 0x20, distance: -2, index: Some((0x50, 3)) };
        assert_eq!(
            encode(&Argument { place: memory, size: 4, signed: true }),
            [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 0x50, 0x30, 0, 0x20, 0, 1, 32]
        );
        let constant = Argument { place: Place::Constant(7), size: 8, signed: false };
        assert_eq!(encode(&constant), [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let register = Argument { place: Place::Register(0x50), size: 1, signed: false };
        assert_eq!(encode(&register), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x50, 0, 0, 56]);
    }
}
