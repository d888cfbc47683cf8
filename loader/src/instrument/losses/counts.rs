//! Reads the counts of lost records, and keeps which of them are complete.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use cutaway_sys::Helper;

use super::{
    super::insertions::Insertions,
    counters::{self, Counters, Form},
    sites::{Site, Sites, SourceLine},
};
use crate::{
    Error, Map, MapFlags, MapSpec, MapType, Object, elf::Start, link::Linked, resolve::Resolved, token::Tokens,
};

/// Inserts the counting after each call of a program that sends records. `fd` is the fd of the map with the counters.
pub(in crate::instrument) fn insert(
    sites: &Sites,
    linked: &Linked,
    fd: i32,
    form: Form,
    into: &mut Insertions,
) -> Result<(), Error> {
    let mut functions = linked.functions.iter();
    functions.try_for_each(|(function, start)| counters::insert(sites, *function, *start, fd, form, into))
}

/// The counting of losses while an object is loaded.
#[derive(Debug)]
pub(in crate::instrument) struct LossCounting {
    sites: Sites,
    /// The counters, or the reason why there are none.
    counters: Result<Counters, String>,
    /// True for [`Form::Pointer`], false for [`Form::Number`].
    compares_pointers: AtomicBool,
    /// The object's maps.
    buffers: Vec<Buffer>,
    /// The functions of the loaded programs, each with the reason why a program that contains it does not count.
    functions: BTreeMap<Start, Option<String>>,
}

impl LossCounting {
    /// Finds the call sites and creates the counters.
    /// `created` returns a map by its index in the object.
    pub(in crate::instrument) fn of<'m>(
        object: &Object,
        resolved: &Resolved,
        created: &dyn Fn(usize) -> Option<&'m Map>,
        tokens: &Tokens<'_>,
    ) -> Result<Self, Error> {
        let sites = Sites::of(object, resolved)?;
        let maps: Vec<_> = (0..object.maps().len()).map(created).collect();
        let id = |map: usize| maps.get(map).copied().flatten().map(Map::id);
        let counters = match sites.len() {
            0 => Err("the object sends no records".to_owned()),
            _ => Counters::create(&sites, &id, tokens).map_err(|error| error.to_string()),
        };
        let buffers = object.maps().iter().zip(&maps).map(|(spec, map)| {
            // A map that is reused from a pin has the flags that it was created with.
            Buffer::of(spec, map.map_or(spec.map_flags, Map::flags))
        });
        let buffers = buffers.collect();
        Ok(Self { sites, counters, compares_pointers: AtomicBool::new(false), buffers, functions: BTreeMap::new() })
    }

    /// Returns whether calls of a program can be counted.
    pub(in crate::instrument) fn has_sites(&self, linked: &Linked) -> bool {
        let has_site = |function: Start| self.sites.of_function(function).next().is_some();
        self.counters.is_ok() && linked.functions.iter().any(|(function, _)| has_site(*function))
    }

    /// Inserts the counting into a program; with `sum` in the form [`Form::Sum`].
    pub(in crate::instrument) fn insert(&self, linked: &Linked, sum: bool, into: &mut Insertions) -> Result<(), Error> {
        let Ok(counters) = &self.counters else { return Ok(()) };
        insert(&self.sites, linked, counters.fd(), if sum { Form::Sum } else { self.form() }, into)
    }

    /// Returns the form of the counting with a jump.
    pub(in crate::instrument) fn form(&self) -> Form {
        // ATOMICS: only the flag itself is shared between threads. A thread that misses the change makes it itself.
        if self.compares_pointers.load(Ordering::Relaxed) { Form::Pointer } else { Form::Number }
    }

    /// Returns whether the verifier may accept the counting in another form, and changes the form. `why` is the reason
    /// for the refusal of a program that counts in the form `form`.
    pub(in crate::instrument) fn changes_form(&self, form: Form, why: &str) -> bool {
        let changes = form == Form::Number && why.contains("pointer arithmetic prohibited");
        if changes {
            self.compares_pointers.store(true, Ordering::Relaxed);
        }
        changes
    }

    /// Notes that a program with these functions is loaded with the counting, or without it for a reason.
    pub(in crate::instrument) fn note(&mut self, functions: &[(Start, usize)], counted: Result<(), &str>) {
        for &(function, _) in functions {
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
    /// The reason why more records may be lost; `None` if `counted` has all failures.
    pub unknown: Option<String>,
    /// True if each call that may send to this map is counted. If it is true and the losses are unknown, only their
    /// distribution over the maps is: the failures of calls whose map is unknown are in [`Losses::sites`].
    pub all_calls_counted: bool,
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
        let buffers = &self.counting.buffers;
        let sites = self.counted()?.into_iter().map(|(site, lost)| LossSite {
            function: site.name.clone(),
            helper: site.helper,
            map: site.map.and_then(|map| buffers.get(map)).map(|buffer| buffer.name.clone()),
            line: site.line.clone(),
            lost: lost.map_err(str::to_owned),
        });
        Ok(sites.collect())
    }

    /// Returns the losses of each map that a call site of the loaded programs passes, in the object's order.
    ///
    /// A call site whose map is unknown may have lost records of any map. So if such a site has failures or is not
    /// counted, [`MapLosses::unknown`] says so for each map. Its failures are in [`MapLosses::counted`] of no map:
    /// [`sites`](Self::sites) has them.
    ///
    /// A ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`, Linux 6.19) loses records without a failed
    /// call. So its losses are always unknown. Records that a perf buffer overwrites, because its reader opened it so
    /// (`write_backward`), are not counted either; the map does not show this.
    ///
    /// # Errors
    ///
    /// As [`Losses::sites`].
    pub fn maps(&self) -> Result<Vec<MapLosses>, Error> {
        let sites = self.counted()?;
        Ok(of_maps(&self.counting.buffers, &sites))
    }

    /// Returns the call sites in the functions of the loaded programs, each with its failures.
    fn counted(&self) -> Result<Vec<Counted<'_>>, Error> {
        let counting = &self.counting;
        let mut found = Vec::new();
        for (index, site) in counting.sites.iter().enumerate() {
            let Some(uncounted) = counting.functions.get(&site.function) else { continue };
            let lost = match (&counting.counters, uncounted) {
                (Err(why), _) | (_, Some(why)) => Err(why.as_str()),
                (Ok(counters), None) => Ok(counters.count(index)?),
            };
            found.push((site, lost));
        }
        Ok(found)
    }
}

