//! BTF for maps that no object describes: observers such as bpftool show keys and values by their types.

use crate::{MapType, ScalarKind};

/// The types of keys and values as Rust gives them: kind of a scalar, and bytes altogether.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnTypes {
    pub(super) key: Option<(ScalarKind, usize)>,
    pub(super) value: Option<(ScalarKind, usize)>,
}

impl OwnTypes {
    /// Returns the bytes of BTF with the types, and the ids of the key's and the value's; `None` if a type is not
    /// known, or is not that of these sizes (because a later call has changed one).
    pub(super) fn build(&self, map_type: MapType, key_size: u32, value_size: u32) -> Option<(Vec<u8>, u32, u32)> {
        let fits = |given: Option<(ScalarKind, usize)>, size: u32| given.filter(|(_, bytes)| *bytes == size as usize);
        let mut draft = Draft::default();
        let value = draft.ty(fits(self.value, value_size)?);
        let key = match key_size {
            0 => 0,
            size => {
                let key = draft.ty(fits(self.key, size)?);
                // The kernel takes only a structure as the key of an LPM trie (`trie_check_btf`).
                if map_type == MapType::LPM_TRIE { draft.structure(key, size) } else { key }
            }
        };
        Some((draft.finish(), key, value))
    }
}

/// `struct btf_header` without its lengths: magic and version in this machine's byte order, flags 0.
const MAGIC: u16 = 0xeb9f;
const HEADER: u32 = 24;
/// `BTF_KIND_…`, as `struct btf_type` has them in `info`.
const INT: u32 = 1 << 24;
const ARRAY: u32 = 3 << 24;
const STRUCT: u32 = 4 << 24;
const FLOAT: u32 = 16 << 24;
/// `BTF_INT_SIGNED` and `BTF_INT_BOOL`, as an integer's last word has them.
const SIGNED: u32 = 1 << 24;
const BOOL: u32 = 4 << 24;

/// BTF while it is being written.
struct Draft {
    types: Vec<u32>,
    /// Begins with the empty name.
    strings: Vec<u8>,
    count: u32,
}

impl Default for Draft {
    fn default() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }
}

impl Draft {
    /// Adds a scalar, or an array of scalars if it has more bytes, and returns its id.
    fn ty(&mut self, (kind, size): (ScalarKind, usize)) -> u32 {
        let (name, words, each) = match kind {
            ScalarKind::Bytes => ("unsigned char", vec![INT, 1, 8], 1),
            ScalarKind::Bool => ("bool", vec![INT, 1, BOOL | 8], 1),
            ScalarKind::Unsigned(bytes) => (unsigned(bytes), vec![INT, bytes, bytes * 8], bytes),
            ScalarKind::Signed(bytes) => (signed(bytes), vec![INT, bytes, SIGNED | (bytes * 8)], bytes),
            ScalarKind::Float(bytes) => (if bytes == 4 { "float" } else { "double" }, vec![FLOAT, bytes], bytes),
        };
        let scalar = self.push(name, &words);
        let length = (size as u32).checked_div(each).unwrap_or(0);
        if length == 1 && kind != ScalarKind::Bytes {
            return scalar;
        }
        let index = self.push("__ARRAY_SIZE_TYPE__", &[INT, 4, 32]);
        self.push("", &[ARRAY, 0, scalar, index, length])
    }

    /// Adds a structure with one member of the type `id`.
    fn structure(&mut self, id: u32, size: u32) -> u32 {
        let member = self.name("key");
        self.push("key", &[STRUCT | 1, size, member, id, 0])
    }

    /// Adds a type: its name, then these words.
    fn push(&mut self, name: &str, words: &[u32]) -> u32 {
        let name = self.name(name);
        self.types.push(name);
        self.types.extend_from_slice(words);
        self.count += 1;
        self.count
    }

    /// Adds a name and returns its offset.
    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        offset
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let (types, strings) = (self.types.len() as u32 * 4, self.strings.len() as u32);
        let words = [HEADER, 0, types, types, strings].into_iter().chain(self.types);
        bytes.extend(words.flat_map(u32::to_ne_bytes));
        bytes.extend(self.strings);
        bytes
    }
}

/// Returns the name of an integer type, as C has it on 64-bit machines.
fn unsigned(bytes: u32) -> &'static str {
    match bytes {
        1 => "unsigned char",
        2 => "unsigned short",
        4 => "unsigned int",
        8 => "unsigned long",
        _ => "unsigned __int128",
    }
}

fn signed(bytes: u32) -> &'static str {
    match bytes {
        1 => "signed char",
        2 => "short",
        4 => "int",
        8 => "long",
        _ => "__int128",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Pod,
        btf::{Btf, Kind},
    };

    fn own<K: Pod, V: Pod>() -> OwnTypes {
        OwnTypes { key: Some((K::KIND, K::SIZE)), value: Some((V::KIND, V::SIZE)) }
    }

    #[test]
    fn scalars_and_arrays_have_c_types() {
        let (bytes, key, value) = own::<u32, [i64; 3]>().build(MapType::HASH, 4, 24).unwrap();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((&*btf.ty(key).name(), btf.ty(key).size(), btf.ty(key).is_signed()), ("unsigned int", 4, false));
        let array = btf.ty(value).array().unwrap();
        assert_eq!((array.len, &*btf.ty(array.element).name(), btf.ty(array.element).is_signed()), (3, "long", true));

        let (bytes, key, value) = own::<[u8; 8], f64>().build(MapType::LPM_TRIE, 8, 8).unwrap();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.ty(key).kind(), btf.ty(key).size()), (Kind::Struct, 8));
        assert_eq!((btf.ty(value).kind(), &*btf.ty(value).name()), (Kind::Float, "double"));

        let (bytes, key, value) = own::<(), bool>().build(MapType::BLOOM_FILTER, 0, 1).unwrap();
        assert_eq!((key, &*Btf::parse(&bytes).unwrap().ty(value).name()), (0, "bool"));
    }

    #[test]
    fn sizes_that_were_changed_have_no_type() {
        assert!(own::<u32, u64>().build(MapType::HASH, 4, 16).is_none());
        assert!(own::<u32, u64>().build(MapType::HASH, 8, 8).is_none());
        assert!(OwnTypes::default().build(MapType::HASH, 4, 8).is_none());
    }
}
