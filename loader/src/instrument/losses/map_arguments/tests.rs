use cutaway_programs::{Bits64, Operand, prelude::*};

use super::*;
use crate::{instrument::losses::Sites, resolve::Resolved};

mod calls;
mod corpus;
mod effort;
mod random;

/// Two rings and an array of rings, with an object that declares them.
struct Rings {
    object: ObjectBuilder,
    one: MapRef,
    other: MapRef,
}

impl Rings {
    fn new() -> Self {
        let mut object = ObjectBuilder::new("GPL");
        // The maps of calls are indices. The first map is not that of any call.
        object.map("first", MapDef::new(MapType::ARRAY).key_size(4).value_size(4).max_entries(1));
        let ring = || MapDef::new(MapType::RINGBUF).max_entries(4096);
        let (one, other) = (object.map("one", ring()), object.map("other", ring()));
        Self { object, one, other }
    }

    fn program(&mut self, asm: Assembler) {
        self.object.program("raw_tracepoint/sys_enter", "sends", asm);
    }

    /// Adds a static function that passes its parameter `map` to `bpf_ringbuf_reserve`.
    fn sender(&mut self, map: impl Operand<Bits64>) -> FunctionRef {
        let mut asm = Assembler::new();
        asm.mov(R1, map);
        reserve(&mut asm);
        self.object.function("sender", signature(), asm)
    }

    /// Returns the names of the maps that the calls pass, by section and slot.
    fn passed(&self) -> Vec<Option<String>> {
        passed(&Object::parse(&self.object.write().unwrap()).unwrap())
    }
}

fn signature() -> Signature {
    ["a", "b", "c"].iter().fold(Signature::returning(i32::describe()), |all, name| all.takes(name, u64::describe()))
}

/// Finds the maps in an object that CO-RE relocation does not change.
fn maps_as_written(object: &Object) -> MapsOfCalls {
    maps_of_calls(object, &Resolved::default().code(object).unwrap())
}

fn passed(object: &Object) -> Vec<Option<String>> {
    let name = |map: &usize| object.maps()[*map].name.clone();
    maps_as_written(object).iter().map(|(_, map)| map.as_ref().map(name)).collect()
}

/// Appends a call of `bpf_ringbuf_reserve` with the ring in r1, and the end of the function.
fn reserve(asm: &mut Assembler) {
    asm.mov(R2, 8);
    asm.mov(R3, 0);
    asm.call(Helper::bpf_ringbuf_reserve);
    asm.mov(R0, 0);
    asm.exit();
}

/// Returns the map of the only call of a program with this body, which has the rings `one` and `other`.
fn map_after(body: impl FnOnce(&mut Assembler, &Rings)) -> Option<String> {
    let mut rings = Rings::new();
    let mut asm = Assembler::new();
    body(&mut asm, &rings);
    reserve(&mut asm);
    rings.program(asm);
    let passed = rings.passed();
    assert_eq!(passed.len(), 1);
    passed.into_iter().next().unwrap()
}

fn one() -> Option<String> {
    Some("one".to_owned())
}

#[test]
fn loaded_and_copied_map_is_known() {
    assert_eq!(map_after(|asm, rings| asm.load_map(R1, rings.one)), one());
    let copied = map_after(|asm, rings| {
        asm.load_map(R6, rings.one);
        asm.call(Helper::bpf_get_prandom_u32);
        asm.mov(R1, R6);
    });
    assert_eq!(copied, one());
    assert_eq!(map_after(|asm, _| asm.mov(R1, 0)), None);
    assert_eq!(map_after(|asm, rings| asm.load_map(R6, rings.one)), None, "r1 is the context");
}

#[test]
fn lower_half_of_a_map_address_is_unknown() {
    let half = map_after(|asm, rings| {
        asm.load_map(R6, rings.one);
        asm.mov(W1, W6);
    });
    assert_eq!(half, None);
    let extended = map_after(|asm, rings| {
        asm.load_map(R6, rings.one);
        asm.mov_sx(W, R1, R6);
    });
    assert_eq!(extended, None);
    let changed = map_after(|asm, rings| {
        asm.load_map(R1, rings.one);
        asm.add(R1, 8);
    });
    assert_eq!(changed, None);
}

