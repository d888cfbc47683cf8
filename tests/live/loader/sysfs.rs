//! The number of possible CPUs comes from the kernel, whatever is mounted over sysfs. The kernel writes that many
//! values of a per-CPU map: with a list of fewer CPUs it would write beyond the loader's buffer.
#![expect(unsafe_code, reason = "unshare(2), mount(2) and prctl(2)")]

use std::{ffi::CString, fs, io, path::Path};

use cutaway::{Error, Loaded, Map, Object};
use cutaway_programs::{MapDef, MapType as Kind, ObjectBuilder};

use crate::{
    harness::{Test, test},
    maps::possible_cpus,
    requirements::root,
};

/// The list that determines the size of buffers.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
const KEY: [u8; 4] = [0; 4];
/// The size of a value in bytes.
const SIZE: usize = 512;

pub(crate) fn tests() -> Vec<Test> {
    let what = "file systems without a mount, and opening within a mount";
    let tests = [
        test!(file_mounted_over_possible_cpus_is_ignored),
        test!(sysfs_file_mounted_over_possible_cpus_is_ignored),
        test!(other_file_system_on_sys_is_ignored),
        test!(sysfs_directory_mounted_on_sys_is_ignored),
        test!(per_cpu_map_without_known_cpus_is_refused),
        test!(missing_sysfs_changes_nothing),
    ];
    tests.map(|test| test.since(5, 6, what).needs(root)).into()
}

fn call(source: &Path, target: &str, kind: &str, flags: libc::c_ulong) {
    let text = |text: &Path| CString::new(text.as_os_str().as_encoded_bytes()).unwrap();
    let (source, target, kind) = (text(source), text(target.as_ref()), text(kind.as_ref()));
    // SAFETY: C strings that live during the call, and no data.
    let done = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    assert_eq!(done, 0, "mounting {target:?}: {}", io::Error::last_os_error());
}

/// Makes the mounts of this process invisible to others; they end with it.
fn unshare() {
    // SAFETY: changes which mounts this process sees, and no memory.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "{}", io::Error::last_os_error());
    call(Path::new("none"), "/", "none", libc::MS_REC | libc::MS_PRIVATE);
}

/// Mounts a tmpfs, and writes a list of one CPU at `list` below it.
fn memory_on(target: &str, list: &str) {
    call(Path::new("none"), target, "tmpfs", 0);
    let list = Path::new(target).join(list);
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    fs::write(list, "0\n").unwrap();
}

/// Mounts a file over the list.
fn cover(with: &Path) {
    call(with, POSSIBLE, "none", libc::MS_BIND);
}

/// Loads an array and a hash with one value for each CPU.
fn per_cpu() -> Result<Loaded, Error> {
    let mut object = ObjectBuilder::new("GPL");
    for (name, kind) in [("array", Kind::PERCPU_ARRAY), ("hash", Kind::PERCPU_HASH)] {
        object.map(name, MapDef::new(kind).key_size(4).value_size(SIZE as u32).max_entries(1));
    }
    Object::parse(&object.write().unwrap()).unwrap().load()
}

/// Reads and writes elements, with guard memory beside the buffers that the kernel must not write to.
fn elements_are_whole(cpus: usize) {
    let loaded = per_cpu().unwrap();
    for map in loaded.maps() {
        assert_eq!(map.value_size(), cpus * SIZE, "{}", map.name());
        let value: Vec<u8> = (0..cpus * SIZE).map(|at| (at / SIZE + 1) as u8).collect();
        map.update(&KEY, &value).unwrap();
        let mut kept = Vec::new();
        for _ in 0..50 {
            kept.push(map.lookup(&KEY).unwrap().unwrap());
            kept.push(vec![0x41; 16 + kept.len() % 7 * 16]);
        }
        assert!(kept.chunks(2).all(|pair| pair[0] == value && pair[1].iter().all(|byte| *byte == 0x41)));
        let each = map.lookup_per_cpu(&KEY).unwrap().unwrap();
        assert_eq!(each.len(), cpus);
        assert!(each.iter().enumerate().all(|(index, (_, value))| *value == [index as u8 + 1; SIZE]));
        map.update_per_cpu(&KEY, &each).unwrap();
        let all: Vec<_> = map.entries().collect::<Result<_, _>>().unwrap();
        let values: Vec<&[u8]> = all.iter().flat_map(|entries| entries.iter().map(|(_, value)| value)).collect();
        assert_eq!(values, [value.as_slice()], "{}", map.name());
    }
}

fn file_mounted_over_possible_cpus_is_ignored() {
    let cpus = possible_cpus();
    unshare();
    memory_on("/tmp", "list");
    cover(Path::new("/tmp/list"));
    assert_eq!(fs::read_to_string(POSSIBLE).unwrap(), "0\n");
    elements_are_whole(cpus);
}

/// `kernel_max` is a single number, and so parses as a list of one CPU.
fn sysfs_file_mounted_over_possible_cpus_is_ignored() {
    let cpus = possible_cpus();
    unshare();
    cover(Path::new("/sys/devices/system/cpu/kernel_max"));
    assert!(!fs::read_to_string(POSSIBLE).unwrap().contains(['-', ',']));
    elements_are_whole(cpus);
}

fn other_file_system_on_sys_is_ignored() {
    let cpus = possible_cpus();
    unshare();
    memory_on("/sys", "devices/system/cpu/possible");
    elements_are_whole(cpus);
}

/// The directory is on sysfs, but not its root.
fn sysfs_directory_mounted_on_sys_is_ignored() {
    let cpus = possible_cpus();
    unshare();
    call(Path::new("/sys/devices"), "/sys", "none", libc::MS_BIND);
    elements_are_whole(cpus);
}

fn missing_sysfs_changes_nothing() {
    let cpus = possible_cpus();
    unshare();
    call(Path::new("none"), "/sys", "tmpfs", 0);
    elements_are_whole(cpus);
}

/// If the process cannot mount its own sysfs either (as without CAP_SYS_ADMIN), the map is refused.
fn per_cpu_map_without_known_cpus_is_refused() {
    unshare();
    memory_on("/tmp", "list");
    cover(Path::new("/tmp/list"));
    refuse(libc::SYS_fsopen);
    let error = per_cpu().map(drop).unwrap_err().to_string();
    let expected = "/sys/devices/system/cpu/possible cannot be read as the kernel's own: Invalid cross-device link";
    assert!(error.contains(expected), "{error}");
    // Maps without per-CPU values still work.
    let mut object = ObjectBuilder::new("GPL");
    object.map("array", MapDef::new(Kind::ARRAY).key_size(4).value_size(8).max_entries(1));
    let loaded = Object::parse(&object.write().unwrap()).unwrap().load().unwrap();
    let map: &Map = loaded.map("array").unwrap();
    assert_eq!(map.lookup(&KEY).unwrap().unwrap(), [0; 8]);
}

/// Makes this system call fail with EPERM from now on.
fn refuse(call: libc::c_long) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    // The number of the call is the first word of `struct seccomp_data`.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { code: equal, jt: 0, jf: 1, k: call as u32 },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: changes this process alone; `program` and the filter live during the call.
    let filtered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(filtered, 0, "{}", io::Error::last_os_error());
}
