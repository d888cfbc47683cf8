//! The command in a user namespace to which root has delegated rights by a BPF file system.
#![expect(unsafe_code, reason = "makes a child enter a user namespace before it runs the command")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::Command,
};

use cutaway_programs::prelude::*;
use tempfile::TempDir;

use crate::{
    binary::{self, Ended, Running},
    harness::{Test, older_than, test},
    requirements::root,
    user_namespace,
};

pub(crate) fn tests() -> Vec<Test> {
    let needs = || root().or_else(|| older_than(6, 9, "BPF tokens")).or_else(user_namespace::missing);
    vec![
        test!(unprivileged_user_runs_an_object).needs(needs),
        test!(undelegated_object_is_refused).needs(needs),
        test!(doctor_says_what_a_token_delegates).needs(needs),
        test!(token_of_another_directory_is_refused).needs(root).since(6, 9, "BPF tokens"),
    ]
}

const RAW_TRACEPOINTS: [(&str, &str); 4] = [
    ("delegate_cmds", "any"),
    ("delegate_maps", "any"),
    ("delegate_progs", "raw_tracepoint"),
    ("delegate_attachs", "cgroup_inet_ingress"),
];

/// A copy of the command and an object, which every user may read.
struct Readable {
    directory: TempDir,
}

impl Readable {
    /// Writes an object whose program, of this section, sends a record.
    fn new(section: &str) -> Self {
        let mut object = ObjectBuilder::new("GPL");
        let ring = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
        let mut asm = Assembler::new();
        asm.store(DW, R10, -8, 7);
        asm.load_map(R1, ring);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, 8);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_ringbuf_output);
        asm.mov(R0, 0);
        asm.exit();
        object.program(section, "send", asm);
        let readable = Self { directory: tempfile::tempdir().unwrap() };
        fs::write(readable.object(), object.write().unwrap()).unwrap();
        fs::copy(binary::path(), readable.command()).unwrap();
        for path in [readable.directory.path(), &readable.object(), &readable.command()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        readable
    }

    fn object(&self) -> PathBuf {
        self.directory.path().join("object.o")
    }

    fn command(&self) -> PathBuf {
        self.directory.path().join("cutaway")
    }

    /// Runs the command in a user namespace with a BPF file system that has these options.
    fn run(&self, words: &[&str], options: &'static [(&str, &str)]) -> Ended {
        let mut command = Command::new(self.command());
        command.args(words).current_dir("/").env_remove("LIBBPF_BPF_TOKEN_PATH");
        let enter = move || {
            user_namespace::enter(0).mount("/sys/fs/bpf", options);
            Ok(())
        };
        // SAFETY: the child is a copy of this process with one thread. It allocates memory and may panic, which glibc
        // and std allow there; no lock is held that only another thread could release, except in tests that fail.
        unsafe { command.pre_exec(enter) };
        Running::start(&mut command).end()
    }
}

fn unprivileged_user_runs_an_object() {
    let readable = Readable::new("raw_tracepoint/sys_enter");
    let object = readable.object();
    for token in [&[] as &[&str], &["--token", "/sys/fs/bpf"]] {
        let words = [&["run", object.to_str().unwrap(), "--count", "1", "--format", "hex"], token].concat();
        let ended = readable.run(&words, &RAW_TRACEPOINTS);
        assert!(ended.status.success() && ended.stdout.contains("07"), "{ended:?}");
    }
}

fn undelegated_object_is_refused() {
    let readable = Readable::new("xdp");
    let object = readable.object();
    let words = ["run", object.to_str().unwrap(), "--interface", "lo"];
    let ended = readable.run(&words, &RAW_TRACEPOINTS);
    assert!(!ended.status.success(), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("the token at /sys/fs/bpf does not delegate programs of the type xdp and the attach type"),
        "{ended:?}"
    );
    let ended = readable.run(&[&words as &[&str], &["--token", ""]].concat(), &RAW_TRACEPOINTS);
    assert!(!ended.status.success() && ended.stderr.contains("was asked to use no BPF token"), "{ended:?}");
}

fn doctor_says_what_a_token_delegates() {
    let readable = Readable::new("xdp");
    let ended = readable.run(&["doctor"], &RAW_TRACEPOINTS);
    let row = |ended: &Ended| {
        let rows = ended.stdout.replace(&format!("\n{}", " ".repeat(29)), " ");
        let found = rows.lines().find(|row| row.contains("BPF token  ")).map(str::to_owned);
        found.unwrap_or_else(|| panic!("{ended:?}"))
    };
    assert!(
        row(&ended).starts_with("ok ")
            && row(&ended).ends_with(
                "the token at /sys/fs/bpf has delegate_cmds=any,delegate_maps=any,delegate_progs=raw_tracepoint,\
                 delegate_attachs=cgroup_inet_ingress"
            ),
        "{ended:?}"
    );
    let ended = readable.run(&["doctor"], &[]);
    assert!(row(&ended).starts_with("no ") && row(&ended).contains("it is mounted without delegation"), "{ended:?}");
    let ended = Running::start(&mut binary::command(["doctor"])).end();
    assert!(row(&ended).contains("not needed in the initial user namespace"), "{ended:?}");
}

fn token_of_another_directory_is_refused() {
    let readable = Readable::new("raw_tracepoint/sys_enter");
    for (path, reason) in [("/sys", "it is not a BPF file system"), ("/no/such", "there is no such directory")] {
        let mut command = binary::command(["run", "--token", path]);
        let ended = Running::start(command.arg(readable.object())).end();
        let complaint = ended.complaint();
        assert!(complaint.contains(&format!("cannot create a BPF token from {path}: ")), "{ended:?}");
        assert!(complaint.contains(reason), "{ended:?}");
    }
}
