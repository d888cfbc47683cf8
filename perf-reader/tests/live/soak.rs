//! Long runs of all CPUs, on request.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use perf_reader::{AdaptiveReader, Options, Record, online_cpus};

use crate::bpf::{MAX_COUNT, Sender};
use crate::harness::Test;
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    let asked = || {
        let reason = "takes minutes: set PERF_READER_SOAK=1, in a release build";
        (!crate::soak()).then(|| reason.to_owned())
    };
    [live!(soak_of_short_samples), live!(soak_of_long_samples)].map(|test| test.needs(asked)).into()
}

fn soak_of_short_samples(sender: &Sender) {
    soak(sender, 100_000_000, |_| 8);
}

fn soak_of_long_samples(sender: &Sender) {
    soak(sender, 5_000_000, |random| 8 + (random % 59_993) as usize);
}

/// Random numbers by xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

/// One thread per CPU sends, until `total` samples are sent together. All sent samples are received or lost, every byte
/// is right, and they are in order on each CPU.
fn soak(sender: &Sender, total: u64, len: fn(u64) -> usize) {
    let payload: Vec<u8> = (0..60_000_u32).map(|i| (i * 7 + i / 256) as u8).collect();
    let cpus = online_cpus().unwrap();
    for &cpu in &cpus {
        sender.payload(cpu, &[&[0; 8], &payload[8..]].concat()).unwrap();
    }
    let slots = |cpu: u32, event: BorrowedFd<'_>| sender.connect(cpu, event);
    let mut stream = AdaptiveReader::open(bytes(256), &Options::new(), slots).unwrap();
    let stopper = stream.stopper().unwrap();
    let (sent, refused, running) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(cpus.len() as u64));
    let (mut received, mut bytes, mut announced) = (0_u64, 0_u64, 0);
    let mut last = vec![0; *cpus.last().unwrap() as usize + 1];
    let mut scratch = Vec::new();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for &cpu in &cpus {
            let (sent, refused, running, stopper) = (&sent, &refused, &running, stopper.clone());
            scope.spawn(move || {
                let mut random = Random(u64::from(cpu) + 1);
                while sent.load(Ordering::Relaxed) < total {
                    let len = len(random.next());
                    // A few long samples fill a ring.
                    let count = if len == 8 { MAX_COUNT } else { 1 + (random.next() % 4) as u32 };
                    refused.fetch_add(sender.send(cpu, len, count).unwrap().into(), Ordering::Relaxed);
                    sent.fetch_add(count.into(), Ordering::Relaxed);
                }
                if running.fetch_sub(1, Ordering::AcqRel) == 1 {
                    std::thread::sleep(Duration::from_millis(10));
                    stopper.stop();
                }
            });
        }
        stream
            .run(|cpu, record| match record.unwrap() {
                Record::Sample(sample) => {
                    received += 1;
                    let padded = sample.padded();
                    bytes += padded.len() as u64;
                    let number = u64::from_ne_bytes(padded.array(0).unwrap());
                    let last = &mut last[cpu as usize];
                    assert!(number > *last, "CPU {cpu}: {last} then {number}");
                    *last = number;
                    // All bytes except the number and the padding, whose length is unknown here.
                    let padded = padded.contiguous(&mut scratch);
                    let known = (padded.len() - 7).max(8);
                    assert_eq!(padded[8..known], payload[8..known]);
                }
                Record::Lost(lost) => announced += lost,
                other => panic!("{other:?}"),
            })
            .unwrap();
    });
    let (sent, refused) = (sent.into_inner(), refused.into_inner());
    println!(
        "sent {sent}, received {received} ({bytes} bytes), lost {refused}, {announced} of them announced; {} \
             switches; {:.1} s",
        stream.switches(),
        began.elapsed().as_secs_f64()
    );
    assert_eq!(received + refused, sent);
    assert_eq!(stream.lost().unwrap().samples, refused);
    assert!(announced <= refused);
}
