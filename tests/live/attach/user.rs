//! Probes on files: functions of libraries and executables.
#![expect(unsafe_code, reason = "calls the functions that are probed")]

use std::{path::PathBuf, thread};

use cutaway::{Link, Loaded, Uprobe, UprobeMulti, features};

use crate::{
    harness::{Test, test},
    sample::{self, Also, load, runs},
    unsupported,
    waiting::Waiting,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(uprobe_by_symbol_address_and_file_offset),
        test!(uprobe_has_a_cookie).unless(unsupported::cookies),
        test!(library_is_found_in_another_process),
        test!(replaced_library_is_still_found),
        test!(uprobe_multi_attaches_by_pattern),
        test!(uretprobe_multi_runs_on_return),
        test!(uprobe_multi_is_limited_to_a_process),
        test!(uprobe_multi_has_cookies).unless(unsupported::cookies),
        test!(uprobe_multi_attaches_to_an_open_file),
        test!(uprobe_session_runs_on_entry_and_return).unless(unsupported::uprobe_session),
        test!(pattern_without_a_match_is_refused),
    ]
}

/// Calls functions of the C library that no other code of the test calls.
pub(crate) fn call() {
    unsafe extern "C" {
        fn a64l(text: *const libc::c_char) -> libc::c_long;
        fn l64a(value: libc::c_long) -> *mut libc::c_char;
    }
    // SAFETY: reads a string.
    let value = unsafe { a64l(c"./".as_ptr()) };
    assert_eq!(value, 64);
    // SAFETY: writes a string of its own.
    let text = unsafe { l64a(64) };
    assert!(!text.is_null());
}

fn attach(loaded: &Loaded, probe: &Uprobe) -> Link {
    probe.attach(loaded.program("count").unwrap()).unwrap()
}

fn own() -> u32 {
    std::process::id()
}

fn uprobe_by_symbol_address_and_file_offset() {
    let loaded = load("uprobe");
    let (path, byte) = Uprobe::new("libc.so.6", "a64l").locate().unwrap();
    let path = path.to_str().unwrap();
    let address = address_of_a64l();
    for probe in
        [Uprobe::new(path, "a64l"), Uprobe::at_file_offset(path, byte), Uprobe::at_virtual_address(path, address)]
    {
        assert_eq!(probe.locate().unwrap().1, byte);
        let before = runs(&loaded);
        let link = attach(&loaded, &probe.pid(own()));
        call();
        assert_eq!(runs(&loaded), before + 1);
        drop(link);
        call();
        assert_eq!(runs(&loaded), before + 1);
    }
    let line = Uprobe::at_virtual_address(path, u64::MAX).locate().unwrap_err().to_string();
    assert!(line.contains("0xffffffffffffffff") && line.contains("no segment"), "{line}");
}

/// Returns the file's address of `a64l`: its address in memory less that of the file's first byte.
fn address_of_a64l() -> u64 {
    // SAFETY: only reads a C string.
    let here = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"a64l".as_ptr()) }.addr() as u64;
    // SAFETY: an all-zero `Dl_info` is a valid value.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is writable.
    let found = unsafe { libc::dladdr(std::ptr::without_provenance(here as usize), &raw mut info) };
    assert_ne!(found, 0);
    here - info.dli_fbase.addr() as u64
}

fn uprobe_has_a_cookie() {
    let loaded = sample::object("uprobe", 0, Also::NotesCookie).load().unwrap();
    let link = attach(&loaded, &Uprobe::new("libc.so.6", "a64l").pid(own()).cookie(3 << 33));
    call();
    drop(link);
    assert_eq!(sample::cookie(&loaded), 3 << 33);
}

fn library_is_found_in_another_process() {
    let loaded = load("uprobe");
    let link = attach(&loaded, &Uprobe::new("libc.so.6", "a64l").resolve_in_process(own()).pid(own()));
    call();
    assert_eq!(runs(&loaded), 1);
    drop(link);
    let (path, _) = Uprobe::new("libc.so.6", "a64l").locate().unwrap();
    let probe = Uprobe::new(path.to_str().unwrap(), "a64l").resolve_in_process(own()).pid(own());
    assert!(probe.locate().unwrap().0.starts_with("/proc"));
    let link = attach(&loaded, &probe);
    call();
    assert_eq!(runs(&loaded), 2);
    drop(link);
    let line = Uprobe::new("libnothing.so", "a64l").resolve_in_process(own()).locate().unwrap_err().to_string();
    assert!(line.contains("has mapped no such file"), "{line}");
    let line = Uprobe::new("libc.so.6", "a64l").resolve_in_process(0x7fff_fff0).locate().unwrap_err().to_string();
    assert!(line.contains("/proc/2147483632/maps"), "{line}");
}

