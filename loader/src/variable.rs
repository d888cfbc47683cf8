//! Global variables while programs run. (`object/edit.rs` sets them before loading.)

use std::marker::PhantomData;

use crate::{
    Error, Map, Pod,
    object::{FromBytes, ToBytes, VariableSpec, unfit},
};

/// A global variable of a loaded object, in the memory that programs access.
///
/// `.data` and `.bss` are mapped: reading and writing a variable takes no system call, except the first access to a
/// section. A value of up to 8 bytes that is aligned as in C is read and written atomically.
///
/// A longer value is read and written 8 bytes at a time. If a program accesses it at the same moment, either side may
/// see a mixture of the old and the new value, or leave one behind. To prevent that, read a counter before and after,
/// use a map with `bpf_spin_lock`, or access the variable while no program is attached.
///
/// A program's atomic instructions are ordered with these reads and writes: a thread that has read a flag sees
/// everything that the program wrote before it set the flag.
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

    /// Returns the description in the object.
    #[must_use]
    pub fn spec(&self) -> &'l VariableSpec {
        self.spec
    }

    /// Returns the current value.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `T` has another size than the variable, or another sign or kind according to the object's
    /// types, or if the bytes are not a valid `T` (2 is not a `bool`); [`Error::Syscall`] if the section cannot be
    /// mapped.
    #[doc(alias("bpf_map__initial_value", "Variable.Get"))]
    pub fn read<T: FromBytes>(&self) -> Result<T, Error> {
        let bytes = self.bytes()?;
        if let Some(why) = self.spec.objection(T::KIND, bytes.len()) {
            return Err(unfit("read", self.spec, why.replace("given", "requested")));
        }
        T::from_bytes(&bytes).ok_or_else(|| {
            unfit("read", self.spec, format!("its bytes {bytes:02x?} are not a value of the requested type"))
        })
    }

    /// Returns the current bytes.
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

    /// Sets the value, which programs see at once.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the variable is a constant, or `value` does not fit it ([`Variable::read`]);
    /// [`Error::Syscall`] if the section cannot be mapped.
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

impl<'l> Variable<'l> {
    /// Returns the variable with values of the type `T`, if this fits the variable. Later reads and writes need no
    /// type.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `T` has another size than the variable, or another sign or kind according to the object's
    /// types.
    pub fn typed<T: Pod>(self) -> Result<TypedVariable<'l, T>, Error> {
        match self.spec.objection(<T as Pod>::KIND, T::SIZE) {
            None => Ok(TypedVariable { variable: self, value: PhantomData }),
            Some(why) => Err(unfit("access", self.spec, why)),
        }
    }
}

/// A global variable of a loaded object with the type of its values: see [`Variable::typed`].
///
/// `Send` and `Sync`. Borrows the object's maps.
#[derive(Debug)]
#[doc(alias("skeleton", "bss", "rodata"))]
pub struct TypedVariable<'l, T> {
    variable: Variable<'l>,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Clone for TypedVariable<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TypedVariable<'_, T> {}

impl<'l, T: Pod> TypedVariable<'l, T> {
    /// Returns the current value.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the section cannot be mapped or looked up. [`Error::Invalid`] if the bytes are not a `T`
    /// (2 is not a `bool`).
    pub fn read(&self) -> Result<T, Error> {
        self.variable.read()
    }

    /// Sets the value, which programs see at once.
    ///
    /// # Errors
    ///
    /// As [`Variable::write`].
    pub fn write(&self, value: &T) -> Result<(), Error> {
        self.variable.write(value)
    }

    /// Returns the variable without its type.
    #[must_use]
    pub fn variable(&self) -> Variable<'l> {
        self.variable
    }
}

const BEYOND: &str = "it reaches beyond its section";
