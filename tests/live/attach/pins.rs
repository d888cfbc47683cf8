//! Pins: a path in a BPF file system keeps a program attached after its process has ended.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cutaway::{Link, Object, RawTracepoint, SocketFilter, Uprobe, features};

use crate::{
    harness::{Test, test},
    own_mounts,
    sample::{self, Also, load, runs},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(pinned_link_outlives_the_process),
        test!(pin_path_is_not_reused),
        test!(program_is_pinned_without_being_attached),
        test!(pin_that_is_no_link_is_refused),
        test!(attachment_without_a_link_cannot_be_pinned),
    ]
}

/// A path for one test, removed on drop.
struct Name(PathBuf);

impl Name {
    fn new(name: &str) -> Self {
        Self(file_system().join(format!("cutaway-{name}-{}", std::process::id())))
    }
}

/// Returns the BPF file system of this process's mount namespace.
pub(crate) fn file_system() -> &'static Path {
    Path::new(own_mounts::BPFFS.1)
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a system call that no other code of the test makes.
fn call() {
    let _ = rustix::process::getpgid(None);
}

fn counting() -> Object {
    sample::object("raw_tp/sys_enter", 0, Also::OnlyThisProcess)
}

fn program_is_pinned_without_being_attached() {
    let name = Name::new("program");
    let loaded = load("lwt_xmit");
    let program = loaded.program("count").unwrap();
    let line = program.attach().unwrap_err().to_string();
    assert!(line.contains("pin it, with `Program::pin`, for `ip route"), "{line}");
    program.pin(&name.0).unwrap();
    let line = program.pin(&name.0).unwrap_err().to_string();
    assert!(line.contains("pin the program `count` at /sys/fs/bpf/") && line.contains("EEXIST"), "{line}");
    drop(loaded);
    assert!(name.0.exists());
    let line = Link::from_pin(&name.0).unwrap_err().to_string();
    assert!(line.contains("not a link"), "{line}");
}

fn pinned_link_outlives_the_process() {
    let loaded = counting().load().unwrap();
    let name = Name::new("pinned");
    let link = loaded.program("count").unwrap().attach().unwrap();
    link.pin(&name.0).unwrap();
    drop(link);
    let before = runs(&loaded);
    call();
    assert!(runs(&loaded) > before, "the pin keeps the program attached");
    let link = Link::from_pin(&name.0).unwrap();
    fs::remove_file(&name.0).unwrap();
    let before = runs(&loaded);
    call();
    assert!(runs(&loaded) > before, "the link keeps the program attached");
    drop(link);
    // The kernel frees the file, and with it the link, after an RCU grace period.
    let begin = Instant::now();
    loop {
        let before = runs(&loaded);
        call();
        if runs(&loaded) == before {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "the program runs without pin and link");
    }
    let line = Link::from_pin(&name.0).unwrap_err().to_string();
    assert!(line.contains("ENOENT") && line.contains("cutaway-pinned"), "{line}");
}

fn pin_path_is_not_reused() {
    let loaded = counting().load().unwrap();
    let name = Name::new("twice");
    let link = loaded.program("count").unwrap().attach().unwrap();
    link.pin(&name.0).unwrap();
    let line = link.pin(&name.0).unwrap_err().to_string();
    assert!(line.contains("EEXIST") && line.contains("the link of `count` on the raw tracepoint sys_enter"), "{line}");
    let line = link.pin("/tmp/cutaway-no-bpf-file-system").unwrap_err().to_string();
    assert!(line.contains("BPF file system"), "{line}");
}

fn pin_that_is_no_link_is_refused() {
    let loaded = load("raw_tp");
    let name = Name::new("map");
    loaded.map("seen").unwrap().pin(&name.0).unwrap();
    let line = Link::from_pin(&name.0).unwrap_err().to_string();
    assert!(line.contains("not a link"), "{line}");
}

fn attachment_without_a_link_cannot_be_pinned() {
    let loaded = load("socket");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let link = SocketFilter::new(&socket).attach(loaded.program("count").unwrap()).unwrap();
    let name = Name::new("none");
    let line = link.pin(&name.0).unwrap_err().to_string();
    assert!(line.contains("the kernel has no link for it"), "{line}");
    let loaded = load("uprobe");
    let link = Uprobe::new("libc.so.6", "a64l").attach(loaded.program("count").unwrap()).unwrap();
    let answer = link.pin(&name.0);
    if features::perf_link().is_yes() {
        answer.unwrap();
    } else {
        let line = answer.unwrap_err().to_string();
        assert!(line.contains("Linux 5.15"), "{line}");
    }
    let loaded = load("raw_tp");
    drop(RawTracepoint::new("sys_enter").attach(loaded.program("count").unwrap()).unwrap());
}
