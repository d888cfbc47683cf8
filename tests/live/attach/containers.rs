//! Files of processes with another root directory, and crafted files that are ambiguous, stripped or without code.
#![expect(unsafe_code, reason = "a child changes its root directory")]

use std::{
    ffi::{CString, OsStr},
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use cutaway::{Uprobe, UprobeMulti, Usdt, features};

use crate::{
    crafted::{CODE, Crafted, DATA, FUNC, GLOBAL, LOCAL, NOTE, NOTYPE, probe as note},
    harness::{Test, test},
    mapped::{self, Mapped, no_code},
    sample::{self, Also, load, runs},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(path_into_a_pivoted_root_is_kept).unless(no_code),
        test!(name_is_found_in_a_pivoted_root).unless(no_code),
        test!(name_is_found_in_a_chroot).unless(no_code),
        test!(name_of_bytes_is_found).unless(no_code),
        test!(unmapped_library_is_found_in_the_process_directories).unless(no_code),
        test!(magic_links_are_passed_to_the_kernel).unless(no_code),
        test!(ambiguous_function_is_chosen_by_address).unless(no_code),
        test!(symbol_with_colons_is_split_by_its_file).unless(no_code),
        test!(probe_outside_of_code_is_refused).unless(no_code),
        test!(function_of_a_stripped_file_is_probed).unless(no_code),
        test!(thread_is_distinguished_from_its_process).unless(no_code),
    ]
}

/// The argument that makes this binary map a file in another root: the method, the root, and the file's path there.
pub(crate) const CONTAINED: &str = "contained";

const F: (&str, u8, u8, u64, u64) = ("f", GLOBAL, FUNC, CODE, 2);

fn plain() -> Vec<u8> {
    Crafted { symbols: vec![F], ..Crafted::default() }.write()
}

/// Runs the child: enters its root, maps the file, and calls its first function for each line that it reads.
pub(crate) fn be_contained(words: &[std::ffi::OsString]) {
    let [how, root, file] = words else { panic!("{words:?}") };
    let root = CString::new(root.as_bytes()).unwrap();
    let ok = |answer: i32| assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    if how == "pivot" {
        let (none, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
        // SAFETY: takes numbers.
        ok(unsafe { libc::unshare(libc::CLONE_NEWNS) });
        // SAFETY: the paths are texts.
        ok(unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) });
        // SAFETY: as above.
        ok(unsafe { libc::mount(root.as_ptr(), root.as_ptr(), none, libc::MS_BIND, none.cast()) });
        // SAFETY: as above.
        ok(unsafe { libc::chdir(root.as_ptr()) });
        // SAFETY: as above; the old root is stacked upon the new one.
        if unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) } == 0 {
            // SAFETY: as above.
            ok(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) });
        } else {
            // The root of an initramfs cannot be replaced, only covered.
            // SAFETY: as above.
            ok(unsafe { libc::mount(c".".as_ptr(), c"/".as_ptr(), none, libc::MS_MOVE, none.cast()) });
            // SAFETY: as above.
            ok(unsafe { libc::chroot(c".".as_ptr()) });
        }
    } else {
        // SAFETY: as above.
        ok(unsafe { libc::chroot(root.as_ptr()) });
    }
    std::env::set_current_dir("/").unwrap();
    let base = mapped::map(Path::new(file));
    println!("ready");
    for line in std::io::stdin().lines() {
        line.unwrap();
        mapped::call(base, 0);
        println!("called");
    }
}

