//! Errors in one line: what failed, on what, why, and what to do. The exit status is 1.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::Command,
};

use crate::{
    binary::{self, Running, command},
    harness::{Test, test},
    requirements::root,
    transports::{self, transports},
};
use cutaway_programs::getaddrinfo::Transport;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(missing_library_is_an_error).needs(root),
        test!(file_that_is_no_library_is_an_error).needs(root),
        test!(library_without_the_function_is_an_error).needs(root),
        test!(library_that_imports_the_function_is_an_error).needs(root),
        test!(missing_command_is_an_error).needs(root),
        test!(command_that_cannot_be_run_is_an_error).needs(root),
        test!(missing_process_is_an_error).needs(root),
        test!(value_of_a_wrong_kind_is_explained),
    ];
    tests.extend(test!(missing_privileges_are_an_error, transports(), transports::missing));
    tests
}

fn value_of_a_wrong_kind_is_explained() {
    for (words, expected) in [
        ("trace --pid foo", "must be a process id, which is a number; `pgrep NAME` finds that of a name"),
        ("trace -p 1,0", "must be a process id, from 1 to 2147483647"),
        ("trace --uid no-such-user", "no user has this name; name a user, or give the user id"),
        ("trace --uid 99999999999", "must be the name of a user, or a user id from 0 to 4294967295"),
        ("trace --count many", "must be a whole number, at least 1"),
        ("run a.o --pid foo", "must be a process id"),
        ("run a.o -n 0", "must be a whole number, at least 1"),
        ("cover a.o --frequency fast", "must be a whole number, at least 1"),
        ("peek --pid foo", "must be a process id"),
        ("peek --id events", "must be a map id, which is a number; `cutaway peek` lists them"),
        ("peek --pid 1 --records all", "must be a whole number"),
    ] {
        let ended = Running::start(&mut command(words.split(' '))).end();
        assert_eq!(ended.status.code(), Some(2), "{words}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{words}: {ended:?}");
        assert!(!ended.stderr.contains("invalid digit"), "{words}: {ended:?}");
    }
}

/// Returns the error line, which must contain each of these parts.
fn complaint<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, parts: &[&str]) -> String {
    refusal(&mut command(arguments), parts)
}

fn refusal(command: &mut Command, parts: &[&str]) -> String {
    let ended = Running::start(command).end();
    let line = ended.complaint();
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().filter(|line| !line.starts_with("Tracing ")).count(), 1, "{ended:?}");
    line.to_owned()
}

fn library(path: &str, parts: &[&str]) {
    complaint(["trace", "--library", path, "--", "true"], parts);
}

fn missing_library_is_an_error() {
    library("libnothing.so.9", &["cannot find the library `libnothing.so.9`", "/etc/ld.so.cache", "give its path"]);
    library("/no/such/library.so", &["cannot find the library `/no/such/library.so`", "no such file", "existing file"]);
    library("", &["its name is empty"]);
}

fn file_that_is_no_library_is_an_error() {
    library("/proc/self/cmdline", &["cannot attach to `getaddrinfo`", "it is not an ELF file"]);
    library("/", &["cannot attach to `getaddrinfo` in /", "it is not a file"]);
    library("/dev/zero", &["cannot attach to `getaddrinfo` in /dev/zero", "it is not a file"]);
    // The first half of a library.
    let folder = tempfile::tempdir().unwrap();
    let half = folder.path().join("half.so");
    let whole = fs::read(loaded_library("libc.so.6")).unwrap();
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    library(half.to_str().unwrap(), &["cannot attach to `getaddrinfo`", "half.so", "its ELF structure is broken"]);
}

/// Returns a library of this process, by the first part of its file name.
fn loaded_library(name: &str) -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut paths = maps.split_whitespace().map(PathBuf::from);
    paths
        .find(|path| path.file_name().is_some_and(|file| file.as_encoded_bytes().starts_with(name.as_bytes())))
        .unwrap()
}

fn library_without_the_function_is_an_error() {
    let path = loaded_library("libgcc_s.so");
    let file = path.to_str().unwrap();
    library(file, &["cannot attach to `getaddrinfo`", file, "the file has no such function", "nm -D"]);
    library("libgcc_s.so.1", &["the file has no such function"]);
}

fn library_that_imports_the_function_is_an_error() {
    let own = std::env::current_exe().unwrap();
    library(
        own.to_str().unwrap(),
        &["cannot attach to `getaddrinfo`", "only imports it", "name the library that defines it"],
    );
}

fn missing_command_is_an_error() {
    for name in ["no-such-command", "/no/such/command"] {
        complaint(["trace", "--", name], &[&format!("cannot run `{name}`: ENOENT"), "check its path"]);
    }
}

fn command_that_cannot_be_run_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "data").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let file = file.to_str().unwrap();
    complaint(["trace", "--", file], &["cannot run", file, "EACCES", "check that it is executable"]);
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
    complaint(["trace", "--", file], &["cannot run", file, "ENOEXEC"]);
}

fn missing_process_is_an_error() {
    // A process that has just ended; its id is not reused for a long time.
    let mut process =
        Command::new(binary::path()).arg("--version").stdout(std::process::Stdio::null()).spawn().unwrap();
    let pid = process.id().to_string();
    process.wait().unwrap();
    complaint(["trace", "--pid", &pid], &["find process", "ESRCH", &pid]);
}

fn missing_privileges_are_an_error(transport: Transport) {
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let own = folder.path().join("cutaway");
    fs::copy(binary::path(), &own).unwrap();
    for rest in [&["--", "true"][..], &[], &["--pid", "1"]] {
        let mut command = Command::new(&own);
        command.args(["trace", "--transport", transport.name()]).args(rest).env_remove("RUST_LOG");
        let line = refusal(command.uid(NOBODY).gid(NOBODY).current_dir("/"), &["cannot ", "run it as root"]);
        assert!(line.contains("EPERM") || line.contains("EACCES"), "{line}");
    }
}
