//! CO-RE relocation by aya-obj, of an object that aya-obj has read.

#[cfg(feature = "instrument")]
use std::borrow::Cow;

use aya_obj::btf::Btf;
#[cfg(feature = "instrument")]
use cutaway_sys::Instruction;

use super::{core_relo::is_poison, relocated::Relocated};
use crate::{
    Error,
    btf::visitor::Types,
    object::{
        Object,
        aya::{admit_kernel, chain, encoded, guarded, instruction},
    },
};

/// Returns the object with the instructions after aya-obj's CO-RE relocation; `None` if this crate's reader has read
/// it. Without a kernel's types nothing is relocated.
///
/// `own` is the result of this crate's relocation, if the object comes from a file. An instruction that differs is
/// corrected, and the correction is logged at level `warn`.
pub(super) fn relocated(
    object: &Object,
    types: Types<'_>,
    own: &Relocated,
) -> Result<Option<Box<aya_obj::Object>>, Error> {
    let Some(aya) = &object.aya else { return Ok(None) };
    let mut relocated = Box::new(aya.object.clone());
    if !relocated.has_btf_relocations() || matches!(types, Types::Given([])) {
        return Ok(Some(relocated));
    }
    if let Types::Given(bytes) = types {
        admit_kernel(bytes, object)?;
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
    if aya.is_compared && object.core_relo_bytes().is_some() {
        correct(&mut relocated, object, own)?;
    }
    Ok(Some(relocated))
}

/// Returns the instructions of each function, by the function's index in [`Object::function_table`].
#[cfg(feature = "instrument")]
pub(super) fn code<'a>(object: &Object, relocated: &aya_obj::Object) -> Result<Vec<Cow<'a, [Instruction]>>, Error> {
    let code = object.function_table().iter().map(|(start, _)| {
        let read = relocated.functions.get(&(start.0.number(), start.1));
        let read = read.ok_or_else(|| Error::bug("a function of the object is not one that aya-obj has read"))?;
        Ok(read.instructions.iter().map(instruction).collect())
    });
    code.collect()
}

/// Gives the functions the instructions of this crate's relocation.
fn correct(relocated: &mut aya_obj::Object, object: &Object, own: &Relocated) -> Result<(), Error> {
    for (index, (start, function)) in object.function_table().iter().enumerate() {
        let key = (start.0.number(), start.1);
        let read = relocated.functions.get_mut(&key);
        let read = read.ok_or_else(|| Error::bug("a function that aya-obj has read is not the object's"))?;
        let right = own.instructions(index).unwrap_or(&function.instructions);
        for (at, (read, right)) in read.instructions.iter_mut().zip(right).enumerate() {
            let before = instruction(read);
            if before == *right {
                continue;
            }
            // This crate's poison has the relocation's index, so that the verifier's message can be explained.
            if !(is_poison(before) && is_poison(*right)) {
                log::warn!(
                    "aya-obj relocates instruction {at} of `{}` to another value: it is corrected",
                    function.name
                );
            }
            *read = encoded(*right);
        }
    }
    Ok(())
}
