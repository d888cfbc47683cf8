//! One ring with its pages mapped read-only.

use cutaway::{
    Map,
    mmap_ring::Peek,
    system::{self, FdOwner, ProgramEntry},
};

use super::{
    super::{
        args::Arguments,
        payload,
        programs::programs,
        rates::{Positions, Watched},
        types::Types,
    },
    lost::Counters,
    snapshot::{Mode, Snapshot},
};
use crate::error::CliError;

/// A ring with its pages mapped. Its fd keeps the map alive if all owners exit.
pub(crate) struct Ring {
    map: Map,
    pages: Peek,
    mode: Mode,
    types: Option<Types>,
    /// Payloads that a snapshot copies.
    payloads: usize,
}

impl Ring {
    pub(crate) fn open(map: Map, arguments: &Arguments) -> Result<Self, CliError> {
        let pages = map.peek()?;
        let Some(mode) = Mode::of(&map) else {
            return Err(CliError::new(format!("the map `{}` is a {}, not a ring", map.name(), map.map_type())));
        };
        let types = Types::of(arguments, &[map.id()], false)?;
        Ok(Self { map, pages, mode, types, payloads: arguments.records() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.map.id()
    }

    pub(crate) fn name(&self) -> &str {
        self.map.name()
    }

    /// Takes a snapshot with at most `payloads` payloads, decoded if their type is known.
    pub(crate) fn snapshot(&self, payloads: usize) -> Snapshot {
        let mut snapshot = Snapshot::take(&self.pages, (self.id(), self.name(), self.mode), payloads);
        if let Some(types) = &self.types {
            snapshot.decode(types);
        }
        snapshot
    }

    /// Takes a snapshot with as many payloads as `--records` says.
    pub(crate) fn full_snapshot(&self) -> Snapshot {
        self.snapshot(self.payloads)
    }

    /// Formats a payload on one line.
    pub(crate) fn payload(&self, bytes: &[u8]) -> String {
        match &self.types {
            Some(types) => types.text(bytes),
            None => payload::text(bytes),
        }
    }

    pub(crate) fn is_decoded(&self) -> bool {
        self.types.is_some()
    }

    /// Returns the processes that hold the ring, without this one; `None` if none is found and some processes cannot be
    /// inspected.
    pub(crate) fn owners(&self) -> Result<Option<Vec<FdOwner>>, CliError> {
        let holders = system::open_fds()?;
        let found = holders.of_map(self.id()).filter(|holder| holder.pid != std::process::id());
        let found: Vec<_> = found.cloned().collect();
        Ok((!found.is_empty() || holders.hidden == 0).then_some(found))
    }

    /// Returns the programs that use the ring; `None` if programs cannot be inspected.
    pub(crate) fn programs(&self) -> Result<Option<Vec<ProgramEntry>>, CliError> {
        let mut programs = programs()?;
        if let Some(programs) = &mut programs {
            programs.retain(|program| program.maps.contains(&self.id()));
        }
        Ok(programs)
    }

    /// Finds the counters of lost records in the programs that use the ring.
    pub(crate) fn counters(&self) -> Result<Counters, CliError> {
        Ok(match self.mode {
            Mode::Ring => Counters::find(self.id(), self.programs()?.as_deref()),
            Mode::Overwrite => Counters::none("a ring buffer does not count what is overwritten"),
            Mode::User => Counters::none("only the process that writes to it knows"),
        })
    }
}

impl Watched for Ring {
    fn positions(&self) -> Positions {
        let positions = self.pages.positions();
        Positions { oldest: self.mode.oldest(&positions), released: positions.consumer, written: positions.producer }
    }

    fn tally(&self, from: u64, to: u64, most: u64) -> Option<(u64, u64)> {
        self.pages.count_records(from, to, most).map(|tally| (tally.records, tally.bytes))
    }
}
