//! Finds the kernel's structures for struct_ops maps, and moves each member to its offset there.

use std::{os::fd::OwnedFd, sync::Arc};

use super::{Fitted, Member, StructOps};
use crate::{
    Error, MapSpec, ProgramSpec, ProgramType,
    btf::{
        self, Btf, Kind, Names, Type, TypeHeader,
        visitor::{Absent, Sources, Visitor},
    },
    elf::Start,
    object::Table,
    sys::btf::of_module,
};

/// The wrapping structures of an object's struct_ops maps, by name, and where they were found.
#[derive(Debug)]
pub(in crate::resolve) struct Tables {
    wanted: Vec<Wanted>,
    unused: Vec<Start>,
}

#[derive(Debug)]
struct Wanted {
    /// The map's index in the object.
    map: usize,
    /// The names of the structure and of the wrapping structure.
    table: String,
    around: String,
    /// The source and the type id there.
    found: Option<(usize, u32)>,
}

impl Tables {
    /// Collects the struct_ops maps that are created.
    pub(in crate::resolve) fn of(maps: &[MapSpec], programs: &[ProgramSpec], own: &Btf<'_>) -> Self {
        let tables = || maps.iter().enumerate().filter_map(|(map, spec)| Some((map, spec.struct_ops.as_ref()?)));
        let in_use = || tables().filter(|(map, _)| maps.get(*map).is_some_and(|spec| spec.autocreate));
        let wanted = in_use().map(|(map, table)| {
            let name = own.ty(table.type_id).name().into_owned();
            let table = name.split("___").next().unwrap_or_default().to_owned();
            Wanted { map, around: format!("bpf_struct_ops_{table}"), table, found: None }
        });
        // A program that no map uses cannot be loaded: the verifier would not know its prototype.
        let is_used = |start| in_use().any(|(_, table)| table.programs.iter().any(|(_, known)| *known == start));
        let programs = programs.iter().filter(|program| {
            program.section.program_type == ProgramType::STRUCT_OPS
                && program.section.autoload
                && !is_used(program.entry)
        });
        Self { wanted: wanted.collect(), unused: programs.map(|program| program.entry).collect() }
    }

    /// Returns whether no map uses this program of a section `struct_ops`.
    pub(in crate::resolve) fn is_unused(&self, program: &ProgramSpec) -> bool {
        self.unused.contains(&program.entry)
    }

    /// Converts each map to the kernel's layout after the search, and records the members that its programs implement.
    pub(in crate::resolve) fn settle(
        self,
        maps: &[MapSpec],
        programs: &[ProgramSpec],
        own: &Btf<'_>,
        sources: Sources<'_, '_>,
    ) -> Result<StructOps, Error> {
        let mut all = StructOps { unused: self.unused, ..StructOps::default() };
        for wanted in self.wanted {
            let map = maps.get(wanted.map).ok_or_else(|| Error::bug("a struct_ops map is gone while it is fitted"))?;
            let table = map.struct_ops.as_ref();
            let table = table.ok_or_else(|| Error::bug("a struct_ops map has lost its table"))?;
            let unfit = |why| Error::Invalid { operation: format!("create the map `{}` (STRUCT_OPS)", map.name), why };
            let sources = sources.clone().map_err(|Absent(why)| unfit(format!("it needs the kernel's BTF: {why}")))?;
            let found = match wanted.found {
                None => None,
                Some((index, id)) => {
                    let source = sources.get(index).ok_or_else(|| Error::bug("a struct_ops type has no source"))?;
                    Some((index, source, id))
                }
            };
            let fitted = found.and_then(|(index, source, id)| Some((index, source, wrapper(source.btf, id)?)));
            let Some((index, source, wrapper)) = fitted else {
                let table = wanted.table;
                return Err(unfit(format!("this kernel has no struct_ops of the type `struct {table}`")));
            };
            let module = match index {
                0 => None,
                _ => Some(Arc::new(of_module(source.name).map_err(|error| {
                    Error::kernel(
                        format!("open the types of the module {}, for the map `{}`", source.name, map.name),
                        &error,
                    )
                })?)),
            };
            let fitted = fit_one(table, own, wrapper, programs, module, &mut all.members).map_err(unfit)?;
            all.maps.push((wanted.map, fitted));
        }
        Ok(all)
    }
}