#[test]
fn call_loses_the_argument_registers() {
    for register in 1..=5 {
        let lost = map_after(|asm, rings| {
            match register {
                1 => asm.load_map(R1, rings.one),
                2 => asm.load_map(R2, rings.one),
                3 => asm.load_map(R3, rings.one),
                4 => asm.load_map(R4, rings.one),
                _ => asm.load_map(R5, rings.one),
            }
            asm.call(Helper::bpf_get_prandom_u32);
            match register {
                1 => {}
                2 => asm.mov(R1, R2),
                3 => asm.mov(R1, R3),
                4 => asm.mov(R1, R4),
                _ => asm.mov(R1, R5),
            }
        });
        assert_eq!(lost, None, "r{register}");
    }
}

#[test]
fn second_argument_of_perf_helpers_is_the_map() {
    for helper in [Helper::bpf_perf_event_output, Helper::bpf_skb_output, Helper::bpf_xdp_output] {
        let mut rings = Rings::new();
        let mut asm = Assembler::new();
        asm.load_map(R1, rings.other);
        asm.load_map(R2, rings.one);
        asm.call(helper);
        asm.exit();
        rings.program(asm);
        assert_eq!(rings.passed(), [one()], "{helper:?}");
    }
}

#[test]
fn spilled_map_is_known() {
    let spilled = map_after(|asm, rings| {
        asm.load_map(R1, rings.one);
        asm.store(DW, R10, -16, R1);
        asm.call(Helper::bpf_get_prandom_u32);
        asm.load(DW, R1, R10, -16);
    });
    assert_eq!(spilled, one());
    let through_pointer = map_after(|asm, rings| {
        asm.load_map(R1, rings.one);
        asm.mov(R2, R10);
        asm.add(R2, -24);
        asm.store(DW, R2, 8, R1);
        asm.mov(R3, R2);
        asm.sub(R3, 8);
        asm.load(DW, R1, R3, 16);
    });
    assert_eq!(through_pointer, one());
    let released = map_after(|asm, rings| {
        asm.load_map(R1, rings.one);
        asm.store_release(DW, R10, -16, R1);
        asm.load_acquire(DW, R1, R10, -16);
    });
    assert_eq!(released, one());
}

#[test]
fn overwritten_slot_is_unknown() {
    type Overwrite = fn(&mut Assembler, &Rings);
    let overwrites: [(&str, Overwrite); 9] = [
        ("immediate", |asm, _| asm.store(DW, R10, -16, 0)),
        ("byte", |asm, _| asm.store(B, R10, -9, R0)),
        ("half", |asm, _| asm.store(W, R10, -16, 0)),
        ("number", |asm, _| asm.store(DW, R10, -16, R0)),
        ("atomic", |asm, _| asm.atomic_add(DW, R10, -16, R0)),
        ("exchange", |asm, _| asm.atomic_xchg(DW, R10, -16, R0)),
        ("other map", |asm, rings| {
            asm.load_map(R2, rings.other);
            asm.store(DW, R10, -16, R2);
        }),
        ("other map through an unknown distance", |asm, rings| {
            asm.load_map(R2, rings.other);
            asm.mov(R3, R10);
            asm.add(R3, R0);
            asm.store(DW, R3, 0, R2);
        }),
        ("other map through a spilled pointer", |asm, rings| {
            asm.load_map(R2, rings.other);
            asm.mov(R3, R10);
            asm.add(R3, -16);
            asm.store(DW, R10, -8, R3);
            asm.load(DW, R4, R10, -8);
            asm.store(DW, R4, 0, R2);
        }),
    ];
    for (what, overwrite) in overwrites {
        let map = map_after(|asm, rings| {
            asm.load_map(R1, rings.one);
            asm.store(DW, R10, -16, R1);
            asm.call(Helper::bpf_get_prandom_u32);
            overwrite(asm, rings);
            asm.load(DW, R1, R10, -16);
        });
        let expected = if what.starts_with("other map") && !what.contains("unknown") { Some("other") } else { None };
        assert_eq!(map.as_deref(), expected, "{what}");
    }
}

#[test]
fn store_elsewhere_keeps_the_slot() {
    let map = map_after(|asm, rings| {
        asm.load_map(R6, rings.one);
        asm.load_map(R7, rings.other);
        asm.store(DW, R10, -16, R6);
        asm.store(DW, R10, -24, R7);
        asm.store(W, R10, -8, 0);
        asm.store(DW, R0, 0, R7); // not an address of the stack
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.call(Helper::bpf_map_lookup_elem);
        asm.load(DW, R1, R10, -16);
    });
    assert_eq!(map, one());
}

