//! `STACK_TRACE` maps, and the elements of other maps that refer to a stack by its id.
//!
//! A map of stacks does not say which process a stack belongs to. An element that refers to it often does: its key has
//! a member `pid` beside the id.

use std::collections::BTreeMap;

use cutaway::{Errno, Error, Loaded, Map, MapFlags, MapSpec, MapType, btf::Value};

use super::number;
use crate::decode;

/// The stacks that elements refer to.
pub(super) struct Stacks<'a> {
    /// The only map of stacks. With several, an id does not say which one it belongs to.
    map: Option<&'a Map>,
    /// The ids of printed stacks, each with its process if it is known.
    referred: BTreeMap<u32, Option<u32>>,
}

impl<'a> Stacks<'a> {
    pub(super) fn of(loaded: &'a Loaded, specs: &[MapSpec]) -> Self {
        let maps: Vec<_> =
            specs.iter().filter(|spec| spec.map_type == MapType::STACK_TRACE && spec.autocreate).collect();
        let map = match maps.as_slice() {
            [only] => loaded.map(&only.name).ok(),
            _ => None,
        };
        Self { map, referred: BTreeMap::new() }
    }

    /// Returns whether there is exactly one map of stacks.
    pub(super) fn is_known(&self) -> bool {
        self.map.is_some()
    }

    /// Returns the addresses of the stack `id` of this process; `None` if it is in no map, or in one of several.
    pub(super) fn refer(&mut self, id: u32, pid: Option<u32>) -> Option<Vec<Address>> {
        let map = self.map?;
        let bytes = map.lookup(&id.to_ne_bytes()).ok()??;
        let known = self.referred.entry(id).or_insert(pid);
        *known = known.or(pid);
        Some(addresses(&bytes, has_build_ids(map)))
    }

    /// Returns whether a printed element refers to the stack.
    pub(super) fn is_referred(&self, id: u32) -> bool {
        self.referred.contains_key(&id)
    }

    /// Returns the process of a stack, if an element says it.
    pub(super) fn pid(&self, id: u32) -> Option<u32> {
        self.referred.get(&id).copied().flatten()
    }
}

/// An address in a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Absolute(u64),
    /// The build id of a file in hexadecimal digits, and an offset in the file.
    InFile(String, u64),
}

/// Returns whether the stacks have build ids in place of addresses (`BPF_F_STACK_BUILD_ID`).
pub(super) fn has_build_ids(map: &Map) -> bool {
    map.flags().contains(MapFlags::STACK_BUILD_ID)
}

/// Reads all stacks, each with its id.
pub(super) fn read_all(map: &Map) -> Result<Vec<(u32, Vec<u8>)>, Error> {
    let mut stacks = Vec::new();
    for key in map.keys() {
        let key = key?;
        if let (Some(id), Some(stack)) = (number::number(&key), map.lookup(&key)?) {
            stacks.push((id as u32, stack));
        }
    }
    stacks.sort_by_key(|(id, _)| *id);
    Ok(stacks)
}

/// Returns the addresses of a stack, the innermost first.
pub(super) fn addresses(stack: &[u8], build_ids: bool) -> Vec<Address> {
    if !build_ids {
        let (addresses, _) = stack.as_chunks::<8>();
        let addresses = addresses.iter().map(|address| u64::from_ne_bytes(*address));
        return addresses.take_while(|address| *address != 0).map(Address::Absolute).collect();
    }
    // `struct bpf_stack_build_id`: status, build id, offset or address.
    let (entries, _) = stack.as_chunks::<32>();
    let entry = |entry: &[u8; 32]| {
        let (status, rest) = entry.split_at_checked(4)?;
        let (build_id, offset) = rest.split_at_checked(20)?;
        let offset = u64::from_ne_bytes(offset.try_into().ok()?);
        match i32::from_ne_bytes(status.try_into().ok()?) {
            // BPF_STACK_BUILD_ID_VALID and BPF_STACK_BUILD_ID_IP.
            1 => Some(Address::InFile(decode::hex(build_id), offset)),
            2 => Some(Address::Absolute(offset)),
            _ => None,
        }
    };
    entries.iter().map_while(entry).collect()
}

/// Returns the members of a value whose name says that they are ids of stacks. A negative id is an error: the program
/// got it from `bpf_get_stackid` in place of a stack.
pub(super) fn references(value: &Value<'_>) -> Vec<(String, Result<u32, Errno>)> {
    let Value::Struct(fields) = value else { return Vec::new() };
    let reference = |(name, value): &(std::borrow::Cow<'_, str>, Value<'_>)| {
        if !name.to_lowercase().contains("stack") {
            return None;
        }
        let id = match value {
            Value::Unsigned(id) => u32::try_from(*id).ok()?.cast_signed(),
            Value::Signed(id) => i32::try_from(*id).ok()?,
            _ => return None,
        };
        // MAX_ERRNO of include/linux/err.h.
        let id = match id {
            0.. => Ok(id.cast_unsigned()),
            -4095..0 => Err(Errno::new(-id)),
            _ => return None,
        };
        Some((name.clone().into_owned(), id))
    };
    fields.iter().filter_map(reference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_ends_at_the_first_zero() {
        let stack = [0xffff_u64, 7, 0, 9].map(u64::to_ne_bytes).concat();
        assert_eq!(addresses(&stack, false), [Address::Absolute(0xffff), Address::Absolute(7)]);
        assert_eq!(addresses(&stack[..9], false), [Address::Absolute(0xffff)]);
    }

    #[test]
    fn stack_with_build_ids_has_offsets_in_files() {
        let entry = |status: i32, offset: u64| [&status.to_ne_bytes()[..], &[0xab; 20], &offset.to_ne_bytes()].concat();
        let stack = [entry(1, 16), entry(2, 0x7fff), entry(0, 0), entry(1, 1)].concat();
        assert_eq!(addresses(&stack, true), [Address::InFile("ab".repeat(20), 16), Address::Absolute(0x7fff)]);
    }

    #[test]
    fn members_named_stack_refer_to_stacks() {
        let key = Value::Struct(vec![
            ("pid".into(), Value::Unsigned(1)),
            ("kern_stack_id".into(), Value::Signed(5)),
            ("user_stack_id".into(), Value::Signed(-14)),
            ("ustack".into(), Value::Unsigned(0xffff_fff2)),
            ("stack".into(), Value::Text(b"x")),
        ]);
        let missing = Err(Errno::new(libc::EFAULT));
        let expected = [("kern_stack_id", Ok(5)), ("user_stack_id", missing), ("ustack", missing)];
        assert_eq!(references(&key), expected.map(|(name, id)| (name.to_owned(), id)));
    }
}
