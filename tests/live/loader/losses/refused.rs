//! Objects of which some programs load without counting or do not load, and the map of the counters.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use cutaway::{Loaded, Map, Object, Run};

use super::{lost, packet, programs, sites};
use crate::{
    harness::{Test, test},
    own_mounts,
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(loop_that_is_too_complex_with_jumps_is_counted_without).needs(ring),
        test!(program_with_the_most_maps_loads_without_counts_and_marks).needs(ring),
        test!(program_whose_stack_is_full_is_counted_and_marked).needs(ring),
        test!(program_that_does_not_load_has_no_sites).needs(ring),
        test!(pinned_ring_is_counted_by_each_load).needs(ring),
        test!(counters_are_a_map_of_their_own_until_the_object_is_dropped).needs(ring),
        test!(object_without_calls_has_no_counters).needs(ring),
        test!(object_that_is_not_counted_has_no_losses).needs(ring),
    ]
}

fn counted(mut object: Object) -> Object {
    object.count_losses();
    object
}

/// Returns the ids of the maps that this process holds open. The test has a process of its own.
fn open_maps() -> BTreeSet<u32> {
    let files = fs::read_dir("/proc/self/fdinfo").unwrap();
    // The fd of the directory is closed before its file is read.
    let texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
    texts.filter_map(|text| text.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse().ok())).collect()
}

fn own_maps(loaded: &Loaded) -> BTreeSet<u32> {
    loaded.maps().map(Map::id).collect()
}

/// The verifier refuses a jump after each call. The counting without jumps is exact too.
fn loop_that_is_too_complex_with_jumps_is_counted_without() {
    let loaded = counted(programs::many_turns()).load().unwrap();
    let mut ring = loaded.map("events").unwrap().ring().unwrap();
    loaded.program("send").unwrap().test_run(&packet(1)).unwrap();
    let mut received = 0;
    ring.drain(|_| received += 1).unwrap();
    assert!(received > 0);
    assert_eq!(received + lost(&loaded, "events"), programs::TURNS);
}

fn program_with_the_most_maps_loads_without_counts_and_marks() {
    let mut object = counted(programs::most_maps());
    object.cover();
    let loaded = object.load().unwrap();
    let losses = loaded.losses().unwrap();
    let sites = losses.sites().unwrap();
    assert_eq!(sites.len(), 1, "{sites:?}");
    let why = sites[0].lost.as_ref().unwrap_err();
    // Older verifiers give no reason.
    assert!(why.contains("limit of 64") || why.contains("E2BIG"), "{why}");
    let maps = losses.maps().unwrap();
    assert_eq!((maps.len(), maps[0].exact(), maps[0].unknown.as_ref()), (1, None, Some(why)), "{maps:?}");
    let not_measured = loaded.coverage().unwrap().not_measured();
    assert_eq!(not_measured.len(), 1, "{not_measured:?}");
    assert_eq!((not_measured[0].function.as_str(), &not_measured[0].why), ("send", why));
    loaded.program("send").unwrap().test_run(&packet(1000)).unwrap();
    assert_eq!(losses.sites().unwrap(), sites, "a count that is unknown stays so");
    let report = loaded.coverage().unwrap().report().unwrap();
    let lines: Vec<_> = report.files.iter().flat_map(|file| &file.lines).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.runs == Run::NotMeasured), "{lines:?}");
}

/// One mark would need stack, so it is skipped.
fn program_whose_stack_is_full_is_counted_and_marked() {
    let mut object = counted(programs::full_stack());
    object.cover();
    let loaded = object.load().unwrap();
    assert_eq!(loaded.coverage().unwrap().not_measured(), []);
    loaded.program("send").unwrap().test_run(&packet(1000)).unwrap();
    assert!(lost(&loaded, "events") > 0);
    let report = loaded.coverage().unwrap().report().unwrap();
    let lines: Vec<_> = report.files.iter().flat_map(|file| &file.lines).collect();
    let ran = lines.iter().filter(|line| line.runs.ran()).count();
    assert!(ran > 0 && lines.iter().all(|line| line.runs != Run::NotRun), "{lines:?}");
}

fn program_that_does_not_load_has_no_sites() {
    let object = counted(programs::good_and_bad());
    assert!(object.clone().load().is_err());
    let (loaded, failed) = object.load_partial().unwrap();
    let failed: Vec<_> = failed.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(failed, ["bad"]);
    loaded.program("good").unwrap().test_run(&packet(1000)).unwrap();
    let sites = sites(&loaded);
    let [(site, lost)] = sites.as_slice() else { panic!("{sites:?}") };
    assert_eq!(site.function, "good");
    assert!(*lost > 0);
}

fn pinned_ring_is_counted_by_each_load() {
    let directory = own_mounts::Mounted::new("bpf").unwrap();
    let load = || {
        let mut object = counted(programs::pinned());
        object.set_pin_root(directory.path());
        object.load().unwrap()
    };
    let (first, second) = (load(), load());
    assert_eq!(first.map("events").unwrap().id(), second.map("events").unwrap().id());
    first.program("send").unwrap().test_run(&packet(1000)).unwrap();
    let of_first = lost(&first, "events");
    assert!(of_first > 0);
    second.program("send").unwrap().test_run(&packet(10)).unwrap();
    assert_eq!((lost(&first, "events"), lost(&second, "events")), (of_first, 10));
    // A new bpffs has the files `maps.debug` and `progs.debug`.
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let pins: Vec<PathBuf> = files.filter(|path| path.extension().is_none()).collect();
    assert_eq!(pins, [directory.path().join("events")]);
}

/// Observers in other processes read the counters of this map.
fn counters_are_a_map_of_their_own_until_the_object_is_dropped() {
    let loaded = counted(programs::several()).load().unwrap();
    loaded.program("send").unwrap().test_run(&packet(1000)).unwrap();
    let counts = sites(&loaded);
    let counters: Vec<_> = open_maps().difference(&own_maps(&loaded)).copied().collect();
    let [id] = counters.as_slice() else { panic!("{counters:?}") };
    let map = Map::from_id(*id).unwrap();
    assert_eq!((map.name(), map.max_entries(), map.value_size()), ("cutaway_losses", 1, 16 * counts.len()));
    let bytes = map.lookup(&[0; 4]).unwrap().unwrap();
    for ((site, lost), bytes) in counts.iter().zip(bytes.chunks_exact(16)) {
        let ring = loaded.map(site.map.as_deref().unwrap()).unwrap();
        let line = site.line.as_ref().unwrap().line;
        assert_eq!(bytes, [&lost.to_ne_bytes()[..], &ring.id().to_ne_bytes(), &line.to_ne_bytes()].concat());
    }
    drop((loaded, map));
    // The kernel frees a map some time after its last fd is closed.
    let end = Instant::now() + Duration::from_secs(60);
    while Map::from_id(*id).is_ok() {
        assert!(Instant::now() < end, "the map {id} is not freed");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn object_without_calls_has_no_counters() {
    let loaded = counted(programs::silent()).load().unwrap();
    assert_eq!(open_maps(), own_maps(&loaded));
    let losses = loaded.losses().unwrap();
    assert_eq!((losses.sites().unwrap(), losses.maps().unwrap()), (vec![], vec![]));
}

fn object_that_is_not_counted_has_no_losses() {
    let loaded = programs::several().load().unwrap();
    assert_eq!(open_maps(), own_maps(&loaded));
    assert!(loaded.losses().is_none() && loaded.coverage().is_none());
}
