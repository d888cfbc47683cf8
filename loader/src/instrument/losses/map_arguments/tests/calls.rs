//! Calls of subprograms: parameters, and what a called function can do to the frame of its caller.

use super::*;

/// Returns the maps that a static function passes on if these maps are passed to it.
fn map_of_parameter(callers: &[fn(&Rings) -> MapRef]) -> Option<String> {
    let mut rings = Rings::new();
    let sender = rings.sender(R3);
    let mut asm = Assembler::new();
    for map in callers {
        asm.load_map(R3, map(&rings));
        asm.call_function(sender);
    }
    asm.exit();
    rings.program(asm);
    let passed = rings.passed();
    assert_eq!(passed.len(), 1);
    passed.into_iter().next().unwrap()
}

#[test]
fn parameter_has_the_value_that_all_callers_pass() {
    assert_eq!(map_of_parameter(&[|rings| rings.one]), one());
    assert_eq!(map_of_parameter(&[|rings| rings.one, |rings| rings.one]), one());
    assert_eq!(map_of_parameter(&[|rings| rings.one, |rings| rings.other]), None);
}

#[test]
fn parameter_is_passed_through_several_functions() {
    let mut rings = Rings::new();
    let mut last = rings.sender(R2);
    for depth in 0..20 {
        let mut asm = Assembler::new();
        asm.mov(R6, R1);
        asm.call(Helper::bpf_get_prandom_u32);
        asm.mov(R1, R6);
        asm.mov(R2, R6);
        asm.call_function(last);
        asm.exit();
        last = rings.object.function(&format!("passes{depth}"), signature(), asm);
    }
    let mut asm = Assembler::new();
    asm.load_map(R1, rings.one);
    asm.call_function(last);
    asm.exit();
    rings.program(asm);
    // The innermost function has r2 of its caller; the outermost has r1 of the program.
    assert_eq!(rings.passed(), [one()]);
}

#[test]
fn parameter_of_a_callback_is_unknown() {
    let mut rings = Rings::new();
    let sender = rings.sender(R2);
    let mut asm = Assembler::new();
    asm.load_map(R2, rings.one);
    asm.call_function(sender);
    asm.mov(R1, 10);
    asm.load_function(R2, sender);
    asm.mov(R3, 0);
    asm.mov(R4, 0);
    asm.call(Helper::bpf_loop);
    asm.exit();
    rings.program(asm);
    assert_eq!(rings.passed(), [None]);
}

#[test]
fn called_function_may_write_to_the_stack_through_an_argument() {
    let after = |pointer: bool, callback: bool| {
        let mut rings = Rings::new();
        let mut writer = Assembler::new();
        writer.load_map(R3, rings.other);
        writer.store(DW, R2, 0, R3);
        writer.mov(R0, 1);
        writer.exit();
        let writer = rings.object.function("writer", signature(), writer);
        let mut asm = Assembler::new();
        asm.load_map(R1, rings.one);
        asm.store(DW, R10, -8, R1);
        // The frame's address goes to r3 and then to r2 for a call, and stays in r3 for a callback.
        if pointer {
            asm.mov(R3, R10);
            asm.add(R3, -8);
        } else {
            asm.mov(R3, 0);
        }
        asm.mov(R1, 1);
        if callback {
            asm.load_function(R2, writer);
            asm.mov(R4, 0);
            asm.call(Helper::bpf_loop);
        } else {
            asm.mov(R2, R3);
            asm.call_function(writer);
        }
        asm.load(DW, R1, R10, -8);
        reserve(&mut asm);
        rings.program(asm);
        rings.passed()
    };
    for callback in [false, true] {
        assert_eq!((after(true, callback), after(false, callback)), (vec![None], vec![one()]), "{callback}");
    }
}

/// `BPF_REG_PARAMS`: the caller stores arguments below r11, the called function loads them above.
#[test]
fn called_function_may_get_an_address_of_the_frame_on_the_stack() {
    const PARAMS: u8 = 11;
    let after = |on_stack: bool| {
        let mut rings = Rings::new();
        let mut writer = Assembler::new();
        writer.load(DW, R1, R10, 8);
        writer.load_map(R2, rings.other);
        writer.store(DW, R1, 0, R2);
        writer.mov(R0, 0);
        writer.exit();
        let writer = rings.object.function("writer", signature(), writer);
        let mut asm = Assembler::new();
        asm.mov(R6, R10);
        asm.add(R6, -16);
        asm.store(DW, R10, -8, R6);
        asm.load_map(R7, rings.one);
        asm.store(DW, R10, -16, R7);
        asm.mov(R1, 0);
        asm.mov(R2, 0);
        asm.mov(R3, 0);
        asm.call_function(writer);
        asm.load(DW, R1, R10, -16);
        reserve(&mut asm);
        rings.program(asm);
        let mut object = Object::parse(&rings.object.write().unwrap()).unwrap();
        for function in object.function_table_mut().values_mut().filter(|_| on_stack) {
            match function.name.as_str() {
                "sends" => function.instructions[2] = Instruction::new(0x7b, PARAMS, 6, -8, 0),
                _ => function.instructions[0] = Instruction::new(0x79, 1, PARAMS, 8, 0),
            }
        }
        passed(&object)
    };
    assert_eq!((after(true), after(false)), (vec![None], vec![one()]));
}

/// Returns an object whose program passes the map `one` to the global function `global_sender`.
fn calls_global() -> Object {
    let mut rings = Rings::new();
    let mut asm = Assembler::new();
    reserve(&mut asm);
    let sender = rings.object.global_function("global_sender", signature(), asm);
    let mut asm = Assembler::new();
    asm.load_map(R1, rings.one);
    asm.call_function(sender);
    asm.exit();
    rings.program(asm);
    Object::parse(&rings.object.write().unwrap()).unwrap()
}

#[test]
fn parameter_of_a_called_program_is_unknown() {
    let mut object = calls_global();
    assert_eq!(passed(&object), [one()]);
    object.set_program_type("global_sender", crate::ProgramType::KPROBE, crate::AttachType::default()).unwrap();
    assert_eq!(passed(&object), [None]);
}

#[test]
fn parameter_of_an_exception_callback_is_unknown() {
    let mut object = calls_global();
    let mut functions = object.function_table().iter();
    let &(callback, _) = functions.find(|(_, function)| function.name == "global_sender").unwrap();
    for function in object.function_table_mut().values_mut() {
        function.exception_callback = Some(Ok(callback));
    }
    assert_eq!(passed(&object), [None]);
}
