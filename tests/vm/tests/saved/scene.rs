//! A cache of its own for each test, with the kernels of the user's cache, and the command in it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cutaway_vm::kernel::{Request, obtain};
use cutaway_vm::{Arch, Cache};
use libtest_mimic::Failed;

pub(crate) const KERNEL: &str = "6.1";

/// Returns the reason why no guest can run here.
pub(crate) fn lacking() -> Option<String> {
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        return Some("QEMU is not installed (apt-get install qemu-system-x86)".to_owned());
    }
    let request: Request = KERNEL.parse().ok()?;
    let kernel = Cache::open().and_then(|cache| obtain(&request, Arch::OWN, &cache, false));
    kernel.err().map(|error| format!("no kernel is available: {error}"))
}

pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(crate) struct Scene {
    root: tempfile::TempDir,
    /// This binary: in a guest it has tests.
    me: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Result<Self, Failed> {
        let root = tempfile::tempdir()?;
        let own = root.path().join("cache/cutaway-vm");
        fs::create_dir_all(&own)?;
        let users = Cache::open()?;
        for name in ["apt", "kernels", "catalog.json"] {
            std::os::unix::fs::symlink(users.path(name), own.join(name))?;
        }
        Ok(Self { root, me: std::env::current_exe()? })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Returns the command that runs this binary's tests in guests.
    pub(crate) fn command(&self, options: &[&str], tests: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutaway-vm"));
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.args(["--kernel", KERNEL, "--accel", "tcg"]).args(options).arg("--");
        command.arg(&self.me).args(tests);
        command
    }

    pub(crate) fn run(&self, options: &[&str], tests: &[&str]) -> Result<Done, Failed> {
        finish(&mut self.command(options, tests))
    }

    pub(crate) fn action(&self, words: &[&str]) -> Result<Done, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutaway-vm"));
        finish(command.env("XDG_CACHE_HOME", self.path("cache")).args(words))
    }

    /// Returns the directories of the saved guests.
    pub(crate) fn saved(&self) -> Result<Vec<PathBuf>, Failed> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.path("cache/cutaway-vm/saved"))? {
            let path = entry?.path();
            if path.is_dir() && path.extension().is_none() {
                all.push(path);
            }
        }
        Ok(all)
    }

    pub(crate) fn only_saved(&self) -> Result<PathBuf, Failed> {
        match <[PathBuf; 1]>::try_from(self.saved()?) {
            Ok([one]) => Ok(one),
            Err(other) => Err(format!("{} saved guests, not one", other.len()).into()),
        }
    }
}

/// The result of a command that has ended.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
    /// The time from its start to its first line on stdout.
    pub(crate) first_line: Option<Duration>,
    pub(crate) took: Duration,
}

pub(crate) fn finish(command: &mut Command) -> Result<Done, Failed> {
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut stderr, stdout) = (child.stderr.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
    let messages = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        text
    });
    let mut stdout = BufReader::new(stdout);
    let mut output = Vec::new();
    let first_line = (stdout.read_until(b'\n', &mut output)? > 0).then(|| started.elapsed());
    stdout.read_to_end(&mut output)?;
    let code = child.wait()?.code();
    output.extend(messages.join().map_err(|_panic| "the reader of stderr panicked")?);
    Ok(Done { code, text: String::from_utf8_lossy(&output).into_owned(), first_line, took: started.elapsed() })
}

impl Done {
    pub(crate) fn says(&self, part: &str) -> Result<(), Failed> {
        if self.text.contains(part) { Ok(()) } else { Err(format!("{part:?} is not in\n{}", self.text).into()) }
    }

    pub(crate) fn lacks(&self, part: &str) -> Result<(), Failed> {
        if self.text.contains(part) { Err(format!("{part:?} is in\n{}", self.text).into()) } else { Ok(()) }
    }

    pub(crate) fn left(&self, code: i32) -> Result<(), Failed> {
        if self.code == Some(code) {
            Ok(())
        } else {
            Err(format!("exited with {:?}, not {code}\n{}", self.code, self.text).into())
        }
    }
}

/// Writes a file with its directories.
pub(crate) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
