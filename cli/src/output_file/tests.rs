use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    sync::Arc,
    thread,
};

use rustix::fs::{CWD, FileType, Mode, OFlags, openat};

use super::{unfinished::hidden, *};

fn write(path: &Path, text: &str) -> Result<(), String> {
    let said = |refused: Refused| io::Error::from(refused).to_string();
    OutputFile::open(path).map_err(said)?.write(text.as_bytes()).map_err(|error| error.to_string())
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn new_file_gets_usual_mode_and_replaced_file_keeps_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, "first").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path) & !0o022, 0o644);
    for kept in [0o600, 0o604, 0o640, 0o755] {
        fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        write(&path, "second and longer").unwrap();
        assert_ne!(fs::metadata(&path).unwrap().ino(), before, "it is replaced");
        write(&path, "third").unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap().as_str()), (kept, "third"));
    }
    assert_eq!(names(directory.path()), ["file"]);
}

#[test]
fn file_that_is_read_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (input, linked) = (directory.path().join("input"), directory.path().join("linked"));
    fs::write(&input, "untouched").unwrap();
    fs::hard_link(&input, &linked).unwrap();
    let roundabout = directory.path().join("../").join(directory.path().file_name().unwrap()).join("input");
    for path in [&input, &linked, &roundabout] {
        let refused = io::Error::from(OutputFile::open_apart(path, &[&input]).unwrap_err()).to_string();
        assert!(refused.contains("the command reads this file"), "{refused}");
    }
    assert_eq!(fs::read_to_string(&input).unwrap(), "untouched");
    // New files, files that are not there, and devices are no inputs.
    let new = directory.path().join("new");
    OutputFile::open_apart(&new, &[&input, &new, Path::new("missing")]).unwrap().write(b"text").unwrap();
    OutputFile::open_apart(Path::new("/dev/null"), &[Path::new("/dev/null")]).unwrap().write(b"text").unwrap();
}

#[test]
fn link_is_neither_followed_nor_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (there, path) = (directory.path().join("there"), directory.path().join("link"));
    fs::write(&there, "untouched").unwrap();
    for (target, why) in [("there", "not followed"), ("nowhere", "dangling"), (".", "not followed")] {
        symlink(target, &path).unwrap();
        assert!(write(&path, "new").unwrap_err().contains(why));
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read_to_string(there).unwrap(), "untouched");
    assert!(!directory.path().join("nowhere").exists());
}

#[test]
fn link_created_meanwhile_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (there, path) = (directory.path().join("there"), directory.path().join("file"));
    fs::write(&there, "untouched").unwrap();
    let unfinished = Location::of_regular_file(&path).unwrap().begin().unwrap();
    symlink("there", &path).unwrap();
    unfinished.commit(b"new").unwrap();
    assert_eq!(fs::read_to_string(there).unwrap(), "untouched");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read_to_string(path).unwrap(), "new");
}

#[test]
fn devices_and_fifos_are_written_to_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let reader = {
        let fifo = fifo.clone();
        thread::spawn(move || fs::read_to_string(fifo).unwrap())
    };
    write(&fifo, "through the pipe").unwrap();
    assert_eq!(reader.join().unwrap(), "through the pipe");
    write(Path::new("/dev/null"), "gone").unwrap();
    assert!(write(Path::new("/dev/full"), "no room").unwrap_err().contains("No space left"));
    assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
}

#[test]
fn other_file_types_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [directory.path(), &socket, Path::new("/"), Path::new("/tmp/"), Path::new("..")] {
        assert!(write(path, "x").is_err(), "{}", path.display());
    }
    assert_eq!(write(&directory.path().join("new/"), "x").unwrap_err(), "it does not name a file");
    assert!(write(&directory.path().join("no/file"), "x").unwrap_err().contains("No such file"));
}

#[test]
fn unfinished_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "old").unwrap();
    let location = Location::of_regular_file(&path).unwrap();
    let mut unfinished = location.begin().unwrap();
    unfinished.reserve(4096).unwrap();
    drop(unfinished);
    // The same on file systems where files need a name.
    let named = || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let make = |name: &OsStr| openat(&location.directory, name, flags, Mode::from_raw_mode(0o600));
        let (fd, name) = hidden(&location.directory, make).unwrap();
        Unfinished {
            file: File::from(fd),
            name: Some(name),
            kept: location.existing().unwrap(),
            directory: Arc::clone(&location.directory),
            target: location.name.clone(),
        }
    };
    let unfinished = named();
    assert_eq!(names(directory.path()).len(), 2);
    drop(unfinished);
    assert_eq!(names(directory.path()), ["file"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    named().commit(b"new").unwrap();
    assert_eq!(names(directory.path()), ["file"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}

#[test]
fn own_fds_are_recognized() {
    for (path, fd) in [
        ("/dev/stdout", Some(1)),
        ("/dev/stderr", Some(2)),
        ("/dev/fd/63", Some(63)),
        ("/proc/self/fd/1", Some(1)),
        ("/dev/fd/+1", None),
        ("/dev/fd/", None),
        ("/dev/null", None),
        ("stdout", None),
    ] {
        assert_eq!(own_fd(Path::new(path)), fd, "{path}");
    }
}
