//! Reads the counts of lost records, and keeps which of them are complete.

use std::collections::BTreeMap;

use cutaway_sys::Helper;

use super::{
    super::insertions::Insertions,
    counters::{self, Counters, NullCheck},
    sites::{Sites, SourceLine},
};
use crate::{Error, Object, elf::Start, link::Linked};

/// Inserts the counting after each call of a program that sends records. `fd` is the fd of the map with the counters.
pub(in crate::instrument) fn insert(
    sites: &Sites,
    linked: &Linked,
    fd: i32,
    check: NullCheck,
    into: &mut Insertions,
) -> Result<(), Error> {
    let mut functions = linked.functions.iter();
    functions.try_for_each(|(function, start)| counters::insert(sites, *function, *start, fd, check, into))
}

/// The counting of losses while an object is loaded.
#[derive(Debug)]
pub(in crate::instrument) struct LossCounting {
    sites: Sites,
    /// The counters, or the reason why there are none.
    counters: Result<Counters, String>,
    check: NullCheck,
    /// The names of the object's maps.
    maps: Vec<String>,
    /// The functions of the loaded programs, each with the reason why a program that contains it does not count.
    functions: BTreeMap<Start, Option<String>>,
}

impl LossCounting {
    /// Finds the call sites and creates the counters.
    pub(in crate::instrument) fn of(object: &Object, ids: &dyn Fn(usize) -> Option<u32>) -> Self {
        let sites = Sites::of(object);
        let counters = match sites.len() {
            0 => Err("the object sends no records".to_owned()),
            _ => Counters::create(&sites, ids).map_err(|error| error.to_string()),
        };
        let maps = object.maps().iter().map(|map| map.name.clone()).collect();
        Self { sites, counters, check: NullCheck::Number, maps, functions: BTreeMap::new() }
    }

    /// Returns whether calls of a program can be counted.
    pub(in crate::instrument) fn has_sites(&self, linked: &Linked) -> bool {
        let has_site = |function: Start| self.sites.of_function(function).next().is_some();
        self.counters.is_ok() && linked.functions.iter().any(|(function, _)| has_site(*function))
    }

    /// Inserts the counting into a program.
    pub(in crate::instrument) fn insert(&self, linked: &Linked, into: &mut Insertions) -> Result<(), Error> {
        let Ok(counters) = &self.counters else { return Ok(()) };
        insert(&self.sites, linked, counters.fd(), self.check, into)
    }

    /// Returns whether the verifier may accept the counting in another form, and changes the form. `why` is the reason
    /// for the refusal.
    pub(in crate::instrument) fn changes_form(&mut self, why: &str) -> bool {
        let changes = self.check == NullCheck::Number && why.contains("pointer arithmetic prohibited");
        if changes {
            self.check = NullCheck::Pointer;
        }
        changes
    }

    /// Notes that a program is loaded with the counting, or without it for a reason.
    pub(in crate::instrument) fn note(&mut self, linked: &Linked, counted: Result<(), &str>) {
        for &(function, _) in &linked.functions {
            let why = counted.err().map(str::to_owned);
            match self.functions.get_mut(&function) {
                Some(known) => *known = known.take().or(why),
                None => {
                    self.functions.insert(function, why);
                }
            }
        }
    }

    /// Ends loading.
    pub(in crate::instrument) fn finish(self) -> Losses {
        Losses { counting: self }
    }
}

/// The records that the programs of a [`Loaded`](crate::Loaded) could not send, counted by inserted instructions: see
/// [`Object::count_losses`].
///
/// Only calls of these programs are counted. Other programs that send to the same map have their own losses.
///
/// `Send` and `Sync`. Reading makes no system call after the first time.
#[derive(Debug)]
pub struct Losses {
    counting: LossCounting,
}

/// A call of a helper that sends records, and the number of its failures: an element of [`Losses::sites`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossSite {
    /// The name of the function that contains the call.
    pub function: String,
    /// The helper: `bpf_ringbuf_reserve`, `bpf_ringbuf_output`, `bpf_ringbuf_reserve_dynptr`, `bpf_perf_event_output`,
    /// `bpf_skb_output` or `bpf_xdp_output`.
    pub helper: Helper,
    /// The name of the map that the call passes; `None` if it is not exactly one known map.
    pub map: Option<String>,
    /// The source line; `None` if the object has no line information for the call.
    pub line: Option<SourceLine>,
    /// The number of failed calls; the reason if it is unknown.
    pub lost: Result<u64, String>,
}

/// The losses of one map: an element of [`Losses::maps`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapLosses {
    /// The map's name.
    pub map: String,
    /// The number of counted failures.
    pub counted: u64,
    /// The reason why more records may be lost; `None` if all failures are counted.
    pub unknown: Option<String>,
}

impl MapLosses {
    /// Returns the number of lost records; `None` if it is unknown.
    #[must_use]
    pub fn exact(&self) -> Option<u64> {
        if self.unknown.is_none() { Some(self.counted) } else { None }
    }
}

impl Losses {
    /// Returns all call sites in the functions of the loaded programs, each with the number of its failures, sorted by
    /// function and call.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the counters cannot be mapped.
    pub fn sites(&self) -> Result<Vec<LossSite>, Error> {
        let counting = &self.counting;
        let mut found = Vec::new();
        for (index, site) in counting.sites.iter().enumerate() {
            let Some(uncounted) = counting.functions.get(&site.function) else { continue };
            let lost = match (&counting.counters, uncounted) {
                (Err(why), _) | (_, Some(why)) => Err(why.clone()),
                (Ok(counters), None) => Ok(counters.count(index)?),
            };
            found.push(LossSite {
                function: site.name.clone(),
                helper: site.helper,
                map: site.map.and_then(|map| counting.maps.get(map)).cloned(),
                line: site.line.clone(),
                lost,
            });
        }
        Ok(found)
    }

    /// Returns the losses of each map that a call site of the loaded programs passes, in the object's order.
    ///
    /// A call site whose map is unknown may have lost records of any map. So if such a site has failures or is not
    /// counted, [`MapLosses::unknown`] says so for each map.
    ///
    /// # Errors
    ///
    /// As [`Losses::sites`].
    pub fn maps(&self) -> Result<Vec<MapLosses>, Error> {
        let sites = self.sites()?;
        let unknown_map = sites.iter().filter(|site| site.map.is_none()).find_map(|site| match &site.lost {
            Ok(0) => None,
            Ok(lost) => {
                Some(format!("{lost} records were lost by a call whose map is unknown, in `{}`", site.function))
            }
            Err(why) => Some(why.clone()),
        });
        let mut maps = Vec::new();
        for map in &self.counting.maps {
            let mut of_map = sites.iter().filter(|site| site.map.as_ref() == Some(map)).peekable();
            if of_map.peek().is_none() && unknown_map.is_none() {
                continue;
            }
            let mut losses = MapLosses { map: map.clone(), counted: 0, unknown: unknown_map.clone() };
            for site in of_map {
                match &site.lost {
                    Ok(lost) => losses.counted += lost,
                    Err(why) => losses.unknown = Some(why.clone()),
                }
            }
            maps.push(losses);
        }
        Ok(maps)
    }
}
