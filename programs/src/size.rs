//! Access sizes, each a type: the number of bytes that one instruction moves between a register and memory.
//!
//! Not every instruction supports every size; a trait for each family says which ones it does. So a sign-extending load
//! of eight bytes or an atomic addition of one byte does not compile:
//!
//! ```
//! # use cutaway_programs::prelude::*;
//! Assembler::new().load_sx(W, R1, R2, 0);
//! Assembler::new().atomic_add(W, R1, 0, R2);
//! ```
//!
//! ```compile_fail
//! # use cutaway_programs::prelude::*;
//! Assembler::new().load_sx(DW, R1, R2, 0);
//! ```
//!
//! ```compile_fail
//! # use cutaway_programs::prelude::*;
//! Assembler::new().atomic_add(B, R1, 0, R2);
//! ```

use crate::register::{Bits32, Bits64, Sealed, Width};

/// A size of a plain load or store: [`B`], [`H`], [`W`] or [`DW`].
pub trait Size: Sealed {
    /// The size in bytes: 1, 2, 4 or 8.
    const BYTES: u8;
    #[doc(hidden)]
    const CODE: u8;
}

/// A size smaller than a register of width `To`, from which a value can be sign-extended to that width.
pub trait SignExtends<To: Width>: Size {}

/// A size whose bytes can be swapped: [`H`], [`W`] or [`DW`].
pub trait Swaps: Size {}

/// A size that atomic instructions work on: [`W`] or [`DW`].
pub trait Atomic: Size {}

macro_rules! sizes {
    ($($name:ident $bytes:literal $code:literal $text:literal;)*) => { $(
        #[doc = $text]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;
        impl Sealed for $name {}
        impl Size for $name {
            const BYTES: u8 = $bytes;
            const CODE: u8 = $code;
        }
    )* };
}

sizes! {
    B 1 0x10 "A byte: `u8`.";
    H 2 0x08 "A half word, 2 bytes: `u16`.";
    W 4 0x00 "A word, 4 bytes: `u32`.";
    DW 8 0x18 "A double word, 8 bytes: `u64`.";
}

impl SignExtends<Bits64> for B {}
impl SignExtends<Bits64> for H {}
impl SignExtends<Bits64> for W {}
impl SignExtends<Bits32> for B {}
impl SignExtends<Bits32> for H {}

impl Swaps for H {}
impl Swaps for W {}
impl Swaps for DW {}

impl Atomic for W {}
impl Atomic for DW {}
