//! Every instruction form: its bytes, its text, and the decoding of both.
#![expect(clippy::unwrap_used, reason = "clippy does not see helper functions as tests")]

mod forms;

use cutaway_programs::{ByteOrder, Instruction, prelude::*};
use forms::{Form, Isa, forms};

/// Assembles the form, followed by five slots for it to jump over.
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
fn every_form_encodes_to_llvms_bytes() {
    for form in forms() {
        let code = assemble(&form);
        for (order, expected) in [(ByteOrder::Little, form.little), (ByteOrder::Big, form.big)] {
            let expected = bytes(expected);
            assert_eq!(code.encode(order)[..expected.len()], expected, "{} {order:?}", form.verb);
        }
    }
}

#[test]
fn every_form_prints_llvms_text() {
    for form in forms() {
        let code = assemble(&form);
        assert_eq!(code.texts().next().unwrap().to_string(), form.text, "{}", form.verb);
    }
}

#[test]
fn every_form_decodes_to_itself() {
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
fn table_has_every_method() {
    let verbs: std::collections::HashSet<_> = forms().filter_map(|form| form.verb.split('(').next()).collect();
    // Arithmetic: 14 with two operands, neg, mov_sx, 3 swaps. Memory: 3 and a wide load. Atomics: 10, and 2 that order.
    // Control flow: 5.
    assert_eq!(verbs.len(), 14 + 5 + 4 + 12 + 5);
    for isa in [Isa::V3, Isa::V4, Isa::Acquire] {
        assert!(forms().any(|form| form.isa == isa));
    }
}

/// Every value of eight bytes has a text; printing never panics.
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
fn mixed_widths_and_large_fields_are_encoded() {
    let mut asm = Assembler::new();
    asm.add(R1, offset!((u64, u32), 1));
    asm.mov(R2, size!([u8; 300]));
    let texts: Vec<_> = asm.finish().unwrap().texts().map(|text| text.to_string()).collect();
    let field = std::mem::offset_of!((u64, u32), 1);
    assert_eq!(texts, [format!("r1 += {field}"), "r2 = 300".to_owned()]);
}
