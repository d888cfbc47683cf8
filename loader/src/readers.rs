//! Compares the results of this crate's object reader and of aya-obj on one object.
//!
//! Both results are linked in a dry run, aya-obj's without the corrections that loading makes. Then maps, programs,
//! license, kernel version and instructions are compared. The fds of maps are compared by the maps' names.

use std::{collections::HashMap, ops::Deref};

use crate::{
    Errno, Error, Instruction, LinkedProgram, MapSpec, Object, ProgramSpec,
    btf::{Btf, Kind, kernel},
    instruction::opcode,
    object::aya::{REFUSES, fault_on, is_same_contents, unmended},
    resolve::core_relo::is_poison,
};

/// The result of comparing the two object readers on one object, for an aya user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderComparison {
    /// aya-obj gives the same maps, programs and instructions.
    Same,
    /// aya-obj refuses the object, or panics on it.
    Refused {
        /// Why, in a sentence without a capital.
        why: String,
    },
    /// The object is not given to aya-obj, which has undefined behavior on it, takes too much time or memory, or
    /// silently reads or links something else.
    Withheld {
        /// The fault, as the predicate of a sentence about aya-obj: `does not resolve externs, such as …`.
        why: String,
    },
    /// aya-obj gives the same maps and programs, and the same instructions as far as they were compared. Either this
    /// crate cannot link the object, does not give the kernel's BTF to aya-obj, or has a limit that aya-obj does not
    /// have; or neither reader can link one of the programs.
    Unlinked {
        /// Why not all instructions are compared, in a sentence without a capital.
        why: String,
    },
    /// aya-obj gives something else.
    Different {
        /// The first difference, in a sentence without a capital.
        what: String,
    },
}

impl Object {
    /// Returns whether the object has CO-RE relocations, as found by the reader that has read it. Without them, its
    /// instructions are the same for each kernel.
    #[must_use]
    #[doc(alias = "has_btf_relocations")]
    pub fn has_core_relocations(&self) -> bool {
        match &self.aya {
            Some(aya) => aya.object.has_btf_relocations(),
            None => self.core_relo_bytes().is_some(),
        }
    }
}

/// Compares the results of this crate's object reader and of aya-obj 0.3.0 on an object file. Makes no system call.
///
/// `kernel` is the BTF of the kernel that CO-RE relocations are applied for: the contents of that kernel's
/// `/sys/kernel/btf/vmlinux`. An empty slice is enough for an object without CO-RE relocations
/// ([`Object::has_core_relocations`]). It does not cover an object with them: neither reader applies them, and the
/// result is at best [`ReaderComparison::Unlinked`]. [`compare_readers_on_host`] reads the running kernel's BTF.
///
/// # Errors
///
/// Those of [`Object::parse`], if this crate's reader refuses the object.
pub fn compare_readers(bytes: &[u8], kernel: &[u8]) -> Result<ReaderComparison, Error> {
    let own = Object::parse(bytes)?;
    Ok(compare(&own, bytes, || Ok(kernel)))
}

/// Compares as [`compare_readers`] does, for the running kernel. Its BTF, `/sys/kernel/btf/vmlinux`, is read only if
/// the object has CO-RE relocations, which costs tens of milliseconds. Needs no privileges, and Linux 5.4 for objects
/// with CO-RE relocations: if the kernel has no BTF, that is the reason of [`ReaderComparison::Unlinked`].
///
/// # Errors
///
/// Those of [`Object::parse`], if this crate's reader refuses the object.
pub fn compare_readers_on_host(bytes: &[u8]) -> Result<ReaderComparison, Error> {
    let own = Object::parse(bytes)?;
    Ok(if own.has_core_relocations() {
        let unread = |error| Error::Object {
            why: format!(
                "{}/vmlinux cannot be read: {}; a kernel has it if it was built with CONFIG_DEBUG_INFO_BTF (Linux 5.4)",
                kernel::DIRECTORY,
                Errno::of(&error)
            ),
        };
        compare(&own, bytes, || kernel::Bytes::vmlinux().map_err(unread))
    } else {
        compare(&own, bytes, || Ok([].as_slice()))
    })
}

