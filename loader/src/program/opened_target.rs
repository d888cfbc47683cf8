//! The target of a program that is already in the kernel, by its BTF id (`attach_btf_id`, Linux 6.0).

use std::os::fd::AsFd;

use log::debug;

use crate::{
    AttachType, ProgramType, Section, Target,
    btf::{Broken, Btf, Kind, Type, kernel},
    sys::btf,
};

/// Sets the target, and the attach type where the target's name tells it. Changes nothing if the BTF cannot be read:
/// that of modules and programs takes CAP_SYS_ADMIN.
pub(super) fn find(object: u32, id: u32, section: &mut Section) {
    match named(object, id) {
        Ok((kind, name)) => set(kind, &name, section),
        Err(why) => debug!("the target of the program is unknown: {why}"),
    }
}

/// Returns the kind and the name of a type.
fn named(object: u32, id: u32) -> Result<(Kind, String), String> {
    let broken = |error: Broken| error.to_string();
    let of = |ty: Type<'_>| (ty.kind(), ty.name().into_owned());
    let (owner, name) = btf::opened(object).map_err(|error| error.to_string())?;
    if name.is_empty() {
        // The BTF of a program.
        let bytes = btf::read(owner.as_fd()).map_err(|error| error.to_string())?;
        return Ok(of(Btf::parse(&bytes).map_err(broken)?.ty(id)));
    }
    let bytes = kernel::Bytes::vmlinux().map_err(|error| error.to_string())?;
    let base = Btf::parse(&bytes).map_err(broken)?;
    if name == "vmlinux" {
        return Ok(of(base.ty(id)));
    }
    let bytes = kernel::Bytes::module(&name).map_err(|error| error.to_string())?;
    Ok(of(Btf::parse_split(&bytes, &base).map_err(broken)?.ty(id)))
}

fn set(kind: Kind, name: &str, section: &mut Section) {
    let (attach_type, name) = match (section.program_type, kind) {
        (ProgramType::LSM, _) => (section.expected_attach_type, name.strip_prefix("bpf_lsm_")),
        (ProgramType::TRACING, Kind::Typedef) => (AttachType::TRACE_RAW_TP, name.strip_prefix("btf_trace_")),
        // The kernel's function without arguments, for which programs on many functions are verified. The kernel does
        // not record the functions.
        (ProgramType::TRACING, _) if name == "bpf_multi_func" => return,
        (ProgramType::TRACING, _) => match name.strip_prefix("bpf_iter_") {
            Some(name) => (AttachType::TRACE_ITER, Some(name)),
            // On entry or return: all such programs are attached in the same manner.
            None => (section.expected_attach_type, Some(name)),
        },
        (ProgramType::EXT, _) => (section.expected_attach_type, Some(name)),
        _ => return,
    };
    if let Some(name) = name {
        section.expected_attach_type = attach_type;
        section.target = Some(Target::Btf { name: name.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_type_gives_the_target() {
        for (program_type, kind, name, attach_type, target) in [
            (ProgramType::TRACING, Kind::Func, "bpf_iter_task", AttachType::TRACE_ITER, Some("task")),
            (ProgramType::TRACING, Kind::Typedef, "btf_trace_sys_enter", AttachType::TRACE_RAW_TP, Some("sys_enter")),
            (ProgramType::TRACING, Kind::Func, "vfs_read", AttachType::default(), Some("vfs_read")),
            (ProgramType::TRACING, Kind::Func, "bpf_multi_func", AttachType::default(), None),
            (ProgramType::LSM, Kind::Func, "bpf_lsm_file_open", AttachType::LSM_MAC, Some("file_open")),
            (ProgramType::EXT, Kind::Func, "allowed", AttachType::default(), Some("allowed")),
            (ProgramType::XDP, Kind::Func, "f", AttachType::XDP, None),
        ] {
            let mut section = Section::of_kernel(program_type);
            set(kind, name, &mut section);
            let target = target.map(|name| Target::Btf { name: name.to_owned() });
            assert_eq!((section.expected_attach_type, section.target), (attach_type, target), "{name}");
        }
    }
}
