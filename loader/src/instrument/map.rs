//! The array map of one element that inserted instructions write to.
//!
//! Its value is reached by address without a lookup (`BPF_PSEUDO_MAP_VALUE`, Linux 5.2; the kernel allows that for
//! arrays of one element), and mapped into this process (`BPF_F_MMAPABLE`, Linux 5.5), so reading makes no system call.

use std::os::fd::{AsFd, AsRawFd};

use cutaway_sys::{Instruction, instruction::opcode};

use crate::{Error, Map, token::Tokens};

/// Returns the two slots that load the address of the byte `offset` of the value of the map `fd` into `register`.
pub(super) fn load_address(register: u8, fd: i32, offset: u32) -> [Instruction; 2] {
    let value = u64::from(offset) << 32 | u64::from(fd.cast_unsigned());
    Instruction::load_imm64(register, opcode::PSEUDO_MAP_VALUE, value)
}

/// An array map of one element.
#[derive(Debug)]
pub(super) struct CounterMap(Map);

impl CounterMap {
    /// Creates the map with a value of `size` bytes.
    pub(super) fn create(name: &str, size: usize, tokens: &Tokens<'_>) -> Result<Self, Error> {
        let size = u32::try_from(size).map_err(|_| Error::Invalid {
            operation: format!("create the map `{name}`"),
            why: "its value would be larger than 4 GiB".to_owned(),
        })?;
        Map::create_counters(name, size, tokens).map(Self)
    }

    pub(super) fn fd(&self) -> i32 {
        self.0.as_fd().as_raw_fd()
    }

    /// Copies `N` bytes of the value from `offset`.
    pub(super) fn read<const N: usize>(&self, offset: usize) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        match self.0.memory()?.read(offset, &mut bytes) {
            true => Ok(bytes),
            false => Err(Error::bug("a counter lies outside its map")),
        }
    }

    /// Copies the first `size` bytes of the value.
    pub(super) fn read_all(&self, size: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; size];
        match self.0.memory()?.read(0, &mut bytes) {
            true => Ok(bytes),
            false => Err(Error::bug("marks lie outside their map")),
        }
    }

    /// Writes `bytes` to `offset` of the value.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        match self.0.memory()?.write(offset, bytes) {
            true => Ok(()),
            false => Err(Error::bug("a counter lies outside its map")),
        }
    }
}
