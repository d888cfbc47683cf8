//! Weakens each memory ordering, one at a time, and reorders the loads of an observer. A test under Miri must fail each
//! time; otherwise no test shows that the ordering is needed.
//!
//! ```text
//! PERF_READER_MUTANTS=1 cargo test -p perf-reader --test mutants
//! ```
//!
//! Works on copies of this crate in temporary directories. Needs a nightly toolchain with Miri, and takes minutes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Completion, Trial};

/// A change of one file, and the test that must fail.
struct Mutant {
    name: &'static str,
    test: &'static [&'static str],
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// A reader and a producer that run at once.
const READER: &[&str] = &["--test", "protocol", "live_producer_"];
/// An observer, a reader and a producer that run at once.
const OBSERVER: &[&str] = &["--lib", "live_ring_"];
/// An observer, and a reader and a producer that move between any two of its loads.
const STAGED: &[&str] = &["--lib", "positions_are_of_one_moment"];

const MUTANTS: [Mutant; 10] = [
    Mutant { name: "reader_unchanged", test: READER, file: "src/page.rs", from: "", to: "" },
    Mutant { name: "observer_unchanged", test: OBSERVER, file: "src/peek.rs", from: "", to: "" },
    Mutant {
        name: "reader_does_not_acquire_the_head",
        test: READER,
        file: "src/page.rs",
        from: "fence(Ordering::Acquire);",
        to: "",
    },
    Mutant {
        name: "reader_publishes_the_tail_without_a_fence",
        test: READER,
        file: "src/page.rs",
        from: "fence(Ordering::SeqCst);",
        to: "",
    },
    Mutant {
        name: "observer_does_not_acquire_the_head",
        test: OBSERVER,
        file: "src/page.rs",
        from: "fence(Ordering::Acquire);",
        to: "",
    },
    Mutant {
        name: "observer_does_not_acquire_the_tail",
        test: OBSERVER,
        file: "src/peek.rs",
        from: "fence(Ordering::Acquire);\n        let after",
        to: "let after",
    },
    Mutant {
        name: "observer_does_not_acquire_its_copy",
        test: OBSERVER,
        file: "src/peek.rs",
        from: "fence(Ordering::Acquire);\n        let left",
        to: "let left",
    },
    Mutant {
        name: "observer_loads_the_tail_first",
        test: STAGED,
        file: "src/peek.rs",
        from: "let before = self.page.head();\n        let tail = self.page.tail();",
        to: "let tail = self.page.tail();\n        let before = self.page.head();",
    },
    Mutant {
        name: "kernel_does_not_release_the_head",
        test: READER,
        file: "src/fake.rs",
        from: "self.heap.word(DATA_HEAD).store(self.head, Ordering::Release);\n        Ok(())\n    }\n\n    /// Returns the number of samples lost",
        to: "self.heap.word(DATA_HEAD).store(self.head, Ordering::Relaxed);\n        Ok(())\n    }\n\n    /// Returns the number of samples lost",
    },
    Mutant {
        name: "kernel_does_not_acquire_the_tail",
        test: READER,
        file: "src/fake.rs",
        from: "let tail = self.heap.word(DATA_TAIL).load(Ordering::Acquire);",
        to: "let tail = self.heap.word(DATA_TAIL).load(Ordering::Relaxed);",
    },
];

/// Orderings that only reasoning shows to be needed: their file and line. Without this fence `Peek::count_records`
/// could load a head that is older than the bytes it has read. But half of the buffer is between the two, and no run of
/// Miri delayed a load that much.
const UNSHOWN: [(&str, &str); 1] = [("src/peek.rs", "fence(Ordering::Acquire);\n        (self.page.head()")];

