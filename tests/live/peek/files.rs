//! Files with pictures: replaced as a whole or not at all. Links are not followed; devices and pipes are written to.

use std::{
    fs::{self, File, Permissions},
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
    thread,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::{
    binary::{self, Ended, Running},
    harness::{Test, test},
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(picture_replaces_a_file_and_keeps_its_mode),
        test!(picture_does_not_follow_a_link),
        test!(picture_on_a_full_disk_leaves_the_old_one),
        test!(pictures_go_to_stdout_devices_and_fifos),
        test!(picture_does_not_replace_another_users_file).needs(root),
    ]
}

/// Writes two snapshots of an empty ring to a file.
fn snapshots(folder: &Path) -> String {
    let snapshot = r#"{"time_ns":1,"id":7,"name":"events","mode":"ring","bytes":4096,"consumer_pos":0,"producer_pos":0,
        "pending_pos":0,"overwrite_pos":0,"fill_bytes":0,"committed":0,"busy":0,"discarded":0,"released_meanwhile":0,"records":[]}"#;
    let snapshot = snapshot.replace('\n', " ");
    let path = folder.join("snapshots.jsonl");
    fs::write(&path, format!("{snapshot}\n{snapshot}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Draws them.
fn draw(folder: &Path, to: &Path) -> Ended {
    Running::start(&mut binary::command(["peek", "--from", &snapshots(folder), &format!("--draw={}", to.display())]))
        .end()
}

fn is_whole(picture: &str) -> bool {
    picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && picture.matches("events").count() == 2
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn picture_replaces_a_file_and_keeps_its_mode() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("picture.svg");
    let ended = draw(folder.path(), &path);
    assert!(ended.status.success() && ended.stderr.contains("2 pictures in "), "{ended:?}");
    assert!(is_whole(&fs::read_to_string(&path).unwrap()));
    let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
    assert_eq!(mode() & !0o022, 0o644);
    fs::set_permissions(&path, Permissions::from_mode(0o602)).unwrap();
    fs::write(&path, vec![b'x'; 100_000]).unwrap();
    assert!(draw(folder.path(), &path).status.success());
    assert!(is_whole(&fs::read_to_string(&path).unwrap()));
    assert_eq!(mode(), 0o602);
    assert_eq!(names(folder.path()), ["picture.svg", "snapshots.jsonl"]);
}

fn picture_does_not_follow_a_link() {
    let folder = TempDir::new().unwrap();
    let (there, link) = (folder.path().join("there"), folder.path().join("link"));
    fs::write(&there, "untouched").unwrap();
    for target in ["there", "nowhere", "/dev/null"] {
        symlink(target, &link).unwrap();
        let ended = draw(folder.path(), &link);
        assert!(ended.complaint().contains("link: it is a "), "{ended:?}");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_to_string(&there).unwrap(), "untouched");
    assert_eq!(names(folder.path()), ["snapshots.jsonl", "there"]);
}

fn picture_on_a_full_disk_leaves_the_old_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("picture.svg");
    fs::write(&path, "old").unwrap();
    let mut command = Command::new("sh");
    // One block, which is too small for any picture.
    command.args(["-c", r#"ulimit -f 1; exec "$0" "$@""#]).arg(binary::path()).env_remove("RUST_LOG");
    command.args(["peek", "--from", &snapshots(folder.path()), &format!("--draw={}", path.display())]);
    let ended = Running::start(&mut command).end();
    let line = ended.complaint();
    assert!(line.contains("picture.svg: EFBIG") && line.contains("ulimit -f"), "{line}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(folder.path()), ["picture.svg", "snapshots.jsonl"]);
}

fn pictures_go_to_stdout_devices_and_fifos() {
    let folder = TempDir::new().unwrap();
    let ended = draw(folder.path(), Path::new("/dev/stdout"));
    assert!(ended.status.success() && is_whole(&ended.stdout), "{ended:?}");
    let ended = draw(folder.path(), Path::new("/dev/null"));
    assert!(ended.status.success() && !fs::metadata("/dev/null").unwrap().is_file(), "{ended:?}");
    let ended = draw(folder.path(), Path::new("/dev/full"));
    assert!(ended.complaint().contains("/dev/full: ENOSPC"), "{ended:?}");
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let reader = {
        let fifo = fifo.clone();
        thread::spawn(move || {
            let mut text = String::new();
            File::open(fifo).unwrap().read_to_string(&mut text).unwrap();
            text
        })
    };
    assert!(draw(folder.path(), &fifo).status.success());
    assert!(is_whole(&reader.join().unwrap()));
    for no_file in [folder.path(), Path::new("/")] {
        let ended = draw(folder.path(), no_file);
        assert!(ended.complaint().contains("it is not a regular file"), "{ended:?}");
    }
}

fn picture_does_not_replace_another_users_file() {
    let folder = TempDir::new().unwrap();
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    let path = shared.join("picture.svg");
    fs::write(&path, "theirs").unwrap();
    std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    let ended = draw(folder.path(), &path);
    assert!(ended.complaint().contains("it belongs to another user"), "{ended:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
}
