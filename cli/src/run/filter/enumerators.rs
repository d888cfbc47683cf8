//! The values of enumerators by their names.

use std::collections::BTreeMap;

use cutaway::btf::{Btf, Kind};

/// The enumerators of some BTF.
#[derive(Debug, Default)]
pub(in crate::run) struct Enumerators {
    /// `None` if types give the name different values.
    values: BTreeMap<String, Option<i128>>,
}

impl Enumerators {
    /// Collects all enumerators.
    pub(in crate::run) fn of(btf: &Btf<'_>) -> Self {
        let mut values = BTreeMap::new();
        for ty in btf.types().filter(|ty| matches!(ty.kind(), Kind::Enum | Kind::Enum64)) {
            for known in ty.values() {
                // Old compilers mark no enumeration as signed. Then values of 32 bits are sign-extended.
                let signed = ty.is_signed() || ty.size() <= 4 && known.value > u32::MAX.into();
                let number = if signed { known.value.cast_signed().into() } else { known.value.into() };
                let name = String::from_utf8_lossy(known.name).into_owned();
                let entry = values.entry(name).or_insert(Some(number));
                if *entry != Some(number) {
                    *entry = None;
                }
            }
        }
        Self { values }
    }

    /// Returns the value of a name. `Some(Err)` if types give it different values.
    pub(super) fn value(&self, name: &str) -> Option<Result<i128, String>> {
        let value = self.values.get(name)?;
        Some(value.ok_or_else(|| format!("`{name}` has different values in different enumerations; give the number")))
    }
}

#[cfg(test)]
impl Enumerators {
    /// Makes enumerators of names and values.
    pub(super) fn from_pairs<const N: usize>(pairs: [(&str, Option<i128>); N]) -> Self {
        Self { values: pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }
}
