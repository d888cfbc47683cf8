use cutaway_programs::{MapDef, ObjectBuilder, prelude::*};

use super::*;

fn site(map: Option<usize>) -> Site {
    let mut object = ObjectBuilder::new("GPL");
    object.program("raw_tracepoint/sys_enter", "sends", {
        let mut asm = Assembler::new();
        asm.mov(R0, 0);
        asm.exit();
        asm
    });
    let object = Object::parse(&object.write().unwrap()).unwrap();
    let function = object.programs()[0].entry;
    Site { function, slot: 0, helper: Helper::bpf_ringbuf_output, map, name: "sends".to_owned(), line: None }
}

fn buffer(name: &str, overwrites: bool) -> Buffer {
    Buffer { name: name.to_owned(), overwrites }
}

/// Returns the names, the counted losses, and the reasons.
fn losses(buffers: &[Buffer], sites: &[(Site, Result<u64, &str>)]) -> Vec<(String, u64, Option<String>)> {
    let sites: Vec<_> = sites.iter().map(|(site, lost)| (site, *lost)).collect();
    of_maps(buffers, &sites).into_iter().map(|of| (of.map, of.counted, of.unknown)).collect()
}

fn of(name: &str, counted: u64, unknown: Option<&str>) -> (String, u64, Option<String>) {
    (name.to_owned(), counted, unknown.map(str::to_owned))
}

#[test]
fn losses_of_a_ring_that_overwrites_records_are_unknown() {
    let rings = [buffer("plain", false), buffer("overwrites", true)];
    let sites = [(site(Some(0)), Ok(2)), (site(Some(1)), Ok(3))];
    assert_eq!(losses(&rings, &sites), [of("plain", 2, None), of("overwrites", 3, Some(OVERWRITES))]);
    assert_eq!(losses(&rings, &sites[..1]), [of("plain", 2, None)], "no call sends to it");
    // A call that did not fail may have overwritten records.
    assert_eq!(losses(&rings, &[(site(None), Ok(0))]), [of("overwrites", 0, Some(OVERWRITES))]);
}

#[test]
fn flag_of_the_map_decides_whether_a_ring_overwrites_records() {
    let overwrites = |kind: MapType, flags: MapFlags| {
        let mut object = ObjectBuilder::new("GPL");
        object.map("events", MapDef::new(kind).max_entries(4096));
        let object = Object::parse(&object.write().unwrap()).unwrap();
        Buffer::of(&object.maps()[0], flags).overwrites
    };
    assert!(overwrites(MapType::RINGBUF, MapFlags::RB_OVERWRITE));
    assert!(!overwrites(MapType::RINGBUF, MapFlags::default()));
    assert!(!overwrites(MapType::ARRAY, MapFlags::RB_OVERWRITE));
}

#[test]
fn counts_of_any_size_are_summed() {
    let sites = [(site(Some(0)), Ok(u64::MAX)), (site(Some(0)), Ok(2))];
    assert_eq!(losses(&[buffer("events", false)], &sites), [of("events", u64::MAX, None)]);
}

#[test]
fn uncounted_call_makes_its_map_or_all_maps_unknown() {
    let maps = [buffer("one", false), buffer("other", false)];
    let sites = [(site(Some(0)), Err("refused")), (site(Some(0)), Ok(1)), (site(Some(1)), Ok(2)), (site(None), Ok(0))];
    assert_eq!(losses(&maps, &sites), [of("one", 1, Some("refused")), of("other", 2, None)]);
    let sites = [(site(None), Err("refused"))];
    assert_eq!(losses(&maps, &sites), [of("one", 0, Some("refused")), of("other", 0, Some("refused"))]);
}

/// Their number is known, and only the map is not. A reason why calls are not counted says more.
#[test]
fn failures_of_calls_of_unknown_maps_are_summed() {
    let maps = [buffer("one", false), buffer("overwrites", true)];
    let sites = [(site(None), Ok(3)), (site(Some(0)), Ok(1)), (site(None), Ok(4))];
    let unknown = "7 lost by calls whose map is unknown";
    assert_eq!(losses(&maps, &sites), [of("one", 1, Some(unknown)), of("overwrites", 0, Some(OVERWRITES))]);
    let sites: Vec<_> = sites.iter().map(|(site, lost)| (site, *lost)).collect();
    assert_eq!(of_maps(&maps, &sites).iter().map(|of| of.all_calls_counted).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn losses_of_many_maps_and_calls_are_summed_in_one_pass() {
    let maps: Vec<_> = (0..20_000).map(|map| buffer(&format!("map{map}"), false)).collect();
    let first = site(Some(0));
    let sites: Vec<_> = (0..100_000)
        .map(|index| {
            let name = String::new();
            (Site { map: Some(index % maps.len()), name, line: None, ..first }, Ok(1))
        })
        .collect();
    let start = std::time::Instant::now();
    assert!(losses(&maps, &sites).iter().all(|(_, counted, _)| *counted == 5));
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
