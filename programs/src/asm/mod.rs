//! The assembler: methods that append one instruction each, and labels.
//!
//! ```
//! use cutaway_programs::prelude::*;
//!
//! // Counts the bytes before the first zero, at most 16.
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
//! The destination comes first, as in LLVM's syntax. A combination that no instruction can express does not compile:
//! writing [`R10`](crate::R10), mixing a whole register with a lower half, sign-extending eight bytes.
//! [`Assembler::finish`] checks the rest, such as where the labels are. Every method records the Rust line of its
//! caller. Errors name that line, and the kernel's verifier quotes it when it rejects the program.
//!
//! Each family has a file: arithmetic, jumps, memory, atomics.

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
