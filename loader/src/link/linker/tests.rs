use std::{fs::File, os::fd::OwnedFd};

use cutaway_sys::Instruction;

use super::*;
use crate::{Extern, Object, resolve::externs::Externs};

/// Returns the maps of an object by location, if they have these fds.
fn map_refs(object: &Object, fds: impl Iterator<Item = i32>) -> Sorted<Location, MapRef> {
    super::map_refs(object.maps().iter().zip(fds))
}

/// Resolves each extern to the result of `value`, with these modules.
fn resolved(externs: &[Extern], modules: Vec<OwnedFd>, value: impl Fn(&Extern) -> Value) -> Resolved {
    Resolved { externs: Externs::all(externs, modules, value), ..Resolved::default() }
}

/// Links the program `calls`, which calls kernel functions and loads the address of one (`___old`). `value` resolves
/// each extern.
fn linked(modules: usize, value: impl Fn(&str) -> Value) -> (Vec<Instruction>, Vec<i32>) {
    let path = format!("{}/../tests/corpus/externs/kfuncs.o", env!("CARGO_MANIFEST_DIR"));
    let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
    let modules: Vec<OwnedFd> = (0..modules).map(|_| File::open("/dev/null").unwrap().into()).collect();
    let numbers = modules.iter().map(AsRawFd::as_raw_fd).collect();
    let externs = resolved(object.externs(), modules, |known| value(&known.name));
    let maps = map_refs(&object, std::iter::repeat(1));
    let linked = link(&object, &externs, &maps, &object.programs()[0]).unwrap();
    (linked.instructions, numbers)
}

fn calls(instructions: &[Instruction]) -> Vec<(u8, i32, i16)> {
    let calls = instructions.iter().filter(|insn| insn.code == opcode::JMP_CALL);
    let calls = calls.map(|insn| (insn.src(), insn.imm, insn.offset));
    calls.filter(|(source, ..)| *source != opcode::PSEUDO_CALL).collect()
}

fn loads(instructions: &[Instruction]) -> Vec<(u8, i32, i32)> {
    let pairs = instructions.windows(2).filter(|pair| pair[0].code == opcode::LD_IMM64);
    let loads = pairs.map(|pair| (pair[0].src(), pair[0].imm, pair[1].imm));
    loads.filter(|(source, ..)| *source != opcode::PSEUDO_MAP_VALUE).collect()
}

#[test]
fn functions_are_in_call_order_and_the_exception_callback_is_last() {
    let path = format!("{}/../tests/corpus/kinds/exceptions.o", env!("CARGO_MANIFEST_DIR"));
    let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
    let externs = resolved(object.externs(), Vec::new(), |_| Value::Type { id: 77, module: None });
    let maps = map_refs(&object, std::iter::repeat(1));
    let linked = link(&object, &externs, &maps, &object.programs()[0]).unwrap();
    let names = linked.functions.iter().map(|(key, _)| object.function_table().get(key).unwrap().name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["throws", "first", "innermost", "last", "in_the_end"]);
}

#[test]
fn kernel_functions_are_called_by_btf_id() {
    let (instructions, _) = linked(0, |_| Value::Type { id: 77, module: None });
    assert_eq!(calls(&instructions), [(opcode::PSEUDO_KFUNC_CALL, 77, 0); 4]);
    assert!(loads(&instructions).iter().all(|load| *load == (opcode::PSEUDO_BTF_ID, 77, 0)));
}

#[test]
fn module_functions_are_called_by_btf_id_and_module_index() {
    let (instructions, modules) = linked(2, |name| match name {
        "bpf_rcu_read_lock" => Value::Type { id: 5, module: None },
        "bpf_rcu_read_unlock" => Value::Type { id: 6, module: Some(0) },
        _ => Value::Type { id: 7, module: Some(1) },
    });
    let mut calls = calls(&instructions);
    calls.sort_unstable();
    let kernel = opcode::PSEUDO_KFUNC_CALL;
    assert_eq!(calls, [(kernel, 5, 0), (kernel, 6, 1), (kernel, 7, 2), (kernel, 7, 2)]);
    let loads = loads(&instructions);
    assert!(!loads.is_empty());
    assert!(loads.iter().all(|load| *load == (opcode::PSEUDO_BTF_ID, 7, modules[1])), "{loads:?}");
}

/// An fd, or an index into a list of fds, would refer to those of this process.
#[test]
fn pseudo_source_register_without_relocation_is_refused() {
    let path = format!("{}/../tests/corpus/kinds/one_ring.o", env!("CARGO_MANIFEST_DIR"));
    let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
    let link = |code, source| {
        let mut object = object.clone();
        let function = object.function_table_mut().values_mut().next().unwrap();
        function.instructions.push(Instruction::new(code, 1, source, 0, 3));
        function.instructions.push(Instruction::new(0, 0, 0, 0, 0));
        let linked = link(&object, &Resolved::default(), &map_refs(&object, 1..), &object.programs()[0]);
        linked.map_err(|error| error.to_string())
    };
    for source in 1..=6 {
        assert!(
            link(opcode::LD_IMM64, source).unwrap_err().contains("instruction 29 has a pseudo source register"),
            "{source}"
        );
    }
    assert!(link(opcode::JMP_CALL, opcode::PSEUDO_KFUNC_CALL).unwrap_err().contains("pseudo source register"));
    // A plain constant, and a helper.
    assert!(link(opcode::LD_IMM64, 0).is_ok() && link(opcode::JMP_CALL, 0).is_ok());
}

#[test]
fn missing_functions_are_0_and_called_by_an_invalid_id() {
    let (instructions, _) = linked(0, |_| Value::Missing { call: 0x7bad_0001 });
    assert_eq!(calls(&instructions), [(0, 0x7bad_0001, 0); 4]);
    assert!(loads(&instructions).iter().all(|load| *load == (0, 0, 0)));
}
