//! CO-RE relocation by aya-obj, of an object that aya-obj has read.

use aya_obj::btf::Btf;

use crate::{
    Error,
    btf::visitor::Types,
    object::{
        Object,
        aya::{chain, guarded},
    },
};

/// Returns the object with the instructions that aya-obj's CO-RE relocation gives; `None` if this crate's reader has
/// read it. Without a kernel's types nothing is relocated.
pub(super) fn relocated(object: &Object, types: Types<'_>) -> Result<Option<Box<aya_obj::Object>>, Error> {
    let Some(aya) = &object.aya else { return Ok(None) };
    let mut relocated = Box::new(aya.object.clone());
    if !relocated.has_btf_relocations() || matches!(types, Types::Given([])) {
        return Ok(Some(relocated));
    }
    let failed = |what: &str, error: &dyn std::error::Error| Error::Object {
        why: format!("aya-obj cannot {what}: {}", chain(error)),
    };
    let btf = guarded("parse the kernel's BTF", 0, || match types {
        Types::Running => Btf::from_sys_fs(),
        Types::Given(bytes) => Btf::parse(bytes, aya.object.endianness),
    })?;
    let btf = btf.map_err(|error| failed("read the kernel's BTF", &error))?;
    let attempt = "apply the object's CO-RE relocations";
    guarded(attempt, 0, || relocated.relocate_btf(&btf))?.map_err(|error| failed(attempt, &error))?;
    Ok(Some(relocated))
}
