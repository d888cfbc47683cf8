//! Boots a guest and saves it.

use std::fs;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::json;

use super::entry::{self, Saved};
use super::key::Key;
use super::prune;
use crate::cache::Cache;
use crate::console::Log;
use crate::error::{Error, Result, chain};
use crate::frames;
use crate::interrupt;
use crate::kernel::Kernel;
use crate::protocol::Message;
use crate::qemu::monitor::Monitor;
use crate::qemu::{Accelerator, Files, Machine, Running};

/// The time that QEMU has to write the state.
const SAVE: Duration = Duration::from_secs(120);
/// The time that QEMU has to connect for it.
const CONNECT: Duration = Duration::from_secs(10);

/// A guest to save.
pub(crate) struct Recipe<'a> {
    /// The kernel's name as requested.
    pub(crate) name: &'a str,
    pub(crate) kernel: &'a Kernel,
    pub(crate) machine: &'a Machine,
    pub(crate) accelerator: Accelerator,
    /// Packs the guest's files, and returns the archive's path.
    pub(crate) initramfs: &'a dyn Fn() -> Result<PathBuf>,
    /// The time limit of the boot.
    pub(crate) boot: Duration,
    /// The limit of the whole cache of saved guests in bytes.
    pub(crate) limit: u64,
}

/// Returns the saved guest from the cache, or boots one and saves it. Runs that need the same guest wait for one save.
/// `say` is called with what the user should know.
///
/// # Errors
/// The reason why no guest was saved; the guest can then be booted.
pub(crate) fn obtain(recipe: &Recipe<'_>, key: &Key, cache: &Cache, say: &dyn Fn(&str)) -> Result<Saved> {
    let home = prune::home(cache)?;
    let folder = home.join(key.name());
    if let Ok(Some(saved)) = Saved::open(&folder) {
        return Ok(saved);
    }
    let _one_at_a_time = prune::lock(&home, key.name())?;
    match Saved::open(&folder) {
        Ok(Some(saved)) => return Ok(saved),
        Ok(None) => {}
        Err(error) => {
            say(&format!("{}: the saved guest is damaged ({error}); it is made anew", recipe.name));
            fs::remove_dir_all(&folder).map_err(Error::file("remove", &folder))?;
        }
    }
    // A run that was killed may have left its files under this name.
    let new = prune::unfinished(&home, key.name());
    prune::remove(&new)?;
    fs::create_dir(&new).map_err(Error::file("create", &new))?;
    let made = save(recipe, &new).and_then(|()| fs::rename(&new, &folder).map_err(Error::file("create", &folder)));
    if let Err(error) = made {
        prune::remove(&new)?;
        return Err(error);
    }
    let saved = Saved::open(&folder)
        .and_then(|saved| saved.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(Error::file("read", &folder))?;
    // The new one is in use, so it stays.
    if let Err(error) = prune::prune(cache, recipe.limit) {
        say(&format!("{}: cannot remove old saved guests: {}", recipe.name, chain(&error)));
    }
    Ok(saved)
}

/// Waits for QEMU's connection.
fn accepted(listener: &UnixListener, alive: &mut dyn FnMut() -> bool) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let limit = Instant::now() + CONNECT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock || !alive() || Instant::now() > limit => {
                return Err(error);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Boots the guest, and writes its state, description and console to `folder`.
fn save(recipe: &Recipe<'_>, folder: &Path) -> Result<()> {
    // A socket's path must be short.
    let sockets = tempfile::tempdir().map_err(Error::file("create", std::env::temp_dir()))?;
    let files = Files {
        kernel: recipe.kernel.image.clone(),
        initramfs: (recipe.initramfs)()?,
        console: folder.join(entry::CONSOLE),
        monitor: sockets.path().join("qmp"),
        keyboard: sockets.path().join("console"),
        complaints: folder.join("qemu.log"),
        incoming: None,
    };
    let (mut qemu, _open, from) = Running::start(recipe.machine, &files, recipe.accelerator)?;
    let frames = frames::receive(from);
    let limit = Instant::now() + recipe.boot;
    let failed = |why: String| Error::NotSaved { why };
    loop {
        if interrupt::seen() {
            return Err(Error::Interrupted);
        }
        if Instant::now() > limit {
            return Err(failed(format!("it was not ready within {} s", recipe.boot.as_secs())));
        }
        match frames.recv_timeout(Duration::from_millis(20)) {
            Ok(Ok((Message::Ready, _))) => break,
            Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failed(format!(
                    "it ended before it was ready; its console ends with:\n{}",
                    Log::read(&files.console).tail()
                )));
            }
        }
    }
    let socket = sockets.path().join("state");
    let mut alive = || matches!(qemu.ended(), Ok(None));
    let command = |error: io::Error| failed(format!("QEMU's monitor: {error}"));
    let mut monitor = Monitor::connect(&files.monitor, &mut alive).map_err(command)?;
    monitor.execute("stop", &json!({})).map_err(command)?;
    // QEMU's own limit is a network's.
    monitor.execute("migrate-set-parameters", &json!({ "max-bandwidth": 1_u64 << 40 })).map_err(command)?;
    let listener = UnixListener::bind(&socket).map_err(Error::file("create", &socket))?;
    // This process writes the file: it then knows the reason if the disk is full, and makes the checksum.
    monitor.execute("migrate", &json!({ "uri": format!("unix:{}", socket.display()) })).map_err(command)?;
    let mut state = accepted(&listener, &mut alive).map_err(Error::file("read", &socket))?;
    state.set_read_timeout(Some(SAVE)).map_err(Error::file("read", &socket))?;
    entry::write(folder, recipe.name, &mut state)?;
    let limit = Instant::now() + SAVE;
    loop {
        match monitor.status("query-migrate").map_err(command)?.as_str() {
            "completed" => return Ok(()),
            status @ "failed" => return Err(failed(format!("QEMU's migration {status}"))),
            _ if Instant::now() > limit => return Err(failed("QEMU did not end its migration".to_owned())),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
