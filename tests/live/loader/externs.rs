//! Externs: constants of the kernel's configuration, and the kernel's variables, addresses and functions. The objects
//! are clang's, in `tests/corpus/externs`.

use std::process::Command;

use cutaway::{Error, ExternKind, Object, TestRun, features};

use log::Level;

use crate::{
    corpus,
    harness::{Test, test},
    journal,
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(externs_are_listed),
        test!(kconfig_constants_have_the_configured_values).since(5, 14, "programs of the type SYSCALL").needs(root),
        test!(kconfig_constants_have_the_kernel_version).since(5, 14, "programs of the type SYSCALL").needs(root),
        test!(kernel_features_are_probed_once).since(5, 14, "programs of the type SYSCALL").needs(root),
        test!(kconfig_value_that_does_not_fit_is_refused).since(5, 14, "programs of the type SYSCALL").needs(root),
        test!(missing_kconfig_value_fails_its_program).since(5, 14, "programs of the type SYSCALL").needs(root),
        test!(ksym_addresses_are_resolved).since(5, 10, "test runs of raw tracepoint programs").needs(root),
        test!(ksym_variables_are_resolved).since(5, 11, "variables in the kernel's BTF").needs(root),
        test!(missing_ksyms_are_named).since(6, 2, "kfuncs for every program type").needs(root),
        test!(kfuncs_are_called).since(6, 2, "kfuncs for every program type").needs(root),
        test!(missing_weak_kfunc_must_not_be_reached).since(6, 2, "kfuncs for every program type").needs(root),
        test!(kernel_btf_is_read_once).since(6, 2, "kfuncs for every program type").needs(root),
    ]
}

fn object(name: &str) -> Object {
    Object::parse(&corpus::read("externs", name)).unwrap()
}

/// Runs the first program and returns its output.
fn run(object: Object) -> Vec<u64> {
    let loaded = object.load().unwrap();
    // The kernel accepts the object's BTF, externs included.
    let reported = journal::messages(Level::Debug);
    assert!(!reported.iter().any(|message| message.contains("the object's BTF")), "{reported:?}");
    let program = loaded.programs().next().unwrap();
    program.test_run(&TestRun::default()).unwrap();
    let out = loaded.map(".bss").unwrap().lookup(&[0; 4]).unwrap().unwrap();
    out.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

fn externs_are_listed() {
    let object = object("ksyms.o");
    let mut externs: Vec<_> =
        object.externs().iter().map(|known| (known.name.as_str(), known.kind, known.weak)).collect();
    externs.sort_by_key(|(name, ..)| *name);
    assert_eq!(
        externs,
        [
            ("bpf_get_current_pid_tgid", ExternKind::Address, false),
            ("cutaway_has_no_such_symbol", ExternKind::Address, true),
            ("cutaway_has_no_such_variable", ExternKind::Variable, true),
            ("runqueues", ExternKind::Variable, false),
        ]
    );
    let kinds: Vec<_> = self::object("kfuncs.o").externs().iter().map(|known| (known.kind, known.weak)).collect();
    assert_eq!(kinds.iter().filter(|(kind, _)| *kind == ExternKind::Function).count(), 4);
    assert_eq!(kinds.iter().filter(|(_, weak)| *weak).count(), 2);
}

const CONFIGURATION: &str = "\
# CONFIG_T_NO is not what counts here
CONFIG_BPF_SYSCALL=y
CONFIG_T_YES=y
CONFIG_T_MODULE=m
CONFIG_T_NO=n
CONFIG_LETTER=m
CONFIG_SMALL=255
CONFIG_SHORT=0xabcd
CONFIG_NEGATIVE=-5
CONFIG_HEX=0xffffffff81000000
CONFIG_TEXT=\"abc\"
CONFIG_LONG_TEXT=\"abcdef\"
";

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim_end().to_owned()
}

fn kconfig_constants_have_the_configured_values() {
    let mut object = object("kconfig.o");
    object.set_kconfig(CONFIGURATION);
    let out = run(object);
    let release = release();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap();
    // The third number is the release's, unless the distribution sets another one.
    assert_eq!(out[0] >> 8, next() << 8 | next(), "{release}");
    assert_eq!(out[1], u64::from(features::attach_cookie().is_yes()));
    assert_eq!(out[2], u64::from(cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "s390x"))));
    assert_eq!(out[3], 0, "an unknown constant");
    assert_eq!(out[4..8], [1, 1, 2, 0]);
    assert_eq!(out[8..13], [u64::from(b'm'), 255, 0xabcd, -5_i64 as u64, 0xffff_ffff_8100_0000]);
    assert_eq!(out[13..16], [0, 0, 0], "weak and not set");
    assert_eq!(out[16..24], [b'a', b'b', b'c', 0, 0, 0, 0, 0].map(u64::from));
    assert_eq!(out[24..28], [b'a', b'b', b'c', 0].map(u64::from));
}

fn kconfig_constants_have_the_kernel_version() {
    let out = run(object("kconfig_kernel.o"));
    let text = std::fs::read_to_string(format!("/boot/config-{}", release())).unwrap_or_else(|_| {
        let output = Command::new("zcat").arg("/proc/config.gz").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    });
    let hz = text.lines().find_map(|line| line.strip_prefix("CONFIG_HZ=")).unwrap();
    assert_eq!(out[..2], [hz.parse().unwrap(), 1]);
}

