//! Saved guests, by the command itself: what a second run gains, and what happens to damaged, incomplete and contested
//! files. By default one kernel is saved once; the sick cases run with `--include-ignored`.
//!
//! This one binary has both roles, as `boot` has: on the host it starts guests, in a guest it is the test binary.
//!
//! Without QEMU or without a kernel every test here is ignored, with the reason.

mod nextest;
mod scene;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use scene::{KERNEL, Scene, lacking};

type Ran = Result<Completion, Failed>;
type Test = fn() -> Ran;
/// A change of a file.
type Damage<'a> = &'a dyn Fn(&File) -> std::io::Result<()>;

fn main() {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("CUTAWAY_VM").is_some() {
        let tests: [(&str, Test); 4] = [("first", passed), ("second", passed), ("clock", clock), ("panic", panic)];
        let trials = tests.map(|(name, test)| Trial::ignorable_test(name, test).with_ignored_flag(name == "panic"));
        libtest_mimic::run(&arguments, trials.into()).exit();
    }
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let tests: [(&str, Test); 9] = [
        ("restored_guest_reports_what_a_booted_one_does", restored),
        ("fresh::panic_harms_no_other_test", fresh),
        ("sick::damaged", damaged),
        ("sick::restore_fails", restore_fails),
        ("sick::full_disk", full_disk),
        ("sick::two_runs_save_at_once", two_at_once),
        ("sick::killed_in_mid_save", killed),
        ("bounds", bounds),
        ("nextest::costs_little_more_than_one_guest", nextest::costs),
    ];
    let trials = tests.map(|(name, test)| {
        let able = move || lacking().map_or_else(test, |reason| Ok(Completion::ignored_with(reason)));
        Trial::ignorable_test(name, able).with_ignored_flag(name.contains("::") || name == "bounds")
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

fn passed() -> Ran {
    Ok(Completion::Completed)
}

/// Fails unless the guest's clock is the host's: the variable has the host's time before the run, in seconds.
fn clock() -> Ran {
    let Some(before) = std::env::var("HOST_TIME").ok().and_then(|text| text.parse::<u64>().ok()) else {
        return Ok(Completion::ignored_with("HOST_TIME is not set"));
    };
    let now = scene::seconds();
    if (before..before + 600).contains(&now) { passed() } else { Err(format!("{before} is now {now}").into()) }
}

fn panic() -> Ran {
    println!("about to panic");
    std::thread::sleep(Duration::from_secs(1));
    fs::write("/proc/sysrq-trigger", "c")?;
    Err("the kernel survived".into())
}

fn restored() -> Ran {
    let scene = Scene::new()?;
    let mut figures = Vec::new();
    for saved in [false, true, true, true] {
        let results = scene.path("results");
        let time = format!("HOST_TIME={}", scene::seconds());
        let started = Instant::now();
        let done = scene.run(&["--results", &results.display().to_string(), "--env", &time], &[])?;
        done.left(0)?;
        for name in ["first", "second", "clock"] {
            done.says(&format!("test saved {name} ... ok"))?;
        }
        done.says("test saved panic ... ignored")?;
        let console = fs::read_to_string(results.join(KERNEL).join("console.log"))?;
        assert!(console.contains("Linux version 6.1."), "the console begins with the boot: {console}");
        assert_eq!(scene.saved()?.len(), 1, "each run uses the same saved guest");
        if saved {
            figures.push(done.first_line.unwrap_or(started.elapsed()));
        }
    }
    let least = figures.iter().min().ok_or("no figure")?;
    println!("from the command's start to the first test's line, restored: {least:?} (least of {})", figures.len());
    passed()
}

fn fresh() -> Ran {
    let scene = Scene::new()?;
    for more in [&[][..], &["--guests=2"], &["--no-saved"]] {
        let mut options = vec!["--fresh"];
        options.extend(more);
        let done = scene.run(&options, &["--include-ignored"])?;
        done.left(1)?;
        done.says("test saved first ... ok")?;
        done.says("test saved second ... ok")?;
        done.says("test saved panic ... FAILED")?;
        done.says("sysrq triggered crash")?;
        done.says("2 passed, 1 skipped, 1 failed")?;
    }
    passed()
}

fn damaged() -> Ran {
    let scene = Scene::new()?;
    scene.run(&[], &["first"])?.left(0)?;
    let folder = scene.only_saved()?;
    let memory = folder.join("memory");
    let whole = fs::metadata(&memory)?.len();
    let flip = |file: &File| -> std::io::Result<()> {
        let mut byte = [0];
        file.read_exact_at(&mut byte, whole / 2)?;
        file.write_all_at(&[!byte[0]], whole / 2)
    };
    let shorten = |file: &File| file.set_len(whole - 1);
    let damages: [Damage<'_>; 2] = [&flip, &shorten];
    for damage in damages {
        damage(&File::options().read(true).write(true).open(&memory)?)?;
        let done = scene.run(&[], &["first"])?;
        done.left(0)?;
        done.says("the saved guest is damaged (its size or checksum is wrong); it is made anew")?;
        let done = scene.run(&[], &["first"])?;
        done.left(0)?;
        done.lacks("damaged")?;
    }
    fs::write(folder.join("about.json"), "{")?;
    scene.run(&[], &["first"])?.says("the saved guest is damaged")?;
    passed()
}

/// Checks a state that the checksum accepts and QEMU does not, as if QEMU had changed without a trace.
fn restore_fails() -> Ran {
    let scene = Scene::new()?;
    scene.run(&[], &["first"])?.left(0)?;
    let folder = scene.only_saved()?;
    let state = vec![7; 1 << 20];
    fs::write(folder.join("memory"), &state)?;
    let about = format!(r#"{{"kernel":"6.1","bytes":{},"crc":{}}}"#, state.len(), crc32fast::hash(&state));
    fs::write(folder.join("about.json"), about)?;
    let done = scene.run(&[], &["first"])?;
    done.left(0)?;
    done.says("the saved guest failed")?;
    done.says("test saved first ... ok")?;
    assert!(scene.saved()?.is_empty(), "the next run makes it anew");
    passed()
}

fn full_disk() -> Ran {
    let scene = Scene::new()?;
    let target = scene.path("cache/cutaway-vm/saved");
    fs::create_dir_all(&target)?;
    let mount = format!("mount -t tmpfs -o size=16M none {} && exec \"$@\"", target.display());
    let in_namespace = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &mount, "sh"]).args(words);
        command
    };
    if !in_namespace(&["true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok(Completion::ignored_with("this process cannot mount in a namespace of its own"));
    }
    let command = scene.command(&[], &["first"]);
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = std::iter::once(program.as_str()).chain(arguments.iter().map(String::as_str)).collect();
    let mut command = in_namespace(&words);
    command.env("XDG_CACHE_HOME", scene.path("cache"));
    let done = scene::finish(&mut command)?;
    done.left(0)?;
    done.says("no saved guest, so each guest boots: cannot write ")?;
    done.says("No space left on device")?;
    done.says("test saved first ... ok")?;
    passed()
}

fn two_at_once() -> Ran {
    let scene = Scene::new()?;
    let results: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..2).map(|_| scope.spawn(|| scene.run(&[], &["first"]))).collect();
        running.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for done in results {
        let done = done.map_err(|_panic| "a run panicked")??;
        done.left(0)?;
        done.says("test saved first ... ok")?;
        done.lacks("no saved guest")?;
        done.lacks("damaged")?;
    }
    scene.only_saved()?;
    passed()
}

fn killed() -> Ran {
    let scene = Scene::new()?;
    let mut child = scene.command(&[], &["first"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let limit = Instant::now() + Duration::from_secs(120);
    let home = scene.path("cache/cutaway-vm/saved");
    let unfinished = || -> Option<std::path::PathBuf> {
        fs::read_dir(&home)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension() == Some("new".as_ref()))
    };
    // A state of this size is not complete.
    let begun = |folder: &Path| fs::metadata(folder.join("memory")).is_ok_and(|about| about.len() > 1 << 20);
    while !unfinished().is_some_and(|folder| begun(&folder)) {
        if Instant::now() > limit || child.try_wait()?.is_some() {
            return Err("the run was not seen while it saved".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    assert!(unfinished().is_some(), "it was killed before the save was complete");
    assert!(scene.saved()?.is_empty());
    let done = scene.run(&[], &["first"])?;
    done.left(0)?;
    done.says("test saved first ... ok")?;
    scene.only_saved()?;
    assert_eq!(unfinished(), None, "the rest is removed");
    passed()
}

fn bounds() -> Ran {
    let scene = Scene::new()?;
    scene.run(&[], &["first"])?.left(0)?;
    let first = scene.only_saved()?;
    // Another memory size is another guest; both do not fit.
    scene.run(&["--memory=384", "--saved-limit=150"], &["first"])?.left(0)?;
    assert_ne!(scene.only_saved()?, first);
    let list = scene.action(&["saved"])?;
    list.says("6.1")?;
    list.says("total: ")?;
    scene.action(&["saved", "--clear"])?.says("1 saved guests removed")?;
    scene.action(&["saved"])?.says("no saved guests")?;
    assert_eq!(fs::read_dir(scene.path("cache/cutaway-vm/saved"))?.count(), 0);
    passed()
}
