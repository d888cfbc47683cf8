//! One ring, opened for looking.

mod live;

use cutaway::{
    Map, MapFlags, MapType,
    mmap_ring::Peek,
    system::{self, Holder, ProgramEntry},
};

pub(crate) use self::live::LiveRing;
use super::{Arguments, Mode, Snapshot, types::Types};
use crate::failure::Failure;

/// A ring that is looked at. It keeps the map alive, whoever dies.
pub(crate) struct Ring {
    map: Map,
    pages: Peek,
    mode: Mode,
    types: Option<Types>,
    /// How many payloads a look copies.
    payloads: usize,
}

/// The way in which a map is a ring; `None` if it is none.
pub(crate) fn mode(map: &Map) -> Option<Mode> {
    match map.map_type() {
        MapType::RINGBUF if map.flags().contains(MapFlags::RB_OVERWRITE) => Some(Mode::Overwrite),
        MapType::RINGBUF => Some(Mode::Ring),
        MapType::USER_RINGBUF => Some(Mode::User),
        _ => None,
    }
}

/// Every program that may be looked at. One who may look at none sees the rings all the same.
pub(crate) fn programs() -> Result<Vec<ProgramEntry>, Failure> {
    system::programs()
        .filter_map(|program| match program {
            Err(error) if wants_descriptors(&error) => Some(Err(error.into())),
            program => program.ok().map(Ok),
        })
        .collect()
}

/// Whether there is no descriptor left to look with: what was looked for may be there all the same.
pub(crate) fn wants_descriptors(error: &cutaway::Error) -> bool {
    error.errno().is_some_and(|errno| matches!(errno.raw(), libc::EMFILE | libc::ENFILE))
}

impl Ring {
    pub(crate) fn open(map: Map, arguments: &Arguments) -> Result<Self, Failure> {
        let pages = map.peek()?;
        let Some(mode) = mode(&map) else {
            return Err(Failure::new(format!("the map `{}` is a {}, no ring", map.name(), map.map_type())));
        };
        let wanted = arguments.decode_as.as_deref();
        let types = wanted.map(|name| Types::find(name, arguments.btf.as_deref(), Some(map.id()))).transpose()?;
        Ok(Self { map, pages, mode, types, payloads: arguments.records() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.map.id()
    }

    pub(crate) fn name(&self) -> &str {
        self.map.name()
    }

    /// One look, with at most `payloads` payloads, decoded if their type is known.
    pub(crate) fn look(&self, payloads: usize) -> Snapshot {
        let mut look = Snapshot::take(&self.pages, (self.id(), self.name(), self.mode), payloads);
        if let Some(types) = &self.types {
            types.decode(&mut look);
        }
        look
    }

    /// One look, with as many payloads as were asked for.
    pub(crate) fn full_look(&self) -> Snapshot {
        self.look(self.payloads)
    }

    /// How a payload is shown on one line.
    pub(crate) fn payload(&self, payload: &[u8]) -> String {
        match &self.types {
            Some(types) => types.text(payload),
            None => super::show::bytes(payload),
        }
    }

    pub(crate) fn is_decoded(&self) -> bool {
        self.types.is_some()
    }

    /// The processes that hold it, but this one.
    pub(crate) fn owners(&self) -> Result<Vec<Holder>, Failure> {
        let holders = system::holders()?;
        Ok(holders.of_map(self.id()).filter(|holder| holder.pid != std::process::id()).cloned().collect())
    }

    /// The programs that use it.
    pub(crate) fn programs(&self) -> Result<Vec<ProgramEntry>, Failure> {
        let mut programs = programs()?;
        programs.retain(|program| program.maps.contains(&self.id()));
        Ok(programs)
    }
}
