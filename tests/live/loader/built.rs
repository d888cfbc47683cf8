//! Programs without an object: built from instructions.

use std::os::fd::{AsFd, AsRawFd};

use cutaway::{Error, Instruction, MapBuilder, MapType, ProgramBuilder, ProgramType, TestRun, instruction::opcode};

use crate::{
    harness::{Test, test},
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(program_is_built_from_instructions).needs(root),
        test!(built_program_keeps_its_map).needs(root),
        test!(built_program_finds_its_target).since(5, 5, "tp_btf programs").needs(root),
        test!(built_program_is_attached).needs(root),
        test!(refused_instructions_are_explained).needs(root),
    ]
}

/// `r0 = value; exit`
fn returning(value: i32) -> [Instruction; 2] {
    [
        Instruction::new(opcode::ALU64 | opcode::MOV | opcode::K, 0, 0, 0, value),
        Instruction::new(opcode::JMP | opcode::EXIT, 0, 0, 0, 0),
    ]
}

fn program_is_built_from_instructions() {
    let drops = returning(1);
    let program = ProgramBuilder::new("xdp", &drops).name("drops-all").load().unwrap();
    assert_eq!(program.name(), "drops-all");
    assert_eq!(program.spec().section.program_type, ProgramType::XDP);
    let ran = program.test_run(&TestRun { data: vec![0; 64], ..TestRun::default() }).unwrap();
    assert_eq!(ran.value, 1);
    assert_eq!(program.info().unwrap().name, "drops_all", "the kernel's name");
}

/// The program holds the map after the caller has closed it.
fn built_program_keeps_its_map() {
    let map = MapBuilder::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1).create().unwrap();
    let fd = u64::from(map.as_fd().as_raw_fd().cast_unsigned());
    let [first, second] = Instruction::load_imm64(1, 1, fd);
    let [zero, exit] = returning(0);
    let program = ProgramBuilder::new("socket", &[first, second, zero, exit]).load().unwrap();
    let id = map.id();
    drop(map);
    assert_eq!(program.info().unwrap().map_ids, [id]);
}

fn built_program_finds_its_target() {
    let body = returning(0);
    let program = ProgramBuilder::new("tp_btf/sys_enter", &body).license("GPL").load().unwrap();
    drop(program.attach().unwrap());
    let missing = ProgramBuilder::new("tp_btf/there_is_no_such_tracepoint", &body).name("lost").load().unwrap_err();
    assert!(missing.to_string().contains("there_is_no_such_tracepoint"), "{missing}");
}

fn built_program_is_attached() {
    let body = returning(0);
    let program = ProgramBuilder::new("raw_tp/sys_enter", &body).load().unwrap();
    drop(program.attach().unwrap());
}

fn refused_instructions_are_explained() {
    let [zero, exit] = returning(0);
    let unknown = ProgramBuilder::new("there/is/none", &[zero, exit]).load().unwrap_err();
    assert!(unknown.to_string().contains("gives no known program type"), "{unknown}");

    let uninitialized = ProgramBuilder::new("socket", &[exit]).name("bare").load().unwrap_err();
    assert!(matches!(&uninitialized, Error::Verifier { program, .. } if program == "bare"), "{uninitialized}");

    let empty = ProgramBuilder::new("socket", &[]).load().unwrap_err();
    assert!(matches!(empty, Error::Syscall { .. }), "{empty}");

    // bpf_trace_printk is for GPL programs.
    let print = Instruction::new(opcode::JMP | opcode::CALL, 0, 0, 0, 6);
    let unlicensed = ProgramBuilder::new("raw_tp/sys_enter", &[print, zero, exit]).load().unwrap_err();
    assert!(unlicensed.to_string().contains("ProgramBuilder::license"), "{unlicensed}");

    let nul = ProgramBuilder::new("socket", &[zero, exit]).license("GPL\0").load().unwrap_err();
    assert!(nul.to_string().contains("NUL"), "{nul}");

    // No map has this fd.
    let [first, second] = Instruction::load_imm64(1, 1, 0x7fff_0000);
    let closed = ProgramBuilder::new("socket", &[first, second, zero, exit]).load().unwrap_err();
    assert!(closed.to_string().contains("EBADF") || closed.to_string().contains("fd"), "{closed}");
}
