//! Broken objects: real objects, damaged by many methods, go through all steps before the first system call. Each
//! ends in an object or in an error of one line, soon and in little memory.
//!
//! Mutant number N is the same on every machine. `CUTAWAY_MUTANTS` is the number of mutants (20,000 by default;
//! `cargo xtask broken-objects` tries 2,000,000); `CUTAWAY_MUTANT` selects a single one.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "tests/readers uses one more method of damage")]
mod damage;
mod found;
mod memory;
mod way;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use cutaway::Object;
use rustix::time::{ClockId, clock_gettime};

use self::{
    damage::{Damage, Seed},
    way::{Came, everything},
};

#[global_allocator]
static MEMORY: memory::Counted = memory::Counted;

/// No mutant may take more memory than this in addition to what was taken before it.
const MOST_MEMORY: usize = 64 << 20;
/// No mutant may take more CPU time than this.
const LONGEST: Duration = Duration::from_secs(1);

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus")
}

/// Returns all objects of the corpus and the built-in programs, without those of `faults`: most of these are refused
/// before they are damaged.
fn seeds() -> Vec<Seed> {
    let folders = fs::read_dir(corpus()).unwrap().map(|folder| folder.unwrap().path()).filter(|path| path.is_dir());
    let folders = folders.filter(|path| !path.ends_with("faults"));
    let mut paths: Vec<_> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "o"));
    paths.sort();
    let name = |path: &Path| path.strip_prefix(corpus()).unwrap().display().to_string();
    let mut seeds: Vec<_> = paths.iter().map(|path| Seed::new(&name(path), fs::read(path).unwrap())).collect();
    for way in cutaway_programs::getaddrinfo::Transport::ALL {
        seeds.push(Seed::new(&way.to_string(), way.object().unwrap()));
    }
    seeds
}

/// Returns the BTF of a small kernel.
fn kernel() -> Vec<u8> {
    let target = Seed::new("target", fs::read(corpus().join("core/target.o")).unwrap());
    let range = target.section(".BTF").unwrap();
    target.bytes[range].to_vec()
}

/// The figures of a run.
#[derive(Debug, Default)]
struct Figures {
    tried: u64,
    parsed: u64,
    linked: u64,
    slowest: (Duration, u64),
    largest: (usize, u64),
}

fn run(numbers: impl Iterator<Item = u64>, mut damage: impl FnMut(u64) -> (Vec<u8>, Vec<u8>, String)) -> Figures {
    let mut figures = Figures::default();
    for number in numbers {
        let (object, kernel, what) = damage(number);
        let before = memory::reset();
        let start = cpu_time();
        let came = catch_unwind(AssertUnwindSafe(|| everything(&object, &kernel)));
        let (time, peak) = (cpu_time() - start, memory::peak().saturating_sub(before));
        let came = came.unwrap_or_else(|_| panic!("mutant {number} ({what}) panics"));
        assert!(peak <= MOST_MEMORY, "mutant {number} ({what}) takes {peak} bytes of memory");
        assert!(time <= LONGEST, "mutant {number} ({what}) takes {time:?}");
        figures.tried += 1;
        figures.parsed += u64::from(came >= Came::Parsed);
        figures.linked += u64::from(came == Came::LinkedProgram);
        figures.slowest = figures.slowest.max((time, number));
        figures.largest = figures.largest.max((peak, number));
    }
    eprintln!("{figures:?}");
    figures
}

/// Returns the CPU time of this thread, so that other processes do not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the numbers of the mutants to be tried.
fn numbers(share: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("CUTAWAY_MUTANT") {
        Some(only) => only..only + 1,
        None => 0..number("CUTAWAY_MUTANTS").unwrap_or(20_000) * share / 100,
    }
}

// One test for all, because the memory of the whole process is counted.
#[test]
fn whatever_comes_is_answered() {
    found::names_cannot_talk_to_the_terminal();
    found::sections_that_lie_on_each_other_are_refused();
    found::zeroes_cost_nothing_however_many();
    found::names_that_lie_in_the_same_bytes_are_not_copied_without_end();
    found::functions_outside_of_code_are_ignored();
    found::relocations_that_lie_on_each_other_are_refused();
    found::tables_that_lie_on_each_other_are_refused();
    found::maps_that_lie_on_each_other_are_refused();
    found::programs_that_share_their_code_are_not_kept_without_end();
    every_mutant_ends_in_an_answer_soon_and_in_little_memory();
}

fn every_mutant_ends_in_an_answer_soon_and_in_little_memory() {
    let (seeds, kernel) = (seeds(), kernel());
    assert!(seeds.len() > 30, "{} seeds", seeds.len());
    for seed in &seeds {
        let came = everything(&seed.bytes, &kernel);
        // `EI_DATA`: an object of the other byte order can be parsed but not linked. It is damaged like the others.
        let native = seed.bytes[5] == if cfg!(target_endian = "little") { 1 } else { 2 };
        assert!(if native { came >= Came::Parsed } else { came == Came::Parsed }, "{}", seed.name);
        assert_eq!(Object::parse(&seed.bytes).is_ok(), native, "{}", seed.name);
    }

    // The whole file, by every method.
    let whole = run(numbers(80), |number| {
        let mut damage = Damage::new(number);
        let seed = &seeds[damage.below(seeds.len())];
        let other = &seeds[damage.below(seeds.len())];
        let mut bytes = seed.bytes.clone();
        damage.anywhere(&mut bytes, seed, other);
        (bytes, kernel.clone(), seed.name.clone())
    });
    // BTF alone: `.BTF` or `.BTF.ext` of the object, or the kernel's.
    let btf = run(numbers(20), |number| {
        let mut damage = Damage::new(!number);
        let with_btf: Vec<_> = seeds.iter().filter(|seed| seed.section(".BTF").is_some()).collect();
        let seed = with_btf[damage.below(with_btf.len())];
        let (mut bytes, mut kernel) = (seed.bytes.clone(), kernel.clone());
        match damage.below(3) {
            0 => damage.words(&mut kernel),
            1 if seed.section(".BTF.ext").is_some() => damage.words(&mut bytes[seed.section(".BTF.ext").unwrap()]),
            _ => damage.words(&mut bytes[seed.section(".BTF").unwrap()]),
        }
        (bytes, kernel, format!("BTF of {}", seed.name))
    });
    // The test is useful only if many mutants get far.
    if whole.tried > 1000 {
        assert!(whole.parsed * 4 > whole.tried && whole.linked * 8 > whole.tried, "{whole:?}");
        assert!(btf.parsed * 8 > btf.tried && btf.linked * 16 > btf.tried, "{btf:?}");
    }
}
