//! The report is complete and self-contained, and written as a whole or not at all.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
};

use tempfile::TempDir;

use crate::{
    MEASURES,
    binary::{Running, command},
    harness::{Test, test},
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(report_is_self_contained).needs(ring).alone(MEASURES),
        test!(existing_report_is_replaced_and_keeps_its_mode).needs(ring).alone(MEASURES),
        test!(report_does_not_follow_a_link).needs(root),
        test!(report_on_a_full_disk_is_an_error).needs(root),
        test!(report_in_a_read_only_directory_is_an_error).needs(root),
        test!(report_in_a_missing_directory_is_an_error).needs(root),
        test!(report_to_a_device).needs(root),
        test!(report_path_without_a_file_name_is_an_error).needs(root),
    ]
}

/// Starts two quick experiments with a report.
fn compare(report: &Path) -> Running {
    let mut command = command(["compare", "--quick", "--only", "variable-length", "--only", "stack-limit", "--report"]);
    Running::start(command.arg(report))
}

/// Asserts an error of one line, and no file in the directory.
fn refused(report: &Path, parts: &[&str]) {
    let ended = compare(report).end();
    let line = ended.complaint();
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
    assert_eq!(ended.stdout, "", "the error comes before any measurement");
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn report_is_self_contained() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("report.html");
    let ended = compare(&path).end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(names(folder.path()), ["report.html"]);
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for part in [
        "<h2 id=\"variable-length\">",
        "<h2 id=\"stack-limit\">",
        "<svg ",
        "<title>",
        "Likenesses and differences",
        "Linux ",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Nothing is fetched and no script runs. The only URL is SVG's namespace.
    let addresses = page.split("http").skip(1).filter(|rest| !rest.starts_with("://www.w3.org/2000/svg"));
    assert_eq!(addresses.count(), 0);
    for word in ["<script", "<img", "<link", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    balanced(&page);
    // All users may read it, like any file that root creates.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o022, 0o644);
}

/// Asserts that every element that is opened is closed, in order.
fn balanced(page: &str) {
    const EMPTY: [&str; 2] = ["meta", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    for piece in page.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "near <{piece}");
        } else if !tag.ends_with('/') && !EMPTY.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn existing_report_is_replaced_and_keeps_its_mode() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("report.html");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&path, Some(12), Some(34)).unwrap();
    assert!(compare(&path).end().status.success());
    assert!(fs::read_to_string(&path).unwrap().starts_with("<!DOCTYPE html>"));
    let there = fs::metadata(&path).unwrap();
    assert_eq!((there.mode() & 0o7777, there.uid(), there.gid()), (0o640, 12, 34));
    assert_eq!(names(folder.path()), ["report.html"]);
}

fn report_does_not_follow_a_link() {
    let folder = TempDir::new().unwrap();
    let (there, link) = (folder.path().join("there.html"), folder.path().join("link.html"));
    fs::write(&there, "old").unwrap();
    std::os::unix::fs::symlink(&there, &link).unwrap();
    refused(&link, &["link.html", "it is a symbolic link, which is not followed"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&there).unwrap(), "old");
}

fn report_on_a_full_disk_is_an_error() {
    let disk = Disk::new(c"size=64k", 0);
    let report = disk.folder.path().join("report.html");
    refused(&report, &["cannot write the report to ", "report.html", "ENOSPC", "make room"]);
    assert_eq!(names(disk.folder.path()), [""; 0]);
    // The old report is unchanged.
    fs::write(&report, "old").unwrap();
    refused(&report, &["ENOSPC"]);
    assert_eq!(fs::read_to_string(&report).unwrap(), "old");
    assert_eq!(names(disk.folder.path()), ["report.html"]);
}

fn report_in_a_read_only_directory_is_an_error() {
    let disk = Disk::new(c"", libc::MS_RDONLY);
    refused(&disk.folder.path().join("report.html"), &["EROFS", "a directory that can be written to"]);
    // The same in the current directory, with a file name without a directory.
    let mut here = command(["compare", "--quick", "--only", "stack-limit", "--report", "report.html"]);
    let ended = Running::start(here.current_dir(disk.folder.path())).end();
    assert!(ended.complaint().contains("EROFS"), "{ended:?}");
    // Without a report no file is written, so there is no error.
    let mut none = command(["compare", "--quick", "--only", "max-entries"]);
    assert!(Running::start(none.current_dir(disk.folder.path())).end().status.success());
}

fn report_in_a_missing_directory_is_an_error() {
    refused(Path::new("/no/such/folder/report.html"), &["ENOENT", "does the directory exist?"]);
}

fn report_to_a_device() {
    refused(Path::new("/dev/null"), &["/dev/null", "it is not a regular file"]);
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    refused(Path::new("/tmp"), &["/tmp", "it is not a regular file"]);
}

/// A path that cannot become a file is refused before the measurements.
fn report_path_without_a_file_name_is_an_error() {
    let folder = TempDir::new().unwrap();
    refused(&folder.path().join("new/"), &["new/", "it does not name a file"]);
    let link = folder.path().join("link.html");
    std::os::unix::fs::symlink("nowhere.html", &link).unwrap();
    refused(&link, &["link.html", "a dangling symbolic link"]);
    assert_eq!(names(folder.path()), ["link.html"]);
}

/// A small disk for one test, unmounted on drop.
struct Disk {
    folder: TempDir,
}

impl Disk {
    #[expect(unsafe_code, reason = "mount(2)")]
    fn new(options: &std::ffi::CStr, flags: libc::c_ulong) -> Self {
        let disk = Self { folder: TempDir::new().unwrap() };
        let folder = disk.path();
        // SAFETY: reads four C strings.
        let answer = unsafe {
            libc::mount(c"none".as_ptr(), folder.as_ptr(), c"tmpfs".as_ptr(), flags, options.as_ptr().cast())
        };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
        disk
    }

    fn path(&self) -> std::ffi::CString {
        std::ffi::CString::new(self.folder.path().to_str().unwrap()).unwrap()
    }
}

impl Drop for Disk {
    #[expect(unsafe_code, reason = "umount2(2)")]
    fn drop(&mut self) {
        let folder = self.path();
        // SAFETY: reads a C string.
        unsafe { libc::umount2(folder.as_ptr(), libc::MNT_DETACH) };
    }
}