/// For the second object, the loader does not repeat the queries of the first.
fn kernel_features_are_probed_once() {
    let wrapped = cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "s390x"));
    let mut opened = Vec::new();
    for _ in 0..2 {
        let out = run(object("kconfig_features.o"));
        assert_eq!(out[..2], [u64::from(features::attach_cookie().is_yes()), u64::from(wrapped)]);
        let calls = journal::system_calls();
        let is_opened = |pair: &(String, String)| {
            pair.0 == "pathname"
                && ["/proc/config.gz", "/boot/config-", "/proc/kallsyms"].iter().any(|file| pair.1.starts_with(file))
        };
        opened.push(calls.iter().filter(|call| call.pairs.iter().any(is_opened)).count());
    }
    assert!(!wrapped || opened[0] == opened[1], "files opened by the first object, and by both: {opened:?}");
}

fn kconfig_value_that_does_not_fit_is_refused() {
    for (line, text) in [
        ("CONFIG_SMALL=256", "the kernel's configuration has 256, which does not fit into a char"),
        ("CONFIG_BPF_SYSCALL=m", "has m, which does not fit into a bool"),
        ("CONFIG_TEXT=12", "has 12, which does not fit into a char[8]"),
        ("CONFIG_NEGATIVE=0x80000000", "which does not fit into a signed integer of 32 bits"),
    ] {
        let mut object = object("kconfig.o");
        object.set_kconfig(format!("{line}\n{CONFIGURATION}"));
        let error = object.load().unwrap_err();
        let name = line.split('=').next().unwrap();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        let start = format!("cannot load the program `constants`: it needs the kernel's constant `{name}`: ");
        let line = error.to_string();
        assert!(line.starts_with(&start) && line.contains(text), "{line}");
    }
}

fn missing_kconfig_value_fails_its_program() {
    let error = object("kconfig_missing.o").load().unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot load the program `needs`: it needs the kernel's constant `CONFIG_CUTAWAY_HAS_NO_SUCH_OPTION`: the \
         kernel's configuration does not set it"
    );
    let mut object = object("kconfig_missing.o");
    object.program_mut("needs").unwrap().section.autoload = false;
    object.program_mut("does_not").unwrap().section.autoload = true;
    let loaded = object.load().unwrap();
    assert_eq!(loaded.program("does_not").unwrap().test_run(&TestRun::default()).unwrap().value, 7);
}

fn ksym_addresses_are_resolved() {
    let out = run(object("ksyms.o"));
    assert_eq!(out[3], 0, "weak, and the variable does not exist");
    let line = symbol("bpf_get_current_pid_tgid").unwrap();
    assert_eq!(format!("{:016x}", out[4]), line[..16]);
    assert_eq!(out[5], 0, "weak, and the symbol does not exist");
}

/// Returns the symbol's line in `/proc/kallsyms`.
fn symbol(name: &str) -> Option<String> {
    let kallsyms = std::fs::read_to_string("/proc/kallsyms").unwrap();
    kallsyms.lines().find(|line| line.split_whitespace().nth(2) == Some(name)).map(str::to_owned)
}

fn ksym_variables_are_resolved() {
    let mut object = object("ksyms.o");
    object.program_mut("addresses").unwrap().section.autoload = false;
    object.program_mut("variables").unwrap().section.autoload = true;
    if symbol("runqueues").is_some() {
        assert_eq!(run(object)[..3], [1, 1, 0], "of this CPU, of the first CPU, of no CPU");
        return;
    }
    // The variable is in the kernel's BTF and is found there. But a kernel without CONFIG_KALLSYMS_ALL does not know
    // its address.
    let error = object.load().unwrap_err().to_string();
    assert_eq!(
        error,
        "the verifier refuses the program `variables`: ldimm64 failed to find the address for kernel symbol \
             'runqueues'."
    );
}

fn missing_ksyms_are_named() {
    for (program, why) in [
        (
            "variable",
            "the kernel's variable `cutaway_has_no_such_variable`: neither the kernel's BTF nor its modules' has a \
             variable of this name",
        ),
        ("other_type", "the kernel's variable `runqueues`: in vmlinux it has another type than in the program"),
        ("symbol", "the kernel's symbol `cutaway_has_no_such_symbol`: /proc/kallsyms has no such symbol"),
        (
            "function",
            "the kernel's function `cutaway_has_no_such_function`: neither the kernel's BTF nor its modules' has a \
             function of this name",
        ),
        (
            "other_parameters",
            "the kernel's function `bpf_rcu_read_lock`: in vmlinux it has other parameters or another result than in \
             the program",
        ),
    ] {
        let mut object = object("ksyms_missing.o");
        object.program_mut(program).unwrap().section.autoload = true;
        let error = object.load().unwrap_err().to_string();
        let expected = format!("cannot load the program `{program}`: it needs {why}");
        assert!(error.starts_with(&expected), "{error}");
    }
    // No program uses any of them.
    object("ksyms_missing.o").load().unwrap();
}

fn kfuncs_are_called() {
    assert_eq!(run(object("kfuncs.o"))[..5], [1, 3, 1, 0, 0]);
}

fn missing_weak_kfunc_must_not_be_reached() {
    let mut object = object("kfuncs.o");
    object.program_mut("reaches").unwrap().section.autoload = true;
    let error = object.load().unwrap_err();
    let expected = "the verifier refuses the program `reaches`: it calls the kernel's function \
                    `cutaway_has_no_such_function`, which this kernel does not have (instruction ";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(error.verifier_log().unwrap().contains("unknown#"));
}

/// CO-RE, functions and a program attached to a tracepoint's type all use one reading of the kernel's BTF.
fn kernel_btf_is_read_once() {
    let loaded = object("all_types.o").load().unwrap();
    assert_eq!(loaded.programs().count(), 1);
    let opened = journal::system_calls();
    let opened = opened
        .iter()
        .filter(|call| call.pairs.iter().any(|(key, value)| key == "pathname" && value == "/sys/kernel/btf/vmlinux"));
    assert_eq!(opened.count(), 1);
}