#[test]
fn paths_with_one_map_agree_and_others_do_not() {
    let joined = |same: bool, spill: bool| {
        map_after(|asm, rings| {
            let (second, both) = (asm.label("second"), asm.label("both"));
            asm.jump_if(Eq, R1, 0, second);
            asm.load_map(R1, rings.one);
            asm.store(DW, R10, -8, R1);
            asm.jump(both);
            asm.bind(second);
            asm.load_map(R1, if same { rings.one } else { rings.other });
            asm.store(DW, R10, -8, R1);
            asm.bind(both);
            if spill {
                asm.load(DW, R1, R10, -8);
            }
        })
    };
    assert_eq!([joined(true, false), joined(true, true)], [one(), one()]);
    assert_eq!([joined(false, false), joined(false, true)], [None, None]);
}

#[test]
fn map_on_one_path_only_is_unknown() {
    let map = map_after(|asm, rings| {
        let skip = asm.label("skip");
        asm.jump_if(Eq, R1, 0, skip);
        asm.load_map(R1, rings.one);
        asm.bind(skip);
    });
    assert_eq!(map, None);
}

#[test]
fn loop_that_changes_the_map_is_unknown() {
    let looped = |changes: bool| {
        let mut rings = Rings::new();
        let mut asm = Assembler::new();
        let next = asm.label("next");
        asm.load_map(R6, rings.one);
        asm.load_map(R7, if changes { rings.other } else { rings.one });
        asm.mov(R8, 0);
        asm.bind(next);
        asm.mov(R1, R6);
        asm.mov(R2, 8);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_ringbuf_reserve);
        asm.mov(R6, R7);
        asm.add(R8, 1);
        asm.jump_if(Lt, R8, 3, next);
        asm.exit();
        rings.program(asm);
        rings.passed()
    };
    assert_eq!((looped(false), looped(true)), (vec![one()], vec![None]));
}

#[test]
fn pointer_that_two_paths_move_differently_reaches_all_slots() {
    let map = map_after(|asm, rings| {
        let skip = asm.label("skip");
        asm.load_map(R6, rings.one);
        asm.load_map(R7, rings.other);
        asm.store(DW, R10, -8, R6);
        asm.mov(R2, R10);
        asm.add(R2, -16);
        asm.jump_if(Eq, R1, 0, skip);
        asm.add(R2, 8);
        asm.bind(skip);
        asm.store(DW, R2, 0, R7);
        asm.load(DW, R1, R10, -8);
    });
    assert_eq!(map, None);
}

#[test]
fn pointer_stored_at_an_unknown_place_reaches_all_slots() {
    let map = map_after(|asm, rings| {
        asm.load_map(R6, rings.one);
        asm.load_map(R7, rings.other);
        asm.store(DW, R10, -8, R6);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, R10);
        asm.sub(R3, R1);
        asm.store(DW, R3, 0, R2);
        asm.load(DW, R4, R10, -16); // maybe the pointer in r2
        asm.store(DW, R4, 0, R7);
        asm.store(DW, R10, -24, R6);
        asm.load(DW, R1, R10, -24);
    });
    assert_eq!(map, one(), "stored after the pointer");
    let map = map_after(|asm, rings| {
        asm.load_map(R6, rings.one);
        asm.load_map(R7, rings.other);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, R10);
        asm.sub(R3, R1);
        asm.store(DW, R3, 0, R2);
        asm.store(DW, R10, -8, R6);
        asm.load(DW, R4, R10, -16);
        asm.store(DW, R4, 0, R7);
        asm.load(DW, R1, R10, -8);
    });
    assert_eq!(map, None);
    let map = map_after(|asm, rings| {
        asm.load_map(R6, rings.one);
        asm.load_map(R7, rings.other);
        asm.store(DW, R10, -8, R6);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.store(DW, R10, -16, R2);
        asm.mov(R3, R10);
        asm.sub(R3, R1);
        asm.load(DW, R4, R3, 0); // maybe the pointer in r2
        asm.store(DW, R4, 0, R7);
        asm.load(DW, R1, R10, -8);
    });
    assert_eq!(map, None);
}

#[test]
fn unreachable_call_is_unknown() {
    let mut rings = Rings::new();
    let mut asm = Assembler::new();
    asm.exit();
    asm.load_map(R1, rings.one);
    reserve(&mut asm);
    rings.program(asm);
    assert_eq!(rings.passed(), [None]);
}

