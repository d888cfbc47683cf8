//! The assembler: verbs that append one instruction each, and labels.
//!
//! ```
//! use cutaway_programs::prelude::*;
//!
//! // How many bytes until the first zero? At most 16.
//! let mut asm = Assembler::new();
//! let (next, done) = (asm.label("next"), asm.label("done"));
//! asm.mov(R0, 0);
//! asm.bind(next);
//! asm.load(B, R2, R1, 0);
//! asm.jump_if(Eq, R2, 0, done);
//! asm.add(R1, 1);
//! asm.add(R0, 1);
//! asm.jump_if(Lt, R0, 16, next);
//! asm.bind(done);
//! asm.exit();
//!
//! let code = asm.finish()?;
//! assert_eq!(code.texts().nth(2).unwrap().to_string(), "if r2 == 0 goto +3");
//! # Ok::<(), cutaway_programs::Error>(())
//! ```
//!
//! The destination comes first, as in LLVM's text, and what an instruction cannot express does not compile: writing
//! [`R10`](crate::R10), mixing a whole register with half of one, sign-extending eight bytes. What can only be known at
//! the end, such as where a label is, is checked by [`Assembler::finish`]. Every verb notes the Rust line that called
//! it: errors name it, and so does the kernel's verifier when it explains a rejected program.
//!
//! The verbs have a file for each family: arithmetic, jumps, memory, atomics.

mod arithmetic;
mod assembler;
mod atomic;
mod code;
mod jump;
mod memory;
mod statement;

pub use assembler::Assembler;
pub use code::Code;
pub use jump::Condition;
pub(crate) use statement::{Reference, Statement};