/// The manifest of a separate package: the same code and tests, without the workspace.
const MANIFEST: &str = r#"
[workspace]
[package]
name = "perf-reader"
version = "0.0.0"
edition = "2024"
[features]
fake = []
[dependencies]
libc = "0.2"
log = { version = "0.4.27", features = ["kv"] }
memmap2 = "0.9"
[dev-dependencies]
perf-reader = { path = ".", features = ["fake"] }
proptest = "1.7"
"#;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A directory that is removed when this is dropped.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns whether the test passes under Miri with the changed copy.
fn survives(mutant: &Mutant) -> bool {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = std::env::temp_dir().join(format!("perf-reader-mutants-{}", std::process::id()));
    let scratch = Scratch(directory.join(mutant.name));
    copy(&here.join("src"), &scratch.0.join("src"));
    copy(&here.join("tests"), &scratch.0.join("tests"));
    std::fs::remove_dir_all(scratch.0.join("tests/live")).unwrap();
    std::fs::remove_file(scratch.0.join("tests/mutants.rs")).unwrap();
    std::fs::write(scratch.0.join("Cargo.toml"), MANIFEST).unwrap();
    let file = scratch.0.join(mutant.file);
    let code = std::fs::read_to_string(&file).unwrap();
    if !mutant.from.is_empty() {
        assert_eq!(code.matches(mutant.from).count(), 1, "{}: the code has changed", mutant.name);
        std::fs::write(&file, code.replace(mutant.from, mutant.to)).unwrap();
    }
    let output = Command::new("cargo")
        .args(["+nightly", "miri", "test", "--quiet"])
        .args(mutant.test)
        .env("MIRIFLAGS", "-Zmiri-many-seeds=0..8")
        .env("CARGO_TARGET_DIR", directory.join("target"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .current_dir(&scratch.0)
        .output()
        .unwrap();
    // Miri reports to stderr; a failed assertion is on stdout.
    let text = [output.stderr, output.stdout].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let failures = ["Undefined Behavior: Data race", "panicked at tests/protocol.rs", "panicked at src/peek"];
    let raced = failures.iter().any(|failure| text.contains(failure));
    assert!(raced || output.status.success(), "{}: {text}", mutant.name);
    output.status.success()
}

fn has_miri() -> bool {
    let output = Command::new("cargo").args(["+nightly", "miri", "--version"]).env_remove("RUSTUP_TOOLCHAIN").output();
    output.is_ok_and(|output| output.status.success())
}

/// Returns the files in a directory and its subdirectories.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Checks that a mutant weakens each line of the protocol with an ordering stronger than relaxed.
fn every_ordering_is_weakened() {
    // `fake.rs` is the other side of the protocol, weakened by the mutants above; `wait.rs` has no protocol.
    const OTHERS: [&str; 2] = ["src/fake.rs", "src/wait.rs"];
    let stronger = ["Ordering::SeqCst", "Ordering::AcqRel", "Ordering::Acquire", "Ordering::Release"];
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut orderings, mut seen) = (0, Vec::new());
    for path in files(&here.join("src")) {
        let file = path.strip_prefix(here).unwrap().to_str().unwrap().to_owned();
        seen.push(file.clone());
        if OTHERS.contains(&file.as_str()) {
            continue;
        }
        let code = std::fs::read_to_string(&path).unwrap();
        let lines = code.lines().filter(|line| stronger.iter().any(|ordering| line.contains(ordering)));
        let named = lines.filter(|line| !line.trim_start().starts_with("//")).count();
        let mut weakened: Vec<&str> = MUTANTS
            .iter()
            .filter(|mutant| mutant.file == file && mutant.from.contains("Ordering::"))
            .map(|mutant| mutant.from)
            .chain(UNSHOWN.iter().filter(|(path, line)| *path == file && code.contains(line)).map(|(_, line)| *line))
            .collect();
        weakened.sort_unstable();
        weakened.dedup();
        assert_eq!(named, weakened.len(), "{file}: orderings, and weakened ones");
        orderings += named;
    }
    assert!(orderings > 0);
    assert!(seen.contains(&"src/peek/tests.rs".to_owned()), "subdirectories are searched: {seen:?}");
}

fn main() {
    let trial = |mutant: &'static Mutant| {
        Trial::ignorable_test(mutant.name, move || {
            if std::env::var_os("PERF_READER_MUTANTS").is_none() {
                return Ok(Completion::ignored_with("takes minutes: set PERF_READER_MUTANTS=1"));
            }
            if !has_miri() {
                return Ok(Completion::ignored_with("there is no nightly toolchain with Miri"));
            }
            match (mutant.from.is_empty(), survives(mutant)) {
                (true, false) => Err("the test fails under Miri with the unchanged code".into()),
                (false, true) => Err("the test did not fail".into()),
                _ => Ok(Completion::Completed),
            }
        })
    };
    let mut arguments = Arguments::from_args();
    // They share a directory of compiled dependencies.
    arguments.test_threads = Some(1);
    let completeness = Trial::test("every_ordering_is_weakened", || {
        every_ordering_is_weakened();
        Ok(())
    });
    let trials = MUTANTS.iter().map(trial).chain([completeness]).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let directory = std::env::temp_dir().join(format!("perf-reader-mutants-{}", std::process::id()));
    drop(Scratch(directory));
    conclusion.exit();
}