/// A child with a root of its own, and that root, which is removed on drop.
struct Contained {
    root: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Contained {
    /// Starts a child; `file` is the path of a crafted file in the new root.
    fn start(how: &str, file: &[u8]) -> Self {
        let root = std::env::temp_dir().join(format!("cutaway-{how}-{}", std::process::id()));
        let file = OsStr::from_bytes(file);
        let inside = root.join(Path::new(file).strip_prefix("/").unwrap());
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        fs::write(inside, plain()).unwrap();
        let mut command = Command::new("/proc/self/exe");
        command.arg(CONTAINED).arg(how).arg(&root).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut contained = Self { root, child, stdin, stdout };
        contained.hears("ready");
        contained
    }

    fn hears(&mut self, word: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn call(&mut self) {
        writeln!(self.stdin.as_mut().unwrap(), "call").unwrap();
        self.hears("called");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Attaches, has the child call, and returns the count.
fn hits(contained: &mut Contained, probe: &Uprobe) -> u64 {
    let loaded = load("uprobe");
    let link = probe.attach(loaded.program("count").unwrap()).unwrap();
    contained.call();
    drop(link);
    contained.call();
    runs(&loaded)
}

/// In our own root, another file has the same path.
fn path_into_a_pivoted_root_is_kept() {
    let decoy = Mapped::write("decoy.so", &plain());
    let path = decoy.path().as_os_str().as_bytes();
    let mut contained = Contained::start("pivot", path);
    let inside = format!("/proc/{}/root{}", contained.pid(), decoy.path().display());
    let probe = Uprobe::new(&inside, "f");
    assert_eq!(probe.locate().unwrap().0, Path::new(&inside));
    assert_eq!(hits(&mut contained, &probe), 1);
    let pid = contained.pid();
    assert_eq!(hits(&mut contained, &Uprobe::new(decoy.path(), "f").resolve_in_process(pid)), 1);
    // Through a section's name.
    let loaded = load(&format!("uprobe/{inside}:f"));
    let link = loaded.program("count").unwrap().attach().unwrap();
    decoy.call(0);
    contained.call();
    drop(link);
    assert_eq!(runs(&loaded), 1);
    // A probe on the decoy is not hit.
    assert_eq!(hits(&mut contained, &Uprobe::new(decoy.path(), "f")), 0);
}

fn name_is_found_in_a_pivoted_root() {
    named("pivot");
}

/// A file mapped by a process in a chroot is listed with a path in our root.
fn name_is_found_in_a_chroot() {
    named("chroot");
}

fn named(how: &str) {
    let name = format!("named-{}.so", std::process::id());
    let mut contained = Contained::start(how, format!("/lib/{name}").as_bytes());
    let inside = contained.root.join("lib").join(&name);
    let probe = Uprobe::new(&name, "f").resolve_in_process(contained.pid());
    let found = |probe: &Uprobe| fs::metadata(probe.locate().unwrap().0).unwrap().ino();
    assert_eq!(found(&probe), fs::metadata(&inside).unwrap().ino());
    assert_eq!(hits(&mut contained, &probe), 1);
    let pid = contained.pid();
    assert_eq!(hits(&mut contained, &probe.clone().pid(pid)), 1);
    let many = UprobeMulti::new(&name, "f*").resolve_in_process(contained.pid());
    assert_eq!(many.locate().unwrap().1, [CODE - crate::crafted::SHIFT]);
    // A new file took the name: the process has the old one mapped.
    let inode = found(&probe);
    fs::write(inside.with_extension("new"), plain()).unwrap();
    fs::rename(inside.with_extension("new"), &inside).unwrap();
    assert!(probe.locate().unwrap().0.starts_with(format!("/proc/{}/map_files", contained.pid())));
    assert_eq!(found(&probe), inode);
    assert_eq!(hits(&mut contained, &probe), 1);
}

/// A name consists of bytes: spaces, a newline, and bytes that are not UTF-8.
fn name_of_bytes_is_found() {
    let mut contained = Contained::start("chroot", b"/a b\nc\\012d (deleted)\xff.so");
    let probe =
        Uprobe::new(OsStr::from_bytes(b"a b\nc\\012d (deleted)\xff.so"), "f").resolve_in_process(contained.pid());
    let listed = fs::metadata(probe.locate().unwrap().0).unwrap().ino();
    assert_eq!(hits(&mut contained, &probe), 1);
    let mut files = fs::read_dir(&contained.root).unwrap();
    assert_eq!(files.next().unwrap().unwrap().metadata().unwrap().ino(), listed);
}

/// The library is found in a directory of the process's own root, through the machine's root.
fn unmapped_library_is_found_in_the_process_directories() {
    let contained = Contained::start("pivot", b"/usr/lib/first.so");
    fs::create_dir_all(contained.root.join("usr/lib/x86_64-linux-gnu")).unwrap();
    fs::create_dir_all(contained.root.join("usr/lib/aarch64-linux-gnu")).unwrap();
    std::os::unix::fs::symlink("/usr/lib", contained.root.join("lib")).unwrap();
    let folder = match std::env::consts::ARCH {
        "x86_64" => "usr/lib/x86_64-linux-gnu",
        "aarch64" => "usr/lib/aarch64-linux-gnu",
        _ => "usr/lib",
    };
    let file = contained.root.join(folder).join("libsecond.so.2.1");
    fs::write(&file, plain()).unwrap();
    std::os::unix::fs::symlink("libsecond.so.2.1", contained.root.join(folder).join("libsecond.so.2")).unwrap();
    for name in ["libsecond.so.2", "libsecond"] {
        let (path, _) = Uprobe::new(name, "f").resolve_in_process(contained.pid()).locate().unwrap();
        assert!(path.starts_with(format!("/proc/{}/root/usr/lib", contained.pid())), "{}", path.display());
        assert_eq!(fs::metadata(path).unwrap().ino(), fs::metadata(&file).unwrap().ino());
    }
    let line = Uprobe::new("libthird.so", "f").resolve_in_process(contained.pid()).locate().unwrap_err().to_string();
    assert!(line.contains("has mapped no such file") && line.contains("/lib64"), "{line}");
}

fn magic_links_are_passed_to_the_kernel() {
    let file = Mapped::write("magic.so", &plain());
    let open = File::open(file.path()).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let range = maps.lines().find(|line| line.ends_with(file.name())).unwrap().split(' ').next().unwrap();
    let own = std::process::id();
    for path in [
        format!("/proc/self/fd/{}", open.as_raw_fd()),
        format!("/proc/{own}/map_files/{range}"),
        format!("/proc/self/root{}", file.path().display()),
    ] {
        let probe = Uprobe::new(&path, "f").pid(own);
        assert_eq!(probe.locate().unwrap().0, Path::new(&path));
        let loaded = load("uprobe");
        let link = probe.attach(loaded.program("count").unwrap()).unwrap();
        file.call(0);
        drop(link);
        assert_eq!(runs(&loaded), 1, "{path}");
    }
}

/// Two static functions of one name, and a global one with a static namesake.
fn ambiguous_function_is_chosen_by_address() {
    let symbols = vec![
        ("f", LOCAL, FUNC, CODE, 2),
        ("f", LOCAL, FUNC, CODE + 0x10, 2),
        ("g", LOCAL, FUNC, CODE + 0x20, 2),
        ("g", GLOBAL, FUNC, CODE + 0x30, 2),
    ];
    let file = Mapped::write("twice.so", &Crafted { symbols, ..Crafted::default() }.write());
    let path = file.path().display();
    let refused = load(&format!("uprobe/{path}:f"));
    let line = refused.program("count").unwrap().attach().unwrap_err().to_string();
    assert!(line.contains("ambiguous") && line.contains("0x11000, 0x11010"), "{line}");
    for (symbol, index) in [("f@0x11010", 1), ("f@0x11000", 0), ("0x11010", 1), ("g", 3), ("g@0x11020", 2)] {
        for kind in ["uprobe", "uretprobe", "uprobe.multi"] {
            let loaded = load(&format!("{kind}/{path}:{symbol}"));
            let link = loaded.program("count").unwrap().attach().unwrap();
            (0..4).for_each(|other| (0..=other).for_each(|_| file.call(other)));
            drop(link);
            assert_eq!(runs(&loaded), index + 1, "{kind} {symbol}");
        }
    }
}

fn symbol_with_colons_is_split_by_its_file() {
    let symbols = vec![("type:.eq.T", LOCAL, FUNC, CODE, 2), ("a::b", LOCAL, FUNC, CODE + 0x10, 2)];
    let sections = vec![(".note.stapsdt", NOTE, note(CODE + 0x20, "n:m", ""))];
    let file = Mapped::write("go:x", &Crafted { symbols, sections, ..Crafted::default() }.write());
    let path = file.path().display();
    for (section, index) in
        [("uprobe", "type:.eq.T"), ("uprobe", "a::b"), ("uprobe.multi", "type:*"), ("usdt", "cutaway:n:m")]
            .into_iter()
            .zip([0, 1, 0, 2])
    {
        let (kind, rest) = section;
        let loaded = sample::object(&format!("{kind}/{path}:{rest}"), 0, Also::OnlyThisProcess).load().unwrap();
        let link = loaded.program("count").unwrap().attach().unwrap();
        (0..3).for_each(|other| (0..=other).for_each(|_| file.call(other)));
        drop(link);
        assert_eq!(runs(&loaded), index + 1, "{kind} {rest}");
    }
    let loaded = load("uprobe//no/such:type:.eq.T");
    let line = loaded.program("count").unwrap().attach().unwrap_err().to_string();
    assert!(line.contains("none of `/no/such:type`, `/no/such` is a file"), "{line}");
}

/// Probes on data, in a file without its code, and on bytes after a function's end.
fn probe_outside_of_code_is_refused() {
    let symbols = vec![F, ("__data_start", GLOBAL, NOTYPE, DATA, 0)];
    let whole = Crafted { symbols, ..Crafted::default() };
    let file = Mapped::write("outside.so", &whole.write());
    let debug = Mapped::write("outside.debug", &Crafted { debug_only: true, ..whole.clone() }.write());
    let object = Mapped::write("outside.o", &Crafted { kind: 1, ..whole }.write());
    let loaded = load("uprobe");
    let many = load("uprobe.multi");
    let (one, many) = (loaded.program("count").unwrap(), many.program("count").unwrap());
    let path = file.path();
    for (refused, part) in [
        (Uprobe::new(path, "__data_start").attach(one), "no executable segment"),
        (Uprobe::at_virtual_address(path, DATA + 4).attach(one), "no executable segment"),
        (Uprobe::at_file_offset(path, 0x2000).attach(one), "no executable segment"),
        (Uprobe::at_file_offset(path, 1 << 40).attach(one), "ends before"),
        (Uprobe::new(path, "f").offset(2).attach(one), "beyond its end: it has 0x2 bytes"),
        (Uprobe::new(path, "f").offset(1).retprobe(true).attach(one), "takes no offset"),
        (UprobeMulti::at_file_offsets(path, &[0x1000, 0x2000]).attach(many), "`file offset 0x2000`"),
        (Uprobe::new(debug.path(), "f").attach(one), "SHT_NOBITS"),
        (Uprobe::at_file_offset(debug.path(), 0x1000).attach(one), "SHT_NOBITS"),
        (UprobeMulti::new(debug.path(), "f*").attach(many), "SHT_NOBITS"),
        (Usdt::new(debug.path(), "p", "n").attach(one), "SHT_NOBITS"),
        (Uprobe::new(object.path(), "f").attach(one), "ET_REL"),
    ] {
        let line = refused.map(|_| "attached").unwrap_err().to_string();
        assert!(line.contains(part), "{part}: {line}");
    }
    // On x86 each byte of the function is an instruction; on other machines it has only one.
    let inside = if cfg!(target_arch = "x86_64") { 1 } else { 0 };
    let link = Uprobe::new(path, "f").offset(inside).attach(one).unwrap();
    file.call(0);
    drop(link);
    assert_eq!(runs(&loaded), 1);
}

/// Its symbols are in another file, which it names.
fn function_of_a_stripped_file_is_probed() {
    let identified = |crafted: Crafted<'static>| {
        let mut crafted = crafted;
        crafted.sections.push((".note.gnu.build-id", NOTE, crate::crafted::note("GNU", 3, b"cutaway-")));
        crafted.write()
    };
    let symbols = vec![("hidden", LOCAL, FUNC, CODE + 0x10, 2)];
    let debug = Mapped::write("x.debug", &identified(Crafted { symbols, debug_only: true, ..Crafted::default() }));
    let mut link: Vec<u8> = debug.name().bytes().chain([0]).collect();
    link.resize(link.len().next_multiple_of(4) + 4, 0);
    let sections = vec![(".gnu_debuglink", 1, link)];
    let file = Mapped::write("x", &identified(Crafted { dynamic: vec![F], sections, ..Crafted::default() }));
    let loaded = load("uprobe");
    let link = Uprobe::new(file.path(), "hidden").attach(loaded.program("count").unwrap()).unwrap();
    file.call(0);
    file.call(1);
    drop(link);
    assert_eq!(runs(&loaded), 1);
    drop(debug);
    let line = Uprobe::new(file.path(), "hidden").locate().unwrap_err().to_string();
    for part in ["is stripped (no .symtab)", "its build id is 637574617761792d", ".gnu_debuglink names"] {
        assert!(line.contains(part), "{line}");
    }
}

fn thread_is_distinguished_from_its_process() {
    let file = Mapped::write("thread.so", &plain());
    let loaded = load("uprobe.multi");
    let program = loaded.program("count").unwrap();
    if !features::uprobe_multi_pid().is_yes() {
        return;
    }
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let thread = thread::spawn(move || receiver.recv());
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().file_name());
    let tasks = tasks.map(|task| task.to_str().unwrap().parse::<u32>().unwrap());
    let other = tasks.filter(|&task| task != std::process::id()).max().unwrap();
    let line = UprobeMulti::new(file.path(), "f").pid(other).attach(program).unwrap_err().to_string();
    assert!(line.contains(&format!("{other} is a thread of the process {}", std::process::id())), "{line}");
    drop(sender);
    assert!(thread.join().unwrap().is_err());
}
