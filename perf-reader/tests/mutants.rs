//! Each memory ordering weakened, one at a time, and what a bystander loads in another order: a test under Miri must
//! notice, or the ordering is not known to be needed.
//!
//! ```text
//! PERF_READER_MUTANTS=1 cargo test -p perf-reader --test mutants
//! ```
//!
//! Works on copies of this crate in temporary folders. Needs a nightly toolchain with Miri, and minutes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Completion, Trial};

/// A change of one file, and the test that has to notice.
struct Mutant {
    name: &'static str,
    test: &'static [&'static str],
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// A reader and a producer at once.
const READER: &[&str] = &["--test", "protocol", "a_live_producer"];
/// A bystander, and both of them at once.
const BYSTANDER: &[&str] = &["--lib", "what_a_moving_ring_"];
/// A bystander, and both of them between any two of its loads.
const STAGED: &[&str] = &["--lib", "positions_are_of_one_moment"];

const MUTANTS: [Mutant; 10] = [
    Mutant { name: "a_reader_as_it_is", test: READER, file: "src/page.rs", from: "", to: "" },
    Mutant { name: "a_bystander_as_it_is", test: BYSTANDER, file: "src/peek.rs", from: "", to: "" },
    Mutant {
        name: "the_head_is_not_acquired",
        test: READER,
        file: "src/page.rs",
        from: "fence(Ordering::Acquire);",
        to: "",
    },
    Mutant {
        name: "the_tail_is_published_without_a_fence",
        test: READER,
        file: "src/page.rs",
        from: "fence(Ordering::SeqCst);",
        to: "",
    },
    Mutant {
        name: "a_bystander_does_not_acquire_the_head",
        test: BYSTANDER,
        file: "src/page.rs",
        from: "fence(Ordering::Acquire);",
        to: "",
    },
    Mutant {
        name: "a_bystander_does_not_acquire_the_tail",
        test: BYSTANDER,
        file: "src/peek.rs",
        from: "fence(Ordering::Acquire);\n        let after",
        to: "let after",
    },
    Mutant {
        name: "a_bystander_does_not_acquire_what_it_copied",
        test: BYSTANDER,
        file: "src/peek.rs",
        from: "fence(Ordering::Acquire);\n        let left",
        to: "let left",
    },
    Mutant {
        name: "a_bystander_loads_the_tail_first",
        test: STAGED,
        file: "src/peek.rs",
        from: "let before = self.page.head();\n        let tail = self.page.tail();",
        to: "let tail = self.page.tail();\n        let before = self.page.head();",
    },
    Mutant {
        name: "the_kernel_does_not_release_the_head",
        test: READER,
        file: "src/fake.rs",
        from: "self.heap.word(DATA_HEAD).store(self.head, Ordering::Release);\n        Ok(())\n    }\n\n    /// Samples lost",
        to: "self.heap.word(DATA_HEAD).store(self.head, Ordering::Relaxed);\n        Ok(())\n    }\n\n    /// Samples lost",
    },
    Mutant {
        name: "the_kernel_does_not_acquire_the_tail",
        test: READER,
        file: "src/fake.rs",
        from: "let tail = self.heap.word(DATA_TAIL).load(Ordering::Acquire);",
        to: "let tail = self.heap.word(DATA_TAIL).load(Ordering::Relaxed);",
    },
];

/// Orderings that are needed by reasoning alone: their file and line. Without this fence `Peek::count_records` could
/// take a head that is older than the bytes it has read. But half of the buffer lies between the two, and in no run of
/// Miri was a load so late.
const UNSHOWN: [(&str, &str); 1] = [("src/peek.rs", "fence(Ordering::Acquire);\n        (self.page.head()")];

/// A package of its own: the same code and the same test, without the workspace.
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

/// A folder that goes with the value.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether Miri is content with the copy.
fn survives(mutant: &Mutant) -> bool {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::temp_dir().join(format!("perf-reader-mutants-{}", std::process::id()));
    let scratch = Scratch(folder.join(mutant.name));
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
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .current_dir(&scratch.0)
        .output()
        .unwrap();
    // Miri complains to the one, a failed assertion is shown by the other.
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

/// The files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every line of the protocol that names an ordering stronger than relaxed is some mutant's.
fn none_is_forgotten() {
    // The other side of the protocol, which is weakened where it is told apart; and no protocol.
    const OTHERS: [&str; 2] = ["src/fake.rs", "src/wait.rs"];
    let stronger = ["Ordering::SeqCst", "Ordering::AcqRel", "Ordering::Acquire", "Ordering::Release"];
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut places, mut seen) = (0, Vec::new());
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
            .chain(UNSHOWN.iter().filter(|(place, line)| *place == file && code.contains(line)).map(|(_, line)| *line))
            .collect();
        weakened.sort_unstable();
        weakened.dedup();
        assert_eq!(named, weakened.len(), "{file}: orderings, and those that are weakened");
        places += named;
    }
    assert!(places > 0);
    assert!(seen.contains(&"src/peek/tests.rs".to_owned()), "folders are looked into: {seen:?}");
}

fn main() {
    let trial = |mutant: &'static Mutant| {
        Trial::ignorable_test(mutant.name, move || {
            if std::env::var_os("PERF_READER_MUTANTS").is_none() {
                return Ok(Completion::ignored_with("takes minutes: with PERF_READER_MUTANTS=1"));
            }
            if !has_miri() {
                return Ok(Completion::ignored_with("there is no nightly toolchain with Miri"));
            }
            match (mutant.from.is_empty(), survives(mutant)) {
                (true, false) => Err("Miri refuses the code as it is".into()),
                (false, true) => Err("no test noticed".into()),
                _ => Ok(Completion::Completed),
            }
        })
    };
    let mut arguments = Arguments::from_args();
    // They share a folder of compiled dependencies.
    arguments.test_threads = Some(1);
    let forgotten = Trial::test("none_is_forgotten", || {
        none_is_forgotten();
        Ok(())
    });
    let trials = MUTANTS.iter().map(trial).chain([forgotten]).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let folder = std::env::temp_dir().join(format!("perf-reader-mutants-{}", std::process::id()));
    drop(Scratch(folder));
    conclusion.exit();
}
