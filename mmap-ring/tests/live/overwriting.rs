//! Tests rings that overwrite their oldest records.

use std::thread;
use std::time::Duration;

use mmap_ring::{Error, OverwriteRing, Ring, Wake};

use crate::harness::{Test, test};
use crate::kernel::{self, MOST, NO_WAKEUP, Producer, create_map};
use crate::noise::{PRODUCERS, Program, Received};
use crate::{Outcome, PAGE, number};

pub(crate) fn tests() -> Vec<Test> {
    let tests = [
        test!(overwriting_ring_keeps_the_newest),
        test!(overwriting_ring_is_read_under_live_producers),
        test!(overwriting_ring_lends_nothing),
    ];
    tests.map(|test| test.since(6, 19, "rings that overwrite")).into()
}

fn overwriting_ring_keeps_the_newest() -> Outcome {
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
    assert_eq!(ring.lost().bytes, (400 - 255) * 16);
    Ok(())
}

/// Checks that each record is read whole or not at all, and the lost bytes are counted exactly.
fn overwriting_ring_is_read_under_live_producers() -> Outcome {
    const EACH: u64 = 100_000;
    const SIZE: u32 = 8 * PAGE;
    let map = create_map(kernel::MAP_TYPE_RINGBUF, 0, 0, SIZE, kernel::F_RB_OVERWRITE)?;
    let program = Program::new(&map);
    let mut ring = OverwriteRing::open(map, SIZE)?;
    let (mut seen, mut taken) = (Received::new(EACH), 0);
    thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let program = &program;
                scope.spawn(move || {
                    let mut next = 0;
                    while next < EACH {
                        let count = MOST.min(EACH - next);
                        // A send fails only at an uncommitted record of another producer.
                        let sent = program.send(producer, next, count);
                        next += sent + u64::from(sent < count);
                        thread::sleep(Duration::from_micros(100 * (next % 3)));
                    }
                })
            })
            .collect();
        let mut running = true;
        while running {
            // Checked before the last read, so that the read misses no record.
            running = !producers.iter().all(|producer| producer.is_finished());
            if ring.wait(Some(Duration::from_millis(5))).expect("a wait") == Wake::TimedOut {
                continue;
            }
            while let Some(record) = ring.record().expect("a sound ring") {
                taken += 8 + record.len().next_multiple_of(8) as u64;
                seen.record(record);
            }
        }
    });
    let (losses, produced) = (ring.lost(), ring.positions().producer);
    println!("received {} of {}; {losses:?}", seen.received, PRODUCERS * EACH);
    assert_eq!(taken + losses.bytes, produced);
    assert_eq!(ring.positions().consumer, produced);
    assert!(seen.received > 0 && losses.overtaken > 0, "{} received, {losses:?}", seen.received);
    Ok(())
}

fn overwriting_ring_lends_nothing() -> Outcome {
    let map = create_map(kernel::MAP_TYPE_RINGBUF, 0, 0, PAGE, kernel::F_RB_OVERWRITE)?;
    let error = Ring::open(map.try_clone()?, PAGE).err();
    assert!(matches!(error, Some(Error::OverwriteMode)), "{error:?}");
    assert!(OverwriteRing::open(map, PAGE).is_ok());
    Ok(())
}