/// A map of the object, as far as its losses need it.
#[derive(Debug)]
struct Buffer {
    name: String,
    /// True if it is a ring that overwrites its oldest records.
    overwrites: bool,
}

/// A call site, and its failures or the reason why they are unknown.
type Counted<'s> = (&'s Site, Result<u64, &'s str>);

const OVERWRITES: &str = "the ring overwrites its oldest records (BPF_F_RB_OVERWRITE), and no failed call reports them";

impl Buffer {
    fn of(spec: &MapSpec, flags: MapFlags) -> Self {
        let overwrites = spec.map_type == MapType::RINGBUF && flags.contains(MapFlags::RB_OVERWRITE);
        Self { name: spec.name.clone(), overwrites }
    }
}

/// Sums the failures of the call sites for each map.
fn of_maps(buffers: &[Buffer], sites: &[Counted<'_>]) -> Vec<MapLosses> {
    /// The losses of one map.
    #[derive(Default)]
    struct Sum<'s> {
        has_site: bool,
        counted: u64,
        unknown: Option<&'s str>,
    }
    let mut sums: Vec<_> = buffers.iter().map(|_| Sum::default()).collect();
    let (mut uncounted, mut of_unknown_maps, mut has_unknown_map) = (None, 0_u64, false);
    for (site, lost) in sites {
        match (site.map.and_then(|map| sums.get_mut(map)), *lost) {
            (Some(sum), lost) => {
                sum.has_site = true;
                match lost {
                    Ok(lost) => sum.counted = sum.counted.saturating_add(lost),
                    Err(why) => sum.unknown = Some(why),
                }
            }
            (None, lost) => {
                has_unknown_map = true;
                match lost {
                    Ok(lost) => of_unknown_maps = of_unknown_maps.saturating_add(lost),
                    Err(why) => uncounted = uncounted.or(Some(why)),
                }
            }
        }
    }
    let undistributed = (of_unknown_maps > 0).then(|| format!("{of_unknown_maps} lost by calls whose map is unknown"));
    let any_map = uncounted.is_some() || undistributed.is_some();
    let of_map = |(buffer, sum): (&Buffer, Sum<'_>)| {
        let overwrites = buffer.overwrites.then_some(OVERWRITES);
        let may_lose = sum.has_site || any_map || buffer.overwrites && has_unknown_map;
        let unseen = sum.unknown.or(uncounted).or(overwrites);
        may_lose.then(|| MapLosses {
            map: buffer.name.clone(),
            counted: sum.counted,
            unknown: unseen.or(undistributed.as_deref()).map(str::to_owned),
            all_calls_counted: unseen.is_none(),
        })
    };
    buffers.iter().zip(sums).filter_map(of_map).collect()
}

#[cfg(test)]
mod tests;
