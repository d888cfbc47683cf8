//! Replaces the parts of resolution whose cargo feature is disabled. They search for nothing and resolve nothing.

use crate::{
    Error,
    btf::{
        Btf, Names, TypeHeader,
        visitor::{Sources, Visitor},
    },
};

/// A visitor that searches for nothing.
#[derive(Debug)]
pub(super) struct Nothing;

impl Visitor for Nothing {
    fn is_idle(&self) -> bool {
        true
    }

    fn is_missing_some(&self) -> bool {
        false
    }

    fn visit(&mut self, _: usize, _: Names<'_>, _: TypeHeader) -> bool {
        false
    }
}

#[cfg(not(feature = "core-relo"))]
mod relocating {
    use super::{Btf, Error, Nothing, Sources};
    use crate::{
        Object,
        resolve::{core_relo::Applied, relocated::Relocated},
    };

    /// No CO-RE relocations.
    #[derive(Debug)]
    pub(in crate::resolve) struct Relocating;

    impl Relocating {
        pub(in crate::resolve) fn of(_: &Object, _: &Btf<'_>) -> Result<Self, Error> {
            Ok(Self)
        }

        pub(in crate::resolve) fn wanted(&self) -> Nothing {
            Nothing
        }

        pub(in crate::resolve) fn apply(
            self,
            _: Nothing,
            _: Sources<'_, '_>,
        ) -> Result<(Vec<Applied>, Relocated), Error> {
            Ok((Vec::new(), Relocated::default()))
        }
    }
}

#[cfg(not(feature = "struct-ops"))]
mod tables {
    use super::{Btf, Error, Nothing, Sources};
    use crate::{MapSpec, ProgramSpec, resolve::struct_ops::StructOps};

    /// No struct_ops maps.
    pub(in crate::resolve) struct Tables;

    impl Tables {
        pub(in crate::resolve) fn of(_: &[MapSpec], _: &[ProgramSpec], _: &Btf<'_>) -> Nothing {
            Nothing
        }
    }

    impl Nothing {
        pub(in crate::resolve) fn is_unused(&self, _: &ProgramSpec) -> bool {
            false
        }

        pub(in crate::resolve) fn settle(
            self,
            _: &[MapSpec],
            _: &[ProgramSpec],
            _: &Btf<'_>,
            _: Sources<'_, '_>,
        ) -> Result<StructOps, Error> {
            Ok(StructOps::default())
        }
    }
}

#[cfg(not(feature = "externs"))]
mod ksyms {
    use super::{Btf, Error, Nothing, Sources};
    use crate::{btf::visitor::Types, object::Extern, resolve::externs::Externs};

    /// No symbols of the kernel.
    pub(in crate::resolve) struct Ksyms;

    impl Ksyms {
        pub(in crate::resolve) fn of(_: &[Extern]) -> Nothing {
            Nothing
        }
    }

    /// Resolves nothing.
    pub(in crate::resolve) fn resolve_externs(
        _: &[Extern],
        _: Nothing,
        _: &Btf<'_>,
        _: Sources<'_, '_>,
        _: &str,
        _: Types<'_>,
    ) -> Result<Externs, Error> {
        Ok(Externs::default())
    }
}

#[cfg(not(feature = "externs"))]
pub(super) use self::ksyms::{Ksyms, resolve_externs};
#[cfg(not(feature = "core-relo"))]
pub(super) use self::relocating::Relocating;
#[cfg(not(feature = "struct-ops"))]
pub(super) use self::tables::Tables;
