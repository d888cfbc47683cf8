//! The kernel's types from elsewhere: `Object::set_kernel_btf`.

use std::{fs, path::Path, process::Command};

use cutaway::{Instruction, Object};
use cutaway_programs::prelude::*;

use crate::{
    harness::{Test, test},
    own_mounts,
    requirements::{ring, root},
};

/// The running kernel's types.
const KERNEL: &str = "/sys/kernel/btf/vmlinux";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(given_btf_replaces_that_of_a_kernel_without).since(5, 4, "BTF of the kernel").needs(ring).needs(no_btf),
        test!(attach_targets_need_the_kernels_own_btf).since(5, 5, "tracing programs").needs(root).needs(no_btf),
        test!(externs_and_targets_ignore_given_btf)
            .since(6, 2, "the kernel's functions of RCU")
            .needs(root)
            .needs(no_btf),
        test!(bpftool_min_core_btf_is_enough)
            .since(5, 4, "BTF of the kernel")
            .needs(ring)
            .needs(no_btf)
            .needs(no_bpftool),
    ]
}

fn no_btf() -> Option<String> {
    (!Path::new(KERNEL).exists()).then(|| "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)".to_owned())
}

fn no_bpftool() -> Option<String> {
    let works = Command::new("bpftool").arg("version").output().is_ok_and(|output| output.status.success());
    (!works).then(|| "bpftool is not installed".to_owned())
}

/// Makes the kernel's types invisible to this process.
fn hide_btf() {
    own_mounts::mount("tmpfs", Path::new("/sys/kernel/btf"));
    assert!(!Path::new(KERNEL).exists());
}

const CORE_READS: &[u8] = include_bytes!("../../corpus/kinds/core_reads.o");

fn core_reads() -> Object {
    Object::parse(CORE_READS).unwrap()
}

/// Returns the linked instructions of all programs.
fn linked(object: &Object) -> Vec<Vec<Instruction>> {
    let dry_run = object.dry_run_on_host().unwrap();
    dry_run.programs.into_iter().map(|program| program.instructions.unwrap()).collect()
}

fn given_btf_replaces_that_of_a_kernel_without() {
    let own = fs::read(KERNEL).unwrap();
    let expected = linked(&core_reads());
    hide_btf();
    let error = core_reads().load().unwrap_err().to_string();
    let why = "its CO-RE relocations need the kernel's BTF: /sys/kernel/btf/vmlinux cannot be read: ";
    assert!(error.contains(why), "{error}");
    let mut object = core_reads();
    object.set_kernel_btf(&own).unwrap();
    assert_eq!(linked(&object), expected);
    let loaded = object.load().unwrap();
    assert_eq!(loaded.programs().count(), 1);
}

fn attach_targets_need_the_kernels_own_btf() {
    let own = fs::read(KERNEL).unwrap();
    hide_btf();
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.mov(R0, 0);
    asm.exit();
    object.program("tp_btf/sys_enter", "traced", asm);
    let mut object = Object::parse(&object.write().unwrap()).unwrap();
    object.set_kernel_btf(&own).unwrap();
    let error = object.load().unwrap_err().to_string();
    assert!(error.contains("it needs the kernel's BTF: /sys/kernel/btf/vmlinux cannot be read"), "{error}");
}

/// The given types are those of the object: they have `task_struct`, but neither the kernel's functions nor its
/// tracepoints.
fn externs_and_targets_ignore_given_btf() {
    let bytes = include_bytes!("../../corpus/externs/all_types.o");
    let mut object = Object::parse(bytes).unwrap();
    object.set_kernel_btf(bytes).unwrap();
    let dry_run = object.dry_run_on_host().unwrap();
    let relocated: Vec<_> = dry_run.relocated.iter().map(|applied| format!("{:?}", applied.outcome)).collect();
    assert!(!relocated.is_empty() && relocated.iter().all(|outcome| outcome.contains("after: 0,")), "{relocated:?}");
    // The verifier knows the type of the argument, and that it has a number at this offset or not. Only a refusal by
    // the verifier shows that all ids were found.
    match object.load() {
        Ok(loaded) => assert_eq!(loaded.programs().count(), 1),
        Err(error) => assert!(error.verifier_log().is_some(), "{error}"),
    }
}

fn bpftool_min_core_btf_is_enough() {
    let folder = std::env::temp_dir().join(format!("cutaway-min-btf-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let [object, min] = ["object.o", "min.btf"].map(|name| folder.join(name));
    fs::write(&object, CORE_READS).unwrap();
    let output = Command::new("bpftool").args(["gen", "min_core_btf", KERNEL]).args([&min, &object]).output().unwrap();
    let bytes = fs::read(&min);
    fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = bytes.unwrap();
    assert!(bytes.len() < 10_000, "it has only the types that the object needs: {} bytes", bytes.len());
    let expected = linked(&core_reads());
    hide_btf();
    let mut object = core_reads();
    object.set_kernel_btf(&bytes).unwrap();
    assert_eq!(linked(&object), expected);
    object.load().unwrap();
}