#[test]
fn relocated_offset_decides_which_part_of_the_stack_is_written() {
    const STORE: usize = 7;
    let mut rings = Rings::new();
    let mut asm = Assembler::new();
    asm.load_map(R6, rings.one);
    asm.load_map(R7, rings.other);
    asm.mov(R8, R10);
    asm.add(R8, -16);
    asm.store(DW, R8, 8, R6);
    asm.store(DW, R8, 8, R7);
    asm.load(DW, R1, R8, 8);
    reserve(&mut asm);
    rings.program(asm);
    let object = Object::parse(&rings.object.write().unwrap()).unwrap();
    let function = object.function_table().position(&object.programs()[0].entry).unwrap();
    let mut code = object.function_table().at(function).unwrap().instructions.clone();
    assert_eq!(code[STORE], Instruction::new(0x7b, 8, 7, 8, 0));
    code[STORE].offset = 0;
    let map = |resolved: &Resolved| {
        let sites = Sites::of(&object, resolved).unwrap();
        let maps: Vec<_> = sites.iter().map(|site| site.map.unwrap()).collect();
        maps.into_iter().map(|map| object.maps()[map].name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(map(&Resolved::default()), ["other"]);
    assert_eq!(map(&Resolved::relocating(&object, function, code)), ["one"]);
}

#[test]
fn map_of_a_lookup_is_unknown() {
    let inner = map_after(|asm, rings| {
        let found = asm.label("found");
        asm.load_map(R1, rings.other);
        asm.call(Helper::bpf_map_lookup_elem);
        asm.jump_if(Ne, R0, 0, found);
        asm.exit();
        asm.bind(found);
        asm.mov(R1, R0);
    });
    assert_eq!(inner, None);
}

#[test]
fn address_of_a_variable_is_no_map() {
    let mut rings = Rings::new();
    let variable = rings.object.variable(".data", "number", Variable::new(7_u64));
    let mut asm = Assembler::new();
    asm.load_address(R1, variable, 0);
    reserve(&mut asm);
    rings.program(asm);
    assert_eq!(rings.passed(), [None]);
}

#[test]
fn table_of_jumps_can_lead_to_any_call() {
    let mut rings = Rings::new();
    let sender = rings.sender(R1);
    let mut asm = Assembler::new();
    let both = asm.label("both");
    asm.load_map(R1, rings.one);
    asm.jump_if(Eq, R0, 0, both);
    asm.load_map(R1, rings.other);
    asm.exit(); // slot 5
    asm.bind(both);
    asm.mov(R6, R1);
    asm.call_function(sender);
    asm.mov(R1, R6);
    reserve(&mut asm);
    rings.program(asm);
    let mut object = Object::parse(&rings.object.write().unwrap()).unwrap();
    assert_eq!(passed(&object), [one(), one()]);
    for function in object.function_table_mut().values_mut().filter(|function| function.name == "sends") {
        function.instructions[5] = Instruction::new(0x0d, 0, 0, 0, 0); // gotox r0
    }
    assert_eq!(passed(&object), [None, None]);
}

/// The verifier refuses such code. It must neither panic nor run forever here.
#[test]
fn malformed_code_is_read() {
    let mut rings = Rings::new();
    let mut asm = Assembler::new();
    asm.load_map(R1, rings.one);
    reserve(&mut asm);
    rings.program(asm);
    let object = Object::parse(&rings.object.write().unwrap()).unwrap();
    for (code, offset, imm) in [
        (0x05, -2, 0),
        (0x05, i16::MIN, 0),
        (0x05, i16::MAX, 0),
        (0x06, 0, i32::MAX),
        (0x06, 0, i32::MIN),
        (0x0d, 0, 0),
        (0x18, 0, 0),
        (0x8d, 0, 0),
        (0x85, 0, i32::MAX),
        (0xff, -1, -1),
    ] {
        for slot in 0..7 {
            let mut object = object.clone();
            let function = object.function_table_mut().values_mut().next().unwrap();
            function.instructions[slot] = Instruction::new(code, 15, 15, offset, imm);
            // The call is at slot 4. The first slot of a 64-bit load hides the one after it.
            let hidden = slot == 4 || slot == 3 && code == 0x18;
            assert_eq!(maps_as_written(&object).len(), usize::from(!hidden), "{code:#x} at {slot}");
        }
    }
}
