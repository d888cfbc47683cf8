//! Objects whose programs take the verifier long.

use cutaway_programs::prelude::*;

/// Appends a loop of `rounds` rounds. The verifier follows each, with another value of the counter (Linux 5.3).
pub(crate) fn walk(asm: &mut Assembler, rounds: i32) {
    let again = asm.label("again");
    asm.mov(R6, 0);
    asm.bind(again);
    asm.add(R6, 1);
    asm.jump_if(Lt, R6, rounds, again);
}

/// Returns an object of `programs` programs, each with a loop of `rounds` rounds.
pub(crate) fn object(programs: usize, rounds: i32) -> Vec<u8> {
    let mut object = ObjectBuilder::new("GPL");
    for number in 0..programs {
        let mut asm = Assembler::new();
        walk(&mut asm, rounds);
        asm.mov(R0, 0);
        asm.exit();
        object.program("raw_tp/sys_enter", &format!("slow{number}"), asm);
    }
    object.write().expect("programs can be written")
}