impl Visitor for Tables {
    fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    fn is_missing_some(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.found.is_none())
    }

    fn visit(&mut self, source: usize, names: Names<'_>, ty: TypeHeader) -> bool {
        let mut any = false;
        for wanted in self.wanted.iter_mut().filter(|wanted| ty.kind == Kind::Struct && wanted.found.is_none()) {
            if names.is(ty.name, wanted.around.as_bytes()) {
                wanted.found = Some((source, ty.id));
                any = true;
            }
        }
        any
    }
}

/// Returns the wrapping structure with this BTF id, and its member `data`.
fn wrapper<'b>(btf: &'b Btf<'b>, id: u32) -> Option<Wrapper<'b>> {
    let around = btf.ty(id);
    let data = around.members().find(|member| member.name == b"data")?;
    let table = btf.resolve(data.type_id).filter(|ty| ty.kind() == Kind::Struct)?;
    Some(Wrapper { btf, around, table, offset: data.bit_offset as usize / 8 })
}

struct Wrapper<'b> {
    btf: &'b Btf<'b>,
    around: Type<'b>,
    table: Type<'b>,
    /// Bytes from the start of the wrapping structure to the wrapped one.
    offset: usize,
}

impl Wrapper<'_> {
    /// Returns the offset of a member in bytes from the start of the wrapping structure.
    fn offset_of(&self, member: &btf::Member<'_>) -> usize {
        self.offset + member.bit_offset as usize / 8
    }

    /// Returns a value of zeroes, without programs.
    fn without_members(&self, has_link_flag: bool, module: Option<Arc<OwnedFd>>) -> Result<Fitted, String> {
        /// The kernel's own structures have a few hundred bytes.
        const LARGEST: u32 = 1 << 20;
        let (around, size) = (&self.around, self.around.size());
        if size > LARGEST {
            return Err(format!("this kernel's `struct {}` claims {size} bytes", around.name()));
        }
        let value = vec![0; size as usize];
        Ok(Fitted { value_type_id: around.id(), module, value, programs: Vec::new(), has_link_flag })
    }
}

