//! Global variables, described.

use crate::{
    btf::{Describe, Initial, Type},
    instruction::ByteOrder,
};

/// A variable's type and what it starts with.
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
    /// A variable that starts with this value.
    pub fn new<T: Initial>(value: T) -> Self {
        let [mut little, mut big] = [Vec::new(), Vec::new()];
        value.encode(ByteOrder::Little, &mut little);
        value.encode(ByteOrder::Big, &mut big);
        Self { kind: T::describe(), little, big }
    }

    /// A variable of zeroes: all that `.bss` can hold.
    pub fn zeroed<T: Describe>() -> Self {
        Self { kind: T::describe(), little: Vec::new(), big: Vec::new() }
    }

    /// Its bytes, without the zeroes that follow; empty if it is all zeroes.
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
