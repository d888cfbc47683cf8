//! Definitions of global variables.

use crate::{
    btf::{Describe, Initial, Type},
    instruction::ByteOrder,
};

/// A variable's type and its initial value.
///
/// ```
/// use cutaway_programs::Variable;
///
/// let target_pid = Variable::new(0u32);
/// let counters = Variable::zeroed::<[u64; 4]>();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub(crate) kind: Type,
    little: Vec<u8>,
    big: Vec<u8>,
}

impl Variable {
    /// Creates a variable with this initial value.
    pub fn new<T: Initial>(value: T) -> Self {
        let [mut little, mut big] = [Vec::new(), Vec::new()];
        value.encode(ByteOrder::Little, &mut little);
        value.encode(ByteOrder::Big, &mut big);
        Self { kind: T::describe(), little, big }
    }

    /// Creates a variable of zeroes, the only content that `.bss` can hold.
    pub fn zeroed<T: Describe>() -> Self {
        Self { kind: T::describe(), little: Vec::new(), big: Vec::new() }
    }

    /// Returns the initial bytes without the trailing zeroes; empty if all are zero.
    pub(crate) fn bytes(&self, order: ByteOrder) -> &[u8] {
        match order {
            ByteOrder::Little => &self.little,
            ByteOrder::Big => &self.big,
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.little.iter().all(|&byte| byte == 0)
    }
}