/// A directory that is removed on drop, if the test has not removed it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process keeps the file that it executes, although its path now leads to another one.
fn replaced_library_is_still_found() {
    let directory = Directory(std::env::temp_dir().join(format!("cutaway-replaced-{}", own())));
    std::fs::create_dir_all(&directory.0).unwrap();
    let program = directory.0.join("mine");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let other = Waiting::start_copy(&program);
    std::fs::remove_dir_all(&directory.0).unwrap();
    let (path, _) = Uprobe::at_file_offset("mine", 0).resolve_in_process(other.id()).locate().unwrap();
    assert!(path.to_str().unwrap().contains("/map_files/"), "{}", path.display());
}

fn uprobe_multi_attaches_by_pattern() {
    let loaded = sample::object("uprobe.multi/libc.so.6:?64?", 0, Also::OnlyThisProcess).load().unwrap();
    let (_, locations) = UprobeMulti::new("libc.so.6", "?64?").locate().unwrap();
    assert!(locations.len() >= 2, "a64l and l64a: {locations:?}");
    let link = loaded.program("count").unwrap().attach().unwrap();
    assert_eq!(link.as_link_fd().is_some(), features::uprobe_multi().is_yes());
    assert_eq!(link.parts().len(), if features::uprobe_multi().is_yes() { 0 } else { locations.len() });
    call();
    assert_eq!(runs(&loaded), 2);
    drop(link);
    call();
    assert_eq!(runs(&loaded), 2);
}

fn uretprobe_multi_runs_on_return() {
    let loaded = sample::object("uretprobe.multi/libc.so.6:a64l", 0, Also::OnlyThisProcess).load().unwrap();
    let link = loaded.program("count").unwrap().attach().unwrap();
    call();
    assert_eq!(runs(&loaded), 1);
    drop(link);
}

fn uprobe_multi_is_limited_to_a_process() {
    let loaded = load("uprobe.multi");
    let program = loaded.program("count").unwrap();
    let probes = UprobeMulti::new("libc.so.6", "?64?").pid(own());
    if features::uprobe_multi().is_yes() && !features::uprobe_multi_pid().is_yes() {
        let line = probes.attach(program).unwrap_err().to_string();
        return assert!(line.contains("one process"), "{line}");
    }
    let link = probes.attach(program).unwrap();
    thread::spawn(call).join().unwrap();
    assert_eq!(runs(&loaded), 2, "all threads of the process");
    drop(link);
    let other = Waiting::start();
    let link = UprobeMulti::new("libc.so.6", "?64?").pid(other.id()).attach(program).unwrap();
    call();
    assert_eq!(runs(&loaded), 2);
    drop(link);
}

fn uprobe_multi_has_cookies() {
    let loaded = sample::object("uprobe.multi", 0, Also::NotesCookie).load().unwrap();
    let program = loaded.program("count").unwrap();
    let (path, byte) = Uprobe::new("libc.so.6", "l64a").locate().unwrap();
    let path = path.to_str().unwrap();
    let link = UprobeMulti::at_file_offsets(path, &[byte]).cookies(&[77]).attach(program).unwrap();
    call();
    drop(link);
    assert_eq!(sample::cookie(&loaded), 77);
    let line = UprobeMulti::at_file_offsets(path, &[byte]).cookies(&[1, 2]).attach(program).unwrap_err().to_string();
    assert!(line.contains("2 cookies are given"), "{line}");
}

fn uprobe_multi_attaches_to_an_open_file() {
    let (path, locations) = UprobeMulti::new("libc.so.6", "?64?").locate().unwrap();
    let file = || std::fs::File::open(&path).unwrap();
    let loaded = sample::object("uprobe.multi", 0, Also::OnlyThisProcess).load().unwrap();
    let program = loaded.program("count").unwrap();
    let probes = UprobeMulti::in_open_file(file(), "?64?");
    assert_eq!(probes.locate().unwrap().1, locations);
    let link = probes.attach(program).unwrap();
    drop(probes);
    call();
    assert_eq!(runs(&loaded), 2);
    drop(link);
    let link = UprobeMulti::at_open_file_offsets(file(), locations.get(..1).unwrap()).attach(program).unwrap();
    call();
    assert_eq!(runs(&loaded), 3);
    drop(link);
    // The same file under procfs is what older kernels get.
    let supported = features::uprobe_multi_fd().is_yes();
    assert_eq!(supported, crate::harness::older_than(7, 2, "uprobe.multi by an fd").is_none());
    let line =
        UprobeMulti::in_open_file(std::fs::File::open("/dev/null").unwrap(), "?64?").attach(program).unwrap_err();
    assert!(line.to_string().contains("it is not a file"), "{line}");
}

fn uprobe_session_runs_on_entry_and_return() {
    let loaded = sample::object("uprobe.session/libc.so.6:a64l", 0, Also::OnlyThisProcess).load().unwrap();
    let link = loaded.program("count").unwrap().attach().unwrap();
    call();
    assert_eq!(runs(&loaded), 2, "on entry and on return");
    drop(link);
}

fn pattern_without_a_match_is_refused() {
    let line = UprobeMulti::new("libc.so.6", "no_such_*").locate().unwrap_err().to_string();
    assert!(line.contains("`no_such_*`") && line.contains("no function that fits"), "{line}");
}
