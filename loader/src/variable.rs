//! Global variables while programs run. (Before loading they are set in `object/edit.rs`.)

use crate::{
    Error, Map,
    object::{FromBytes, ToBytes, VariableSpec, unfit},
};

/// A global variable of a loaded object, where programs see it.
///
/// What lies in `.data` or `.bss` is mapped: reading and writing it takes no system call, but for the first time in a
/// section. A value of up to 8 bytes that is aligned as C aligns it is read and written whole. A longer one is read and
/// written 8 bytes at a time: a program that does the same at the same moment can see, or leave, a mixture of old and
/// new. Who cannot have that reads a counter before and after, takes a map with `bpf_spin_lock`, or does it while no
/// program is attached. A program's atomic instructions are ordered with these reads and writes: what it wrote before
/// it set a flag is seen by a thread that has read the flag.
///
/// Constants (`.rodata`, `.kconfig`) are read by a lookup, and never change.
#[derive(Debug, Clone, Copy)]
#[doc(alias("skeleton", "bss", "rodata"))]
pub struct Variable<'l> {
    spec: &'l VariableSpec,
    map: &'l Map,
}

impl<'l> Variable<'l> {
    pub(crate) fn new(spec: &'l VariableSpec, map: &'l Map) -> Self {
        Self { spec, map }
    }

    /// How the object describes it.
    #[must_use]
    pub fn spec(&self) -> &'l VariableSpec {
        self.spec
    }

    /// Its value now.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if a `T` is of another size than the variable or, where the object's types tell, of another
    /// sign or kind, or if the bytes there are no value of it (2 is no `bool`); [`Error::Syscall`] if the section
    /// cannot be mapped.
    #[doc(alias("bpf_map__initial_value", "Variable.Get"))]
    pub fn read<T: FromBytes>(&self) -> Result<T, Error> {
        let bytes = self.bytes()?;
        if let Some(why) = self.spec.objection(T::KIND, bytes.len()) {
            return Err(unfit("read", self.spec, why.replace("given", "requested")));
        }
        T::from_bytes(&bytes).ok_or_else(|| {
            unfit("read", self.spec, format!("its bytes {bytes:02x?} are no value of the requested type"))
        })
    }

    /// Its bytes now.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the section cannot be mapped or looked up.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let (offset, size) = (self.spec.offset as usize, self.spec.size as usize);
        if self.spec.constant {
            let section = self.map.lookup(&0_u32.to_ne_bytes())?.unwrap_or_default();
            let bytes = section.get(offset..).and_then(|rest| rest.get(..size));
            return bytes.map(<[u8]>::to_vec).ok_or_else(|| unfit("read", self.spec, BEYOND));
        }
        let mut bytes = vec![0; size];
        match self.map.memory()?.read(self.map.base() + offset, &mut bytes) {
            true => Ok(bytes),
            false => Err(unfit("read", self.spec, BEYOND)),
        }
    }

    /// Gives it another value, which programs see at once.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is a constant, or `value` does not suit it ([`Variable::read`]); [`Error::Syscall`] if
    /// the section cannot be mapped.
    #[doc(alias = "Variable.Set")]
    pub fn write<T: ToBytes + ?Sized>(&self, value: &T) -> Result<(), Error> {
        if self.spec.constant {
            return Err(unfit("write", self.spec, "its section is frozen since the object was loaded"));
        }
        let bytes = value.bytes();
        if let Some(why) = self.spec.objection(T::KIND, bytes.len()) {
            return Err(unfit("write", self.spec, why));
        }
        match self.map.memory()?.write(self.map.base() + self.spec.offset as usize, &bytes) {
            true => Ok(()),
            false => Err(unfit("write", self.spec, BEYOND)),
        }
    }
}

const BEYOND: &str = "it reaches beyond its section";
