//! `cutaway doctor`: its exit status, the checks for each command, and the features of the kernel, compared with those
//! that bpftool finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    process::Command,
};

use cutaway::{Error, Helper, Instruction, ProgramBuilder, instruction::opcode};
use serde_json::Value;

use crate::{
    binary::{self, Ended, Running},
    harness::{Test, test},
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    let commands = || ["trace", "run", "peek"].map(|name| (name, name));
    let mut tests = vec![
        test!(doctor_for_guests_requires_an_emulator),
        test!(table_fits_80_columns),
        test!(findings_are_objects),
        test!(features_exclude_a_command),
        test!(helpers_depend_on_the_program_type).needs(root),
        test!(table_of_features_has_80_columns).needs(root),
        test!(features_are_those_of_bpftool).needs(root).needs(bpftool),
    ];
    tests.extend(test!(doctor_succeeds_where_the_command_works, commands(), |_| ring()));
    tests.extend(test!(doctor_fails_without_privileges, commands(), |_| root()));
    tests
}

/// Requires a bpftool that runs. Some distributions install a script that looks for one of the running kernel.
fn bpftool() -> Option<String> {
    let runs = Command::new("bpftool").arg("version").output().is_ok_and(|output| output.status.success());
    (!runs).then(|| "needs bpftool, which is not installed here or does not run on this kernel".to_owned())
}

fn doctor(words: &[&str]) -> Ended {
    Running::start(&mut binary::command([["doctor"].as_slice(), words].concat())).end()
}

/// Returns the objects that doctor prints.
fn objects(words: &[&str]) -> Vec<Value> {
    let ended = doctor(&[words, &["--format", "json"]].concat());
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn doctor_succeeds_where_the_command_works(command: &str) {
    let ended = doctor(&["--for", command]);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let last = ended.stdout.lines().last().unwrap();
    let decides = match command {
        "run" => "load an object",
        "peek" => "peek at a ring",
        _ => "trace by ring",
    };
    assert!(last.starts_with("ok ") && last.contains(decides), "{ended:?}");
    if command == "trace" {
        assert_eq!(doctor(&[]).stdout.lines().last(), Some(last), "the default");
    }
}

fn doctor_fails_without_privileges(command: &str) {
    const NOBODY: u32 = 65534;
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("cutaway");
    fs::copy(binary::path(), &copy).unwrap();
    for path in [directory.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut unprivileged = Command::new(&copy);
    unprivileged.args(["doctor", "--for", command]).uid(NOBODY).gid(NOBODY).current_dir("/");
    let ended = Running::start(&mut unprivileged).end();
    assert!(ended.complaint().contains(&format!("`cutaway {command}` does not work here: ")), "{ended:?}");
    let rows = ended.stdout.replace(&format!("\n{}", " ".repeat(29)), " ");
    let refused = rows.lines().rfind(|row| row.starts_with("no ")).unwrap();
    assert!(refused.contains(" → "), "it says what to do: {ended:?}");
}

fn doctor_for_guests_requires_an_emulator() {
    let directory = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = binary::command(["doctor", "--for", "vm"]);
        Running::start(command.env("PATH", directory.path())).end()
    };
    let ended = run();
    assert!(ended.complaint().contains("`cutaway-vm` does not work here: QEMU"), "{ended:?}");
    for name in ["qemu-system-x86_64", "qemu-system-aarch64"] {
        symlink(binary::path(), directory.path().join(name)).unwrap();
    }
    let ended = run();
    assert!(ended.status.success() && !ended.stdout.contains("ring"), "{ended:?}");
}

fn table_fits_80_columns() {
    for words in [["--for", "trace"], ["--for", "run"], ["--for", "peek"], ["--for", "vm"]] {
        let table = doctor(&words).stdout;
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        // Each line begins a finding, or continues one below its text.
        let begins = |line: &str| ["ok ", "note ", "no "].iter().any(|word| line.starts_with(word));
        assert!(table.lines().all(|line| begins(line) || line.starts_with(&" ".repeat(29))), "{table}");
    }
}

fn findings_are_objects() {
    let findings = objects(&[]);
    assert!(findings.len() > 15, "{findings:?}");
    for finding in findings {
        let keys: Vec<_> = finding.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["check", "status", "finding", "advice"], "{finding}");
        let status = finding["status"].as_str().unwrap();
        assert!(["ok", "note", "no"].contains(&status) && (status == "ok") == finding["advice"].is_null(), "{finding}");
    }
}

