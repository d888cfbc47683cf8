//! A generated module on the running kernel: `bindgen/typed.rs` is what `cutaway bindgen` makes of
//! `tests/corpus/bindgen/typed.o`. (`tests/xtask/tests/bindgen.rs` compares the two.)

#[rustfmt::skip]
mod typed;

use std::time::Duration;

use cutaway::{Pod, mmap_ring::Wake};
use typed::{Counts, Event, Key, LoadedTyped, OpenTyped, TypedLinks, Verdict};

use crate::{
    harness::{Test, test},
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(generated_module_reads_maps_and_records).needs(root).needs(ring),
        test!(generated_module_changes_the_object_before_loading).needs(root).needs(ring),
        test!(links_have_the_names_of_their_programs).needs(root).needs(ring),
        test!(named_link_is_changed_in_place).needs(root).needs(ring),
        test!(object_is_loaded_in_part).needs(root).needs(ring),
        test!(generated_types_convert_both_ways),
        test!(bit_fields_and_unions_share_their_bytes),
    ]
}

fn load(own: u32) -> (LoadedTyped, TypedLinks) {
    let mut open = OpenTyped::open().unwrap();
    open.globals().set_own(own).unwrap();
    let loaded = open.load().unwrap();
    let links = loaded.attach().unwrap();
    (loaded, links)
}

fn call() {
    let _ = rustix::process::getpgid(None);
}

fn key() -> Key {
    Key { pid: std::process::id(), kind: 7, tag: *b"x\0" }
}

fn generated_module_reads_maps_and_records() {
    let (loaded, links) = load(std::process::id());
    let mut ring = loaded.maps().events().unwrap().ring().unwrap();
    call();
    call();
    drop(links);

    let counted = loaded.maps().counted().unwrap();
    let counts = counted.get(&key()).unwrap().unwrap();
    assert_eq!(counts, Counts { calls: 2, verdict: Verdict::VERDICT_SEEN, seen: true });
    assert_eq!(counted.keys().map(Result::unwrap).collect::<Vec<_>>(), [key()]);
    counted.set(&key(), &Counts { calls: 9, ..counts }).unwrap();
    assert_eq!(counted.get(&key()).unwrap().unwrap().calls, 9);

    assert_eq!(loaded.globals().total().unwrap().read().unwrap(), 2);
    assert_eq!(loaded.globals().own().unwrap().read().unwrap(), std::process::id());
    let steps = loaded.globals().steps().unwrap();
    assert_eq!(steps.read().unwrap(), [1, -2, 3, -4]);
    steps.write(&[5, 6, 7, -8]).unwrap();
    assert_eq!(steps.read().unwrap(), [5, 6, 7, -8]);
    assert_eq!(loaded.globals().label().unwrap().read().unwrap().kind, 7);

    let mut events = Vec::new();
    while events.len() < 2 && ring.wait(Some(Duration::from_secs(5))).unwrap() == Wake::Ready {
        events.extend(ring.batch().unwrap().into_iter().map(|record| Event::from_record(record).unwrap()));
    }
    let [first, second] = events[..] else { panic!("{events:?}") };
    assert!(first.time < second.time, "{events:?}");
    assert_eq!((first.pid, first.verdict, first.verdict.name()), (key().pid, Verdict(0x10000), Some("VERDICT_LAST")));
    assert_eq!((first.low(), first.high(), first.change()), (21, 0x765_4321, -3));
    assert_eq!((first.word(), first.bytes()), (0x0403_0201_u32.to_le(), [1, 2, 3, 4]));
    assert!(first.comm.starts_with(b"typed\0"), "{first:?}");
    assert!(format!("{first:?}").contains("verdict: VERDICT_LAST, low: 21, high: 124076833, change: -3"), "{first:?}");
}

fn generated_module_changes_the_object_before_loading() {
    let mut open = OpenTyped::open().unwrap();
    open.maps().counted().unwrap().max_entries = 3;
    open.programs().on_getpgid().unwrap().section.autoload = false;
    open.globals().set_total(41).unwrap();
    let loaded = open.load().unwrap();
    assert_eq!(loaded.maps().counted().unwrap().map().max_entries(), 3);
    assert_eq!(loaded.globals().total().unwrap().read().unwrap(), 41);
    let refused = loaded.programs().on_getpgid().unwrap_err().to_string();
    assert!(refused.contains("`section.autoload` is false"), "{refused}");
}

