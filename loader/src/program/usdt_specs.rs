//! The maps by which libbpf's `usdt.bpf.h` passes programs the argument locations of a probe.
//!
//! An object that includes that header has two maps. `__bpf_usdt_specs` is an array of `struct __bpf_usdt_spec`, with
//! one entry for each distinct set of argument locations. When a program is hit, it finds the index of its spec in its
//! attach cookie if the kernel has cookies (Linux 5.15). Otherwise it finds the index in the hash
//! `__bpf_usdt_ip_to_spec_id`, by the address of the hit.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use log::warn;

use super::UsdtLayout;
use crate::{Error, Map};

/// The maps, and which of their entries are in use. All programs of an object share them.
#[derive(Debug)]
pub(crate) struct UsdtSpecs {
    specs: Map,
    /// The layout of its values; if it is not known, the reason, which follows "the values of its map … ".
    layout: Result<UsdtLayout, String>,
    /// `__bpf_usdt_ip_to_spec_id`
    addresses: Option<Map>,
    /// Why others may use the maps' entries too.
    shared: Option<String>,
    slots: Mutex<Slots>,
}

/// The entries in use. Probe sites with equal specs, cookie included, share an entry.
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

/// Entries in use by one attachment; dropping this frees them.
#[derive(Debug)]
pub(crate) struct SpecsInUse {
    specs: Arc<UsdtSpecs>,
    descriptions: Vec<Vec<u8>>,
    addresses: Vec<u64>,
    forever: Mutex<bool>,
}

impl UsdtSpecs {
    /// The names of the header's maps.
    pub(crate) const MAPS: [&str; 2] = ["__bpf_usdt_specs", "__bpf_usdt_ip_to_spec_id"];

    pub(crate) fn new(
        specs: Map,
        layout: Result<UsdtLayout, String>,
        addresses: Option<Map>,
        shared: Option<String>,
    ) -> Self {
        Self { specs, layout, addresses, shared, slots: Mutex::default() }
    }

    /// Returns the layout of the entries. An unknown layout is an error: the program would read other locations than
    /// the probe's.
    pub(crate) fn layout(&self) -> Result<&UsdtLayout, Error> {
        let name = self.specs.name();
        self.layout.as_ref().map_err(|why| self.unfit(format!("the values of its map `{name}` {why}")))
    }

    /// Writes an encoded spec for each probe site. Returns their indices, and the guard that keeps them in use.
    pub(crate) fn describe(
        self: &Arc<Self>,
        descriptions: impl Iterator<Item = Result<Vec<u8>, Error>>,
    ) -> Result<(Vec<u32>, SpecsInUse), Error> {
        if let Some(why) = &self.shared {
            return Err(self.unfit(why.clone()));
        }
        let mut taken = SpecsInUse {
            specs: Arc::clone(self),
            descriptions: Vec::new(),
            addresses: Vec::new(),
            forever: Mutex::default(),
        };
        let mut numbers = Vec::new();
        for description in descriptions {
            let description = description?;
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
                    "its map `{}` has {count} entries, and all are in use: compile it with a larger \
                         BPF_USDT_MAX_SPEC_CNT",
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

    pub(crate) fn unfit(&self, why: String) -> Error {
        Error::Invalid { operation: "pass the program a probe's argument locations".to_owned(), why }
    }
}

impl SpecsInUse {
    /// Writes the addresses at which the program will be hit, for kernels without cookies. Each address has one spec: a
    /// different spec for the same address is refused.
    pub(crate) fn at_addresses(&mut self, addresses: &[u64], numbers: &[u32]) -> Result<(), Error> {
        let Some(map) = &self.specs.addresses else {
            return Err(self.specs.unfit(format!("the object has no map `{}`", UsdtSpecs::MAPS[1])));
        };
        let sizes = (map.key_size(), map.value_size());
        if sizes != (8, 4) {
            return Err(self.specs.unfit(format!(
                "the keys and values of its map `{}` have {} and {} bytes, and libbpf's usdt.bpf.h has 8 (an address) and 4 \
                 (an index)",
                map.name(),
                sizes.0,
                sizes.1
            )));
        }
        let mut slots = self.specs.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (&address, &number) in addresses.iter().zip(numbers) {
            match slots.addresses.entry(address) {
                Entry::Occupied(slot) if slot.get().number != number => {
                    return Err(self.specs.unfit(format!(
                        "another probe is already at {address:#x}, with another cookie or other arguments, and this kernel has no \
                         cookies to tell them apart (Linux 5.15)"
                    )));
                }
                Entry::Occupied(slot) => slot.into_mut().users += 1,
                Entry::Vacant(slot) => {
                    map.update(&address.to_ne_bytes(), &number.to_ne_bytes())?;
                    slot.insert(Slot { number, users: 1 });
                }
            }
            self.addresses.push(address);
        }
        Ok(())
    }
}

impl SpecsInUse {
    /// Keeps the entries when this is dropped: the program may stay attached.
    pub(crate) fn keep(&self) {
        *self.forever.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl Drop for SpecsInUse {
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
                let gone = self.specs.addresses.as_ref().map(|map| map.delete(&address.to_ne_bytes()));
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