fn compare<K: Deref<Target = [u8]>>(
    own: &Object,
    bytes: &[u8],
    kernel: impl FnOnce() -> Result<K, Error>,
) -> ReaderComparison {
    if let Some(fault) = fault_on(own) {
        return ReaderComparison::Withheld { why: fault };
    }
    let aya = match unmended(own, bytes) {
        Ok(aya) => aya,
        Err(error) => return refused(&error).unwrap_or_else(|why| withheld(&why)),
    };
    let described = license(own, &aya)
        .or_else(|| kernel_version(own, &aya))
        .or_else(|| maps(own.maps(), aya.maps()))
        .or_else(|| programs(own.programs(), aya.programs()));
    if let Some(what) = described {
        return ReaderComparison::Different { what };
    }
    let linked = kernel().and_then(|kernel| Ok((own.dry_run(&kernel)?, kernel)));
    let (own, kernel) = match linked {
        Ok(linked) => linked,
        Err(error) => return ReaderComparison::Unlinked { why: sentence(&error) },
    };
    let aya = match aya.dry_run(&kernel) {
        Ok(aya) => aya,
        Err(error) => return refused(&error).unwrap_or_else(|why| ReaderComparison::Unlinked { why }),
    };
    let difference = instructions((&own.programs, &own.maps), (&aya.programs, &aya.maps));
    let difference = difference.or_else(|| types(own.btf.as_deref(), aya.btf.as_deref()));
    difference.unwrap_or_else(|| match own.programs.into_iter().find_map(|program| program.instructions.err()) {
        Some(error) => ReaderComparison::Unlinked { why: sentence(&error) },
        None => ReaderComparison::Same,
    })
}

/// Returns aya-obj's refusal; `Err` with the reason if the error is this crate's.
fn refused(error: &Error) -> Result<ReaderComparison, String> {
    let why = sentence(error);
    if let Some(why) = why.strip_prefix(REFUSES) {
        return Ok(ReaderComparison::Refused { why: why.to_owned() });
    }
    let is_of_aya = matches!(error, Error::Object { .. }) && why.starts_with("aya-obj cannot ");
    if is_of_aya { Ok(ReaderComparison::Refused { why }) } else { Err(why) }
}

/// Returns the result for an object of aya-obj that cannot be used here.
fn withheld(why: &str) -> ReaderComparison {
    let why = match why.strip_prefix("aya-obj ") {
        Some(fault) => fault.to_owned(),
        None => format!("gives an object that cannot be compared: {why}"),
    };
    ReaderComparison::Withheld { why }
}

/// Returns the reason of an error without the prefix for the object, which the caller names.
fn sentence(error: &Error) -> String {
    match error {
        Error::Object { why } => why.clone(),
        error => error.to_string(),
    }
}

/// Compares the licenses. aya-obj takes a missing license for the GPL.
fn license(own: &Object, aya: &Object) -> Option<String> {
    let theirs = aya.aya.as_ref()?.object.license.as_c_str();
    (theirs != own.license()).then(|| format!("its license is {:?} to aya-obj, and {:?} here", theirs, own.license()))
}

/// Compares the kernel versions. aya-obj takes `0xfffffffe`, any version, for none.
fn kernel_version(own: &Object, aya: &Object) -> Option<String> {
    let (own, aya) = (own.kernel_version, aya.kernel_version);
    (own != aya).then(|| format!("its kernel version is {aya:#x} to aya-obj, and {own:#x} here"))
}

fn maps<'m>(own: &'m [MapSpec], aya: &'m [MapSpec]) -> Option<String> {
    let by_name =
        |maps: &'m [MapSpec]| -> HashMap<&str, &MapSpec> { maps.iter().map(|map| (map.name.as_str(), map)).collect() };
    let (known, found) = (by_name(own), by_name(aya));
    if let Some(missing) = own.iter().find(|map| !found.contains_key(map.name.as_str())) {
        return Some(format!("aya-obj does not find the map `{}`", missing.name));
    }
    if let Some(more) = aya.iter().find(|map| !known.contains_key(map.name.as_str())) {
        return Some(format!("aya-obj finds a map `{}`, which is not a map here", more.name));
    }
    own.iter().find_map(|one| map(one, found.get(one.name.as_str())?))
}

