//! The ring that overwrites, and the one that user space fills.

use mmap_ring::{OverwriteRing, UserRing};

use crate::kernel::{self, NO_WAKEUP, Producer, create_map};
use crate::{Outcome, PAGE, SHORT, Test, number};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_user_ring_can_be_filled",
            since: (6, 1),
            what: "the user ring buffer",
            run: a_user_ring_can_be_filled,
        },
        Test {
            name: "an_overwriting_ring_keeps_the_newest",
            since: (6, 19),
            what: "rings that overwrite",
            run: keeps_the_newest,
        },
    ]
}

/// Mapping, positions and limits; what drains it is a program of a type that
/// cannot be run here on demand.
fn a_user_ring_can_be_filled() -> Outcome {
    let map = create_map(kernel::MAP_TYPE_USER_RINGBUF, 0, 0, PAGE, 0)?;
    let mut ring = UserRing::open(map.try_clone()?, PAGE)?;
    assert_eq!(ring.capacity(), u64::from(PAGE));
    assert!(ring.reserve(PAGE - 7).is_err());
    for number in 0..4_u64 {
        let mut sample = ring.reserve(1016)?.expect("room for four");
        sample.fill(number as u8);
        sample.submit();
    }
    assert_eq!(ring.room(), 0);
    let none = ring.reserve_within(8, Some(SHORT))?;
    assert!(none.is_none(), "nobody drains");
    drop(ring);
    let ring = UserRing::open(map, PAGE)?;
    assert_eq!(ring.room(), 0, "goes on where the last producer stopped");
    Ok(())
}

fn keeps_the_newest() -> Outcome {
    let map = create_map(kernel::MAP_TYPE_RINGBUF, 0, 0, PAGE, kernel::F_RB_OVERWRITE)?;
    let producer = Producer::new(&map);
    let mut ring = OverwriteRing::open(map, PAGE)?;
    assert_eq!(producer.output(0, 400, &[0; 8], NO_WAKEUP), 0, "never full");
    let mut next = 400 - 255;
    while let Some(record) = ring.record()? {
        assert_eq!(number(record), next);
        next += 1;
    }
    assert_eq!(next, 400);
    assert_eq!(ring.losses().bytes, (400 - 255) * 16);
    Ok(())
}