fn features_exclude_a_command() {
    let ended = doctor(&["--features", "--for", "run"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

/// The features by kind and name.
type Features = BTreeMap<(String, String), Value>;

/// Returns the features that doctor finds.
fn features() -> Features {
    let features = objects(&["--features"]).into_iter().filter(|feature| feature["feature"] != "helpers_not_tried");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    features.map(|feature| ((text(&feature["feature"]), text(&feature["name"])), feature)).collect()
}

/// Returns the helpers of a program type; `None` if they are unknown.
fn helpers<'f>(features: &'f Features, name: &str) -> Option<BTreeSet<&'f str>> {
    let feature = &features[&("program_type".to_owned(), name.to_owned())];
    Some(feature["helpers"].as_array()?.iter().map(|helper| helper.as_str().unwrap()).collect())
}

/// No kernel has ever had another answer for these.
fn helpers_depend_on_the_program_type() {
    let features = features();
    for (name, has, lacks) in [
        ("XDP", "bpf_xdp_adjust_head", "bpf_skb_load_bytes"),
        ("SOCKET_FILTER", "bpf_skb_load_bytes", "bpf_xdp_adjust_head"),
        ("KPROBE", "bpf_get_stackid", "bpf_redirect"),
        ("SCHED_CLS", "bpf_redirect", "bpf_get_stackid"),
    ] {
        let helpers = helpers(&features, name).unwrap();
        assert!(helpers.contains("bpf_map_lookup_elem") && helpers.contains(has), "{name}: {helpers:?}");
        assert!(!helpers.contains(lacks), "{name}: {helpers:?}");
    }
}

fn table_of_features_has_80_columns() {
    let table = doctor(&["--features"]);
    assert!(table.status.success() && table.stdout.contains("\nhelpers, by program type\n"), "{table:?}");
    assert!(table.stdout.lines().all(|line| line.chars().count() <= 80), "{}", table.stdout);
}

/// Returns what bpftool finds.
fn probed() -> Value {
    let output = Command::new("bpftool").args(["--json", "feature", "probe", "kernel"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Both programs try each helper in each type of program, which takes seconds: they do it once.
fn features_are_those_of_bpftool() {
    let (features, probed) = (features(), probed());
    compare_types(&features, &probed);
    compare_helpers(&features, &probed);
}

fn compare_types(features: &Features, probed: &Value) {
    let (mut compared, mut differ) = (0, Vec::new());
    for ((kind, name), feature) in features {
        let (table, suffix) = if kind == "map_type" { ("map_types", "map") } else { ("program_types", "prog") };
        // An older bpftool does not know the newest types.
        let Some(theirs) = probed[table][format!("have_{}_{suffix}_type", name.to_lowercase())].as_bool() else {
            continue;
        };
        compared += 1;
        if (feature["support"] == "yes") != theirs {
            differ.push(format!("{kind} {name}: {}, bpftool says {theirs}", feature["support"]));
        }
    }
    assert!(compared > 50, "{compared} of {}", features.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// A bpftool older than the kernel misreads a new sentence of the verifier (`program of this type cannot use helper`)
/// and takes each helper for supported. Then the verifier itself is asked about the differences.
fn compare_helpers(features: &Features, probed: &Value) {
    let theirs = |name: &str| {
        let list = probed["helpers"][format!("{}_available_helpers", name.to_lowercase())].as_array();
        list.map(|list| list.iter().map(|helper| helper.as_str().unwrap()).collect::<BTreeSet<_>>())
    };
    // An older bpftool does not know the newest helpers.
    let listed = features.keys().filter_map(|(_, name)| theirs(name)).flatten();
    let position = |name: &str| Helper::ALL.iter().position(|known| known.name() == name);
    let newest = listed.filter_map(position).max().unwrap();
    let is_known = |name: &&&str| position(name).is_some_and(|known| known <= newest);
    let misreads = theirs("SOCKET_FILTER").unwrap().contains("bpf_xdp_adjust_head");
    let (mut compared, mut asked, mut differ) = (0, 0, Vec::new());
    for (kind, name) in features.keys().filter(|(kind, _)| kind == "program_type") {
        let (Some(ours), Some(theirs)) = (helpers(features, name), theirs(name)) else { continue };
        let supported = features[&(kind.clone(), name.clone())]["support"] == "yes";
        // bpftool lists none for types that it cannot try.
        if !supported || theirs.is_empty() {
            continue;
        }
        compared += 1;
        differ.extend(
            ours.difference(&theirs).filter(is_known).map(|helper| format!("{name} {helper}: bpftool says no")),
        );
        for helper in theirs.difference(&ours) {
            match refused_by_verifier(name, helper).filter(|_| misreads) {
                Some(true) => asked += 1,
                None if misreads => {}
                Some(false) | None => differ.push(format!("{name} {helper}: bpftool says yes")),
            }
        }
    }
    assert!(compared > 15, "{compared}");
    assert!(!misreads || asked > 100, "{asked} differences were checked");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Returns whether the verifier refuses a call of the helper in a program of this type; `None` for the types for which
/// there is no section name here.
fn refused_by_verifier(program_type: &str, helper: &str) -> Option<bool> {
    let section = match program_type {
        "SOCKET_FILTER" => "socket",
        "KPROBE" => "kprobe",
        "SCHED_CLS" => "tc",
        "TRACEPOINT" => "tracepoint",
        "XDP" => "xdp",
        "PERF_EVENT" => "perf_event",
        "SK_MSG" => "sk_msg",
        "SOCK_OPS" => "sockops",
        _ => return None,
    };
    let known = Helper::ALL.iter().find(|known| known.name() == helper)?;
    let call = [
        Instruction::new(opcode::JMP_CALL, 0, 0, 0, known.id()),
        Instruction::new(opcode::JMP | opcode::EXIT, 0, 0, 0, 0),
    ];
    match ProgramBuilder::new(section, &call).license("GPL").load() {
        Err(Error::Verifier { sentence, .. }) => Some(
            ["program of this type cannot use helper", "unknown func", "invalid func"]
                .iter()
                .any(|refusal| sentence.starts_with(refusal)),
        ),
        Ok(_) => Some(false),
        Err(error) => panic!("{section} {helper}: {error}"),
    }
}