/// Returns the first difference between two descriptions of one map.
fn map(own: &MapSpec, aya: &MapSpec) -> Option<String> {
    let name = &own.name;
    let numbers = [
        ("type", u64::from(own.map_type.0), u64::from(aya.map_type.0)),
        ("key size", own.key_size.into(), aya.key_size.into()),
        ("value size", own.value_size.into(), aya.value_size.into()),
        ("max_entries", own.max_entries.into(), aya.max_entries.into()),
        ("flags", own.map_flags.bits().into(), aya.map_flags.bits().into()),
        ("map_extra", own.map_extra, aya.map_extra),
        ("NUMA node", own.numa_node.into(), aya.numa_node.into()),
    ];
    let differs = numbers.iter().find(|(_, own, aya)| own != aya);
    if let Some((what, own, aya)) = differs {
        return Some(format!("the map `{name}` has the {what} {aya} by aya-obj, and {own} here"));
    }
    if own.pinning != aya.pinning {
        return Some(format!(
            "the map `{name}` has the pinning {:?} by aya-obj, and {:?} here",
            aya.pinning, own.pinning
        ));
    }
    if own.initial_entries != aya.initial_entries {
        let count = own.initial_entries.len();
        return Some(format!("aya-obj leaves the {count} initial entries of the map `{name}` empty"));
    }
    if !is_same_contents(own, aya) {
        return Some(format!("the map `{name}` has other initial contents by aya-obj than here"));
    }
    match (&own.inner, &aya.inner) {
        (Some(own), Some(aya)) => map(own, aya).map(|what| format!("in the template of inner maps, {what}")),
        (None, None) => None,
        (own, _) => {
            let (with, without) = if own.is_some() { ("here", "by aya-obj") } else { ("by aya-obj", "here") };
            Some(format!("the map `{name}` has a template of inner maps {with}, and none {without}"))
        }
    }
}

fn programs<'p>(own: &'p [ProgramSpec], aya: &'p [ProgramSpec]) -> Option<String> {
    let by_name = |programs: &'p [ProgramSpec]| -> HashMap<&str, &ProgramSpec> {
        programs.iter().map(|program| (program.name.as_str(), program)).collect()
    };
    let (known, found) = (by_name(own), by_name(aya));
    if let Some(missing) = own.iter().find(|program| !found.contains_key(program.name.as_str())) {
        return Some(format!("aya-obj does not find the program `{}`", missing.name));
    }
    if let Some(more) = aya.iter().find(|program| !known.contains_key(program.name.as_str())) {
        return Some(format!("aya-obj takes the function `{}` for a program", more.name));
    }
    own.iter().find_map(|one| {
        let (own, aya) = (&one.section, &found.get(one.name.as_str())?.section);
        let kind = |section: &crate::Section| {
            let sleepable = if section.sleepable { ", sleepable" } else { "" };
            let fragments = if section.fragments { ", fragments" } else { "" };
            format!("{}, attach type {}{sleepable}{fragments}", section.program_type, section.expected_attach_type.0)
        };
        let (own, aya) = (kind(own), kind(aya));
        (own != aya).then(|| format!("the program `{}` is {aya} by aya-obj, and {own} here", one.name))
    })
}

/// Finds the first function whose linkage differs in the BTF that loading passes to the kernel. This crate makes a
/// hidden function static, aya-obj makes it global: the verifier then checks it separately, and refuses it as a
/// callback.
fn types(own: Option<&[u8]>, aya: Option<&[u8]>) -> Option<ReaderComparison> {
    let [own, aya] = [Btf::parse(own?).ok()?, Btf::parse(aya?).ok()?];
    own.types().filter(|ty| ty.kind() == Kind::Func).find_map(|ty| {
        let other = aya.ty(ty.id());
        if other.kind() != ty.kind() || other.name() != ty.name() || other.linkage() == ty.linkage() {
            return None;
        }
        let [ours, theirs] = [ty.linkage(), other.linkage()].map(|linkage| match linkage {
            0 => "static",
            1 => "global",
            _ => "extern",
        });
        let what = format!("the function `{}` is {theirs} in the types of aya-obj, and {ours} here", ty.name());
        Some(ReaderComparison::Different { what })
    })
}

type Linked<'a> = (&'a [LinkedProgram], &'a [MapSpec]);

