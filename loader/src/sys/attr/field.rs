//! Field types of `union bpf_attr`, and how they are logged.

use std::fmt;

use log::kv;

use crate::{
    AttachType, MapType, ProgramType,
    sys::constant_names::{self, AttachFlagBits, MapFlagBits, ObjFlagBits, ProgFlagBits},
};

/// A user-space address as `bpf_attr` holds it: 64 bits wide on every architecture (`__aligned_u64`).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Pointer(u64);

impl Pointer {
    /// Returns a pointer to memory that the kernel reads; null, which the kernel takes as "not given", for an empty
    /// slice.
    pub(in crate::sys) fn to<T>(target: &[T]) -> Self {
        if target.is_empty() { Self(0) } else { Self(target.as_ptr().expose_provenance() as u64) }
    }

    /// Returns a pointer to memory that the kernel writes.
    pub(in crate::sys) fn to_mut<T>(target: &mut [T]) -> Self {
        if target.is_empty() { Self(0) } else { Self(target.as_mut_ptr().expose_provenance() as u64) }
    }
}

impl Pointer {
    /// Returns the address, for structures whose fields depend on a type.
    pub(in crate::sys) fn address(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// An object name (`BPF_OBJ_NAME_LEN`): 16 bytes with the final NUL, so a name is truncated to 15.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Name([u8; 16]);

impl Name {
    /// Truncates the name, and replaces the characters that the kernel refuses (`bpf_obj_name_cpy`) by `_`: all but
    /// letters, digits, `_` and `.`.
    pub(crate) fn cut(name: &str) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
            *to = if from.is_ascii_alphanumeric() || from == b'.' { from } else { b'_' };
        }
        Self(bytes)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0).trim_end_matches('\0'))
    }
}

/// A number that the kernel writes. It is no argument, so it is not logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Written(u32);

impl Field for Written {
    fn is_given(&self) -> bool {
        false
    }

    fn visit<'kvs>(&'kvs self, _name: &'static str, _to: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        Ok(())
    }
}

/// The type of a field.
pub(super) trait Field {
    /// Returns whether it is set. The kernel takes 0 as "not given".
    fn is_given(&self) -> bool;

    /// Passes the value with the field's name to the log.
    fn visit<'kvs>(&'kvs self, name: &'static str, to: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error>;
}

impl Field for u32 {
    fn is_given(&self) -> bool {
        *self != 0
    }

    fn visit<'kvs>(&'kvs self, name: &'static str, to: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        let key = kv::Key::from_str(name);
        match constant_names::of(name, *self) {
            Some(known) => to.visit_pair(key, kv::Value::from(known)),
            // The number of an fd that is not open may be negative.
            None if name.ends_with("_fd") => to.visit_pair(key, kv::Value::from(self.cast_signed())),
            None => to.visit_pair(key, kv::Value::from(*self)),
        }
    }
}

impl Field for AttachType {
    fn is_given(&self) -> bool {
        *self != Self::default()
    }

    fn visit<'kvs>(&'kvs self, name: &'static str, to: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        let value = self.kernel_name().map_or_else(|| kv::Value::from(self.0), kv::Value::from);
        to.visit_pair(kv::Key::from_str(name), value)
    }
}

macro_rules! fields {
    ($($type:ty: $self:ident => $value:expr;)*) => {$(
        impl Field for $type {
            fn is_given(&self) -> bool {
                *self != Self::default()
            }

            fn visit<'kvs>(&'kvs $self, name: &'static str, to: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
                to.visit_pair(kv::Key::from_str(name), $value)
            }
        }
    )*};
}

fields! {
    u64: self => kv::Value::from(*self);
    i32: self => kv::Value::from(*self);
    [u64; 24]: self => kv::Value::from_debug(self);
    Pointer: self => kv::Value::from_debug(self);
    Name: self => kv::Value::from_debug(self);
    MapFlagBits: self => kv::Value::from_debug(self);
    ProgFlagBits: self => kv::Value::from_debug(self);
    AttachFlagBits: self => kv::Value::from_debug(self);
    ObjFlagBits: self => kv::Value::from_debug(self);
    [u64; 6]: self => kv::Value::from_debug(self);
    MapType: self => kv::Value::from_debug(self);
    ProgramType: self => kv::Value::from_debug(self);
}

/// Logs the fields that are set, by name, and always `attach_type`, of which 0 is a valid value.
pub(super) fn log_fields<'kvs>(
    fields: &[(&'static str, &'kvs dyn Field)],
    to: &mut dyn kv::VisitSource<'kvs>,
) -> Result<(), kv::Error> {
    let mut logged = fields.iter().filter(|(name, field)| field.is_given() || *name == "attach_type");
    logged.try_for_each(|(name, field)| field.visit(name, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_truncated_to_15_valid_bytes() {
        assert_eq!(format!("{:?}", Name::cut("a-very/long_name.of a map")), "a_very_long_nam");
        assert_eq!(format!("{:?}", Name::cut("events")), "events");
    }
}
