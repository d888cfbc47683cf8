//! Every instruction form: its bytes, its text, and back again.
#![expect(clippy::unwrap_used, reason = "functions beside the tests are not seen as tests")]

mod forms;

use cutaway_programs::{ByteOrder, Instruction, prelude::*};
use forms::{Form, Isa, forms};

/// The form in front of five slots to jump over.
fn assemble(form: &Form) -> cutaway_programs::Code {
    let mut asm = Assembler::new();
    let there = asm.label("there");
    (form.append)(&mut asm, there);
    for _ in 0..5 {
        asm.exit();
    }
    asm.bind(there);
    asm.exit();
    asm.finish().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn every_form_has_llvms_bytes() {
    for form in forms() {
        let code = assemble(&form);
        for (order, expected) in [(ByteOrder::Little, form.little), (ByteOrder::Big, form.big)] {
            let expected = bytes(expected);
            assert_eq!(code.encode(order)[..expected.len()], expected, "{} {order:?}", form.verb);
        }
    }
}

#[test]
fn every_form_has_llvms_text() {
    for form in forms() {
        let code = assemble(&form);
        assert_eq!(code.texts().next().unwrap().to_string(), form.text, "{}", form.verb);
    }
}

#[test]
fn every_form_is_decoded_to_itself() {
    for form in forms() {
        let code = assemble(&form);
        let slots = code.instructions().next().unwrap().slots();
        for (order, encoded) in [(ByteOrder::Little, form.little), (ByteOrder::Big, form.big)] {
            let encoded = bytes(encoded);
            let (decoded, rest) = encoded.as_chunks();
            assert!(rest.is_empty());
            let decoded: Vec<_> = decoded.iter().map(|&slot| Instruction::decode(order, slot)).collect();
            assert_eq!(decoded, code.instructions().take(slots).collect::<Vec<_>>(), "{} {order:?}", form.verb);
        }
    }
}

#[test]
fn the_table_knows_every_verb() {
    let verbs: std::collections::HashSet<_> = forms().filter_map(|form| form.verb.split('(').next()).collect();
    // 14 of two operands, neg, mov_sx, 3 swaps; 3 of memory and a wide load; 10 atomics and 2 that order; 5 of control
    // flow.
    assert_eq!(verbs.len(), 14 + 5 + 4 + 12 + 5);
    for isa in [Isa::V3, Isa::V4, Isa::Acquire] {
        assert!(forms().any(|form| form.isa == isa));
    }
}

/// All that fits into eight bytes has a text, and none of it panics.
#[test]
fn any_bytes_can_be_printed() {
    let mut known = 0;
    for code in 0..=255 {
        for (imm, offset) in [(0, 0), (1, 1), (-1, -1), (i32::MIN, i16::MIN), (0x100, 8), (0x110, 16), (0xf1, 32)] {
            for src in [0, 1, 15] {
                let next = Instruction::new(0, 0, 0, 0, imm);
                let text = Instruction::new(code, 15, src, offset, imm).text(Some(next)).to_string();
                known += usize::from(text != "<unknown>");
            }
        }
    }
    assert!(known > 1000, "{known}");
}

#[test]
fn mixed_widths_and_large_fields_do_what_they_say() {
    let mut asm = Assembler::new();
    asm.add(R1, offset!((u64, u32), 1));
    asm.mov(R2, size!([u8; 300]));
    let texts: Vec<_> = asm.finish().unwrap().texts().map(|text| text.to_string()).collect();
    let field = std::mem::offset_of!((u64, u32), 1);
    assert_eq!(texts, [format!("r1 += {field}"), "r2 = 300".to_owned()]);
}