/// Finds the first program whose instructions differ after linking.
fn instructions((own, own_maps): Linked<'_>, (aya, aya_maps): Linked<'_>) -> Option<ReaderComparison> {
    let found: HashMap<&str, &LinkedProgram> = aya.iter().map(|other| (other.name.as_str(), other)).collect();
    own.iter().find_map(|one| {
        let other = found.get(one.name.as_str())?;
        let name = &one.name;
        let (own, aya) = match (&one.instructions, &other.instructions) {
            (Ok(own), Ok(aya)) => (own, aya),
            (Ok(_), Err(error)) => {
                return Some(refused(error).unwrap_or_else(|why| ReaderComparison::Unlinked { why }));
            }
            (Err(why), Ok(_)) => {
                let what = format!("aya-obj links the program `{name}`, which is refused here: {why}");
                return Some(ReaderComparison::Different { what });
            }
            (Err(_), Err(_)) => return None,
        };
        let at =
            (0..own.len().max(aya.len())).find(|&at| normal(own.get(at), own_maps) != normal(aya.get(at), aya_maps))?;
        let [mut ours, mut theirs] = [(own, own_maps), (aya, aya_maps)].map(|(code, maps)| text(code, at, maps));
        if ours == theirs {
            [ours, theirs] = [own, aya].map(|code| fields(code.get(at)));
        }
        let what = format!("instruction {at} of the program `{name}` is {theirs} by aya-obj, and {ours} here");
        Some(ReaderComparison::Different { what })
    })
}

/// Returns the instruction as text, with the name of the map that it loads.
fn text(code: &[Instruction], at: usize, maps: &[MapSpec]) -> String {
    match (normal(code.get(at), maps), code.get(at)) {
        (Some((insn, Some(map))), _) => format!("`r{} = map[{map}]`", insn.dst()),
        (_, Some(insn)) => format!("`{}`", insn.text(code.get(at + 1).copied())),
        (_, None) => "missing".to_owned(),
    }
}

/// Returns the fields of the instruction, for two instructions that have the same text.
fn fields(insn: Option<&Instruction>) -> String {
    let Some(insn) = insn else { return "missing".to_owned() };
    let (code, dst, src, offset, imm) = (insn.code, insn.dst(), insn.src(), insn.offset, insn.imm);
    format!("code {code:#04x}, registers {dst} and {src}, offset {offset}, immediate {imm}")
}

/// Returns an instruction, and if it loads a map, the map's name in place of the dry run's fd. All poisoned
/// instructions become the same one.
fn normal<'m>(insn: Option<&Instruction>, maps: &'m [MapSpec]) -> Option<(Instruction, Option<&'m str>)> {
    let insn = *insn?;
    if is_poison(insn) {
        return Some((Instruction::new(opcode::JMP_CALL, 0, 0, 0, 0), None));
    }
    let is_map =
        insn.code == opcode::LD_IMM64 && matches!(insn.src(), opcode::PSEUDO_MAP_FD | opcode::PSEUDO_MAP_VALUE);
    let index = usize::try_from(insn.imm).ok().and_then(|fd| fd.checked_sub(1)).filter(|_| is_map);
    let map = index.and_then(|index| maps.get(index));
    Some(match map {
        Some(map) => (insn.with_imm(0), Some(map.name.as_str())),
        None => (insn, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::aya::guarded;

    #[test]
    fn refusals_of_this_crate_are_not_aya_obj_s() {
        let object = |why: &str| Error::Object { why: why.to_owned() };
        for (error, right) in [
            (object(&format!("{REFUSES}no license")), "no license"),
            (object("aya-obj cannot link the program `a`: no"), "aya-obj cannot link the program `a`: no"),
            (guarded("read it", 0, || -> u32 { panic!("no") }).unwrap_err(), "aya-obj cannot read it: it panics (no)"),
        ] {
            assert_eq!(refused(&error), Ok(ReaderComparison::Refused { why: right.to_owned() }));
        }
        // No machine has room for such a stack.
        let no_thread = guarded("read it", 1 << 50, || 1).unwrap_err();
        assert!(no_thread.to_string().contains("no thread with "), "{no_thread}");
        let own =
            ["the kernel's BTF is not given to aya-obj: it is broken", "the program `a` has more than 1 instructions"];
        for error in own.map(object).into_iter().chain([no_thread, Error::bug("it is gone")]) {
            assert_eq!(refused(&error), Err(sentence(&error)));
        }
        let why = |why: &str| ReaderComparison::Withheld { why: why.to_owned() };
        assert_eq!(
            withheld("aya-obj does not resolve externs, such as `a`"),
            why("does not resolve externs, such as `a`")
        );
        assert_eq!(
            withheld("it has no section 7"),
            why("gives an object that cannot be compared: it has no section 7")
        );
    }
}