fn links_have_the_names_of_their_programs() {
    let (loaded, mut links) = load(std::process::id());
    assert!(links.on_getpgid().is_some() && links.links.get("other").is_none());
    assert_eq!(links.links.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["on_getpgid"]);
    let total = loaded.globals().total().unwrap();
    call();
    assert_eq!(total.read().unwrap(), 1);
    drop(links.links.take("on_getpgid").unwrap());
    call();
    assert_eq!(total.read().unwrap(), 1, "it is detached");
    assert!(links.on_getpgid().is_none());
}

fn named_link_is_changed_in_place() {
    let (loaded, mut links) = load(std::process::id());
    let mut open = OpenTyped::open().unwrap();
    open.globals().set_own(std::process::id()).unwrap();
    let other = open.load().unwrap();
    assert!(links.links.get_mut("other").is_none());
    assert_eq!(links.links.iter_mut().map(|(name, _)| name.to_owned()).collect::<Vec<_>>(), ["on_getpgid"]);
    let link = links.links.get_mut("on_getpgid").unwrap();
    drop(std::mem::replace(link, other.programs().on_getpgid().unwrap().attach().unwrap()));
    call();
    let total = |loaded: &LoadedTyped| loaded.globals().total().unwrap().read().unwrap();
    assert_eq!((total(&loaded), total(&other)), (0, 1), "the other program runs");
}

fn object_is_loaded_in_part() {
    let mut open = OpenTyped::open().unwrap();
    open.globals().set_own(std::process::id()).unwrap();
    let (loaded, failed) = open.into_object().load_partial().unwrap();
    let loaded = LoadedTyped::from_loaded(loaded);
    assert!(failed.is_empty(), "{failed:?}");
    let _links = loaded.attach().unwrap();
    call();
    assert_eq!(loaded.globals().total().unwrap().read().unwrap(), 1);
}

fn generated_types_convert_both_ways() {
    let key = Key { pid: 1, kind: 2, tag: *b"ab" };
    let mut bytes = [0; Key::SIZE];
    key.write_to(&mut bytes);
    assert_eq!(Key::read_from(&bytes), Some(key));
    assert_eq!((Key::read_from(&bytes[1..]), Key::from_record(&[0; 7])), (None, None));
    assert_eq!(Key::from_record(&[[0; 8], [1; 8]].concat()), Some(Key::default()));
    // Padding is written as zeroes, and 2 is no bool.
    let counts = Counts { calls: u64::MAX, verdict: Verdict(7), seen: true };
    let mut bytes = [0xff; Counts::SIZE];
    counts.write_to(&mut bytes);
    assert_eq!((bytes[12], bytes[13..16].to_vec(), Counts::read_from(&bytes)), (1, vec![0; 3], Some(counts)));
    bytes[12] = 2;
    assert_eq!(Counts::read_from(&bytes), None);
    assert_eq!(
        (format!("{:?}", Verdict(7)), format!("{:?}", Verdict(3))),
        ("Verdict(7)".into(), "VERDICT_SEEN".into())
    );
}

fn bit_fields_and_unions_share_their_bytes() {
    let mut event = Event::default();
    event.set_low(0xff);
    event.set_high(1);
    event.set_change(3);
    // Bits that do not fit are cut off: 5 bits of 0xff, 3 signed bits of 3 and of 4.
    assert_eq!((event.low(), event.high(), event.change()), (31, 1, 3));
    event.set_change(4);
    event.set_low(0);
    assert_eq!((event.low(), event.high(), event.change()), (0, 1, -4));
    event.set_bytes([1, 0, 0, 0]);
    assert_eq!(event.word(), 1_u32.to_le());
    let mut bytes = [0; Event::SIZE];
    event.write_to(&mut bytes);
    assert_eq!(Event::read_from(&bytes), Some(event));
}