/// Builds the kernel's value from the object's structure, and records in `members` which members its programs
/// implement.
fn fit_one(
    table: &Table,
    own: &Btf<'_>,
    kernel: Wrapper<'_>,
    programs: &[ProgramSpec],
    module: Option<Arc<OwnedFd>>,
    members: &mut Vec<(Start, Member)>,
) -> Result<Fitted, String> {
    let mut fitted = kernel.without_members(table.has_link_flag, module)?;
    let mut placed = 0;
    for member in own.ty(table.type_id).members() {
        let name = String::from_utf8_lossy(member.name).into_owned();
        let from = member.bit_offset as usize / 8;
        let size = own.size_of(member.type_id).ok_or_else(|| format!("its member `{name}` has no size"))? as usize;
        let value = table.bytes.get(from..from + size).ok_or_else(|| format!("its member `{name}` lies outside"))?;
        let program = table.programs.iter().find(|(offset, _)| *offset as usize == from).map(|(_, start)| *start);
        let same = |(_, there): &(usize, btf::Member<'_>)| there.name == member.name;
        let Some((number, there)) = kernel.table.members().enumerate().find(same) else {
            // This kernel does not have the member yet. That is no error if the member is 0.
            if program.is_none() && value.iter().all(|&byte| byte == 0) {
                continue;
            }
            return Err(format!("this kernel's `struct {}` has no member `{name}`", kernel.table.name()));
        };
        if member.bits != 0 || there.bits != 0 {
            return Err(format!("its member `{name}` is a bit field"));
        }
        if let Some(start) = program {
            if !is_function(kernel.btf, there.type_id) {
                return Err(format!("its member `{name}` holds a program, and is no function in this kernel"));
            }
            let member = Member { structure: kernel.table.id(), index: number as u32, module: fitted.module.clone() };
            record_member(programs, start, member, &name, members)?;
            let to = kernel.offset_of(&there);
            if fitted.value.get(to..to + 8).is_none() {
                return Err(format!("its member `{name}` lies outside"));
            }
            fitted.programs.push((to, start));
            placed += 1;
            continue;
        }
        // The value is zeroes initially.
        if value.iter().any(|&byte| byte != 0) {
            let is_pointer = own.resolve(member.type_id).is_none_or(|ty| ty.kind() == Kind::Ptr);
            copy_value(&mut fitted.value, &kernel, &there, value, is_pointer)
                .map_err(|why| format!("its member `{name}` {why}"))?;
        }
    }
    if placed != table.programs.len() {
        return Err("it holds a program at an offset that is not the start of a member".to_owned());
    }
    Ok(fitted)
}

/// Copies the value of a member that is not a program to the kernel's offset.
fn copy_value(
    all: &mut [u8],
    kernel: &Wrapper<'_>,
    there: &btf::Member<'_>,
    value: &[u8],
    is_pointer: bool,
) -> Result<(), String> {
    let (to, size) = (kernel.offset_of(there), value.len());
    if kernel.btf.size_of(there.type_id) != Some(size as u32) {
        return Err(format!("has {size} bytes, and another size in this kernel"));
    }
    if is_pointer {
        return Err("is a pointer, but not to a program".to_owned());
    }
    all.get_mut(to..to + size).ok_or("lies outside")?.copy_from_slice(value);
    Ok(())
}

/// Returns whether a type is a pointer to a function.
fn is_function(btf: &Btf<'_>, id: u32) -> bool {
    let pointer = btf.resolve(id).filter(|ty| ty.kind() == Kind::Ptr);
    pointer.and_then(|ty| btf.resolve(ty.referred())).is_some_and(|ty| ty.kind() == Kind::FuncProto)
}

/// Notes which member of which structure a program implements.
fn record_member(
    programs: &[ProgramSpec],
    start: Start,
    member: Member,
    name: &str,
    members: &mut Vec<(Start, Member)>,
) -> Result<(), String> {
    let program = programs.iter().find(|program| program.entry == start);
    let program = program
        .filter(|program| program.section.program_type == ProgramType::STRUCT_OPS)
        .ok_or_else(|| format!("its member `{name}` is no program of a section `struct_ops`"))?;
    match members.iter().find(|(known, _)| *known == start) {
        Some((_, recorded)) if (recorded.structure, recorded.index) != (member.structure, member.index) => {
            Err(format!("its member `{name}` is the program `{}`, which already is another member", program.name))
        }
        Some(_) => Ok(()),
        None => {
            members.push((start, member));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Object,
        btf::{Kind, tests::Builder},
    };

    /// Builds the BTF of a kernel with `struct tcp_congestion_ops`, which has a name and four functions.
    fn kernel() -> Vec<u8> {
        let mut built = Builder::new();
        built.int("char", 1, 1).ty("", Kind::Array, 0, 0, &[1, 1, 16]).ty("", Kind::FuncProto, 0, 0, &[]).ty(
            "",
            Kind::Ptr,
            0,
            3,
            &[],
        );
        let mut members = vec![built.name("name"), 2, 0];
        for (index, name) in (0..).zip(["init", "ssthresh", "undo_cwnd", "cong_avoid"]) {
            members.extend([built.name(name), 4, (16 + index * 8) * 8]);
        }
        built.ty("tcp_congestion_ops", Kind::Struct, 5, 48, &members);
        let data = [built.name("data"), 5, 8 * 8];
        built.ty("bpf_struct_ops_tcp_congestion_ops", Kind::Struct, 1, 56, &data);
        built.bytes()
    }

    #[test]
    fn program_at_no_member_is_refused() {
        let path = format!("{}/../tests/corpus/kinds/struct_ops.o", env!("CARGO_MANIFEST_DIR"));
        let mut object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
        let fitted = object.dry_run(&kernel()).unwrap();
        assert!(fitted.maps.iter().any(|map| map.name == "table" && map.value_size == 56));
        let table = object.map_mut("table").unwrap().struct_ops.as_mut().unwrap();
        let start = table.programs[0].1;
        table.programs.push((3, start));
        let line = object.dry_run(&kernel()).unwrap_err().to_string();
        assert!(line.contains("`table`") && line.contains("not the start of a member"), "{line}");
    }
}
