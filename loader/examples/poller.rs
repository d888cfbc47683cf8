//! Loads an object, attaches its programs, and waits for all its rings and perf buffers at once: which processes
//! execute a file.
//!
//! The object, for example `example-ring.o` or `example-perf.o` of `cargo xtask objects`, has records that are a PID of
//! 4 bytes. The end of standard input stops it.

use cutaway::perf_reader::{Options, Record};
use cutaway::{MapType, Object, Poller, Source, Wake};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: poller OBJECT")?;
    let loaded = Object::parse(&std::fs::read(path)?)?.load()?;
    let mut poller = Poller::new()?;
    for map in loaded.maps() {
        match map.map_type() {
            MapType::RINGBUF => _ = poller.add_ring(map.ring()?)?,
            MapType::PERF_EVENT_ARRAY => _ = poller.add_perf(map.perf_buffers(64 * 1024, &Options::new())?)?,
            _ => {} // `add_fd` adds a file descriptor of your own
        }
    }
    let _links = loaded.attach()?;
    let stopper = poller.stopper(); // a signal handler may write to its fd instead
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stopper.stop();
    });
    while poller.wait(None)? == Wake::Ready {
        for (_token, source) in poller.ready() {
            match source {
                Source::Ring(ring) => ring.batch()?.records().for_each(|record| print(record.try_into().ok())),
                Source::Perf(buffers) => {
                    _ = buffers.drain(|_cpu, record| match record {
                        Ok(Record::Sample(sample)) => print(sample.array().ok()),
                        other => eprintln!("{other:?}"), // lost records, or a corrupt buffer
                    })?
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn print(record: Option<[u8; 4]>) {
    match record {
        Some(pid) => println!("PID {}", u32::from_ne_bytes(pid)),
        None => eprintln!("a record of another length"),
    }
}
