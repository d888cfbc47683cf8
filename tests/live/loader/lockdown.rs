//! A kernel under lockdown forbids some helpers even to root, and the verifier does not give the reason.

use cutaway::Object;
use cutaway_programs::prelude::*;

use crate::{
    harness::{Test, test},
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![test!(helper_forbidden_by_lockdown_is_explained).needs(root)]
}

fn helper_forbidden_by_lockdown_is_explained() {
    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.mov(R1, 0);
    asm.mov(R2, R10);
    asm.add(R2, -8);
    asm.store(DW, R10, -8, 0);
    asm.mov(R3, 8);
    asm.call(Helper::bpf_probe_write_user);
    asm.mov(R0, 0);
    asm.exit();
    object.program("uprobe", "writes", asm);
    let answer = Object::parse(&object.write().unwrap()).unwrap().load();
    // securityfs is often not mounted. Before Linux 5.2 it cannot be read without a mount.
    let state = std::fs::read_to_string("/sys/kernel/security/lockdown");
    let state = state.or_else(|_| cutaway_sys::mount::read(c"securityfs", c"lockdown", "reads the mode of lockdown"));
    let state = state.unwrap_or_default();
    match (state.contains("[integrity]") || state.contains("[confidentiality]"), answer) {
        (false, answer) => drop(answer.unwrap()),
        (true, answer) => {
            let error = answer.unwrap_err().to_string();
            assert!(error.contains("bpf_probe_write_user"), "{error}");
            assert!(
                error.contains("(the kernel is locked down for ") && error.contains("/sys/kernel/security/lockdown"),
                "{error}"
            );
        }
    }
}
