//! `union bpf_attr`, one structure for each command, written by hand after `include/uapi/linux/bpf.h`.
//!
//! The kernel takes a pointer and a size. It accepts a structure shorter than its own (the rest is zero) and a longer
//! one if all the bytes it does not know are zero, which is how the same program runs on kernels a decade apart. So each
//! structure here ends where our knowledge of the command ends, is made by `Default` with every byte zero, and sets only
//! what it needs.
//!
//! No structure has padding: [`Attr`] is implemented by a macro that checks so, since padding would be uninitialised
//! bytes shown to the kernel.

mod field;

use log::kv;

use self::field::tell;
pub(crate) use self::field::{Name, Pointer};
use cutaway_sys::AttachType;

use super::symbols::{MapFlagBits, ProgFlagBits};
use crate::{MapType, ProgramType};

/// One command's part of `union bpf_attr`.
pub(super) trait Attr: kv::Source {}

macro_rules! attr {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        #[repr(C)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $type,)* }

        // The sum of the fields is the whole: no padding.
        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*);

        impl Attr for $name {}

        impl kv::Source for $name {
            fn visit<'kvs>(&'kvs self, visitor: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
                tell(&[$((stringify!($field), &self.$field),)*], visitor)
            }
        }
    )*};
}

attr! {
    /// `BPF_MAP_CREATE`
    struct MapCreate {
        map_type: MapType,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: MapFlagBits,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: Name,
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
        value_type_btf_obj_fd: u32,
        map_token_fd: u32,
    }

    /// `BPF_MAP_LOOKUP_ELEM`, `BPF_MAP_UPDATE_ELEM`, `BPF_MAP_DELETE_ELEM`, `BPF_MAP_GET_NEXT_KEY` and `BPF_MAP_FREEZE`
    struct MapElem {
        map_fd: u32,
        padding: u32,
        key: Pointer,
        /// The value, or the next key.
        value: Pointer,
        flags: u64,
    }

    /// `BPF_MAP_LOOKUP_BATCH` and its relatives
    struct MapBatch {
        in_batch: Pointer,
        out_batch: Pointer,
        keys: Pointer,
        values: Pointer,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }

    /// `BPF_PROG_LOAD`
    struct ProgLoad {
        prog_type: ProgramType,
        insn_cnt: u32,
        insns: Pointer,
        license: Pointer,
        log_level: u32,
        log_size: u32,
        log_buf: Pointer,
        kern_version: u32,
        prog_flags: ProgFlagBits,
        prog_name: Name,
        prog_ifindex: u32,
        expected_attach_type: AttachType,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: Pointer,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: Pointer,
        line_info_cnt: u32,
        attach_btf_id: u32,
        /// The program to be replaced, or the BTF of the module that `attach_btf_id` counts in; 0 for the kernel's own.
        attach_btf_obj_fd: u32,
        core_relo_cnt: u32,
        /// Descriptors that instructions name by their place here: BTF of modules (5.14).
        fd_array: Pointer,
    }

    /// `BPF_BTF_LOAD`
    struct BtfLoad {
        btf: Pointer,
        btf_log_buf: Pointer,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        padding: u32,
    }

    /// `BPF_LINK_CREATE` for what needs no more than these: cgroups, network devices and namespaces
    struct LinkCreate {
        prog_fd: u32,
        /// A descriptor, or the index of a network device.
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
    }

    /// `BPF_LINK_CREATE` for a perf event (`BPF_PERF_EVENT`)
    struct LinkCreatePerfEvent {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        bpf_cookie: u64,
    }

    /// `BPF_LINK_CREATE` for what `attach_btf_id` named when the program was loaded
    struct LinkCreateTracing {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        target_btf_id: u32,
        padding: u32,
        cookie: u64,
    }

    /// `BPF_LINK_CREATE` for an iterator (`BPF_TRACE_ITER`)
    struct LinkCreateIter {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        iter_info: Pointer,
        iter_info_len: u32,
        padding: u32,
    }

    /// `BPF_LINK_CREATE` for many functions of the kernel (`BPF_TRACE_KPROBE_MULTI`)
    struct LinkCreateKprobeMulti {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        kprobe_multi_flags: u32,
        cnt: u32,
        syms: Pointer,
        addrs: Pointer,
        cookies: Pointer,
    }

    /// `BPF_LINK_CREATE` for many places of one file (`BPF_TRACE_UPROBE_MULTI`)
    struct LinkCreateUprobeMulti {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        path: Pointer,
        offsets: Pointer,
        ref_ctr_offsets: Pointer,
        cookies: Pointer,
        cnt: u32,
        uprobe_multi_flags: u32,
        pid: u32,
        padding: u32,
    }

    /// `BPF_LINK_CREATE` for a hook of netfilter (`BPF_NETFILTER`)
    struct LinkCreateNetfilter {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        pf: u32,
        hooknum: u32,
        priority: i32,
        netfilter_flags: u32,
    }

    /// `BPF_ITER_CREATE`
    struct IterCreate {
        link_fd: u32,
        flags: u32,
    }

    /// `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`
    struct ProgAttach {
        target_fd: u32,
        attach_bpf_fd: u32,
        attach_type: AttachType,
        attach_flags: u32,
    }

    /// `BPF_RAW_TRACEPOINT_OPEN`
    struct RawTracepointOpen {
        name: Pointer,
        prog_fd: u32,
        padding: u32,
        cookie: u64,
    }

    /// `BPF_PROG_TEST_RUN`; the kernel writes its answers into the same structure
    struct ProgTestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: Pointer,
        data_out: Pointer,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: Pointer,
        ctx_out: Pointer,
    }

    /// `BPF_PROG_TEST_RUN` as far as Linux 5.10 added to it where to run a raw tracepoint's program.
    struct ProgTestRunOn {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: Pointer,
        data_out: Pointer,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: Pointer,
        ctx_out: Pointer,
        flags: u32,
        cpu: u32,
    }

    /// `struct bpf_map_info` up to what 5.16 added; older kernels leave the end as it is, 0
    struct MapInfo {
        map_type: MapType,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        name: Name,
        ifindex: u32,
        btf_vmlinux_value_type_id: u32,
        netns_dev: u64,
        netns_ino: u64,
        btf_id: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_id: u32,
        map_extra: u64,
    }

    /// `BPF_ENABLE_STATS`
    struct EnableStats {
        stats_type: u32,
    }

    /// `struct bpf_prog_info` up to the statistics of its runs (5.1)
    struct ProgStatistics {
        /// Kind, number, name, and the lists that can be asked for: none of them is.
        before: [u64; 24],
        run_time_ns: u64,
        run_cnt: u64,
    }

    /// `BPF_OBJ_PIN` and `BPF_OBJ_GET`
    struct Obj {
        pathname: Pointer,
        bpf_fd: u32,
        file_flags: u32,
    }

    /// `struct bpf_btf_info`
    struct BtfInfo {
        btf: Pointer,
        btf_size: u32,
        id: u32,
        name: Pointer,
        name_len: u32,
        kernel_btf: u32,
    }

    /// `struct bpf_prog_info`, the part that every kernel since 5.0 fills
    struct ProgInfo {
        prog_type: ProgramType,
        id: u32,
        tag: u64,
        jited_prog_len: u32,
        xlated_prog_len: u32,
        jited_prog_insns: Pointer,
        xlated_prog_insns: Pointer,
        load_time: u64,
        created_by_uid: u32,
        nr_map_ids: u32,
        map_ids: Pointer,
        name: Name,
        ifindex: u32,
        gpl_compatible: u32,
        netns_dev: u64,
        netns_ino: u64,
        nr_jited_ksyms: u32,
        nr_jited_func_lens: u32,
        jited_ksyms: Pointer,
        jited_func_lens: Pointer,
        btf_id: u32,
        func_info_rec_size: u32,
    }

    /// `BPF_TASK_FD_QUERY`; the kernel writes its answers into the same structure
    struct TaskFdQuery {
        pid: u32,
        fd: u32,
        flags: u32,
        buf_len: u32,
        buf: Pointer,
        prog_id: u32,
        fd_type: u32,
        probe_offset: u64,
        probe_addr: u64,
    }

    /// `BPF_{MAP,PROG,BTF}_GET_NEXT_ID` and `BPF_{MAP,PROG,BTF}_GET_FD_BY_ID`
    struct GetId {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }

    /// `BPF_OBJ_GET_INFO_BY_FD`
    struct ObjGetInfo {
        bpf_fd: u32,
        info_len: u32,
        info: Pointer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_kernels() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(MapCreate, map_name), 28);
        assert_eq!(offset_of!(MapCreate, btf_fd), 48);
        assert_eq!(offset_of!(MapCreate, map_extra), 64);
        assert_eq!(offset_of!(MapBatch, map_fd), 36);
        assert_eq!(offset_of!(ProgLoad, log_buf), 32);
        assert_eq!(offset_of!(ProgLoad, prog_name), 48);
        assert_eq!(offset_of!(ProgLoad, func_info), 80);
        assert_eq!(offset_of!(ProgLoad, line_info), 96);
        assert_eq!(offset_of!(ProgLoad, attach_btf_id), 108);
        assert_eq!(offset_of!(ProgLoad, attach_btf_obj_fd), 112);
        assert_eq!(offset_of!(ProgLoad, fd_array), 120);
        assert_eq!(offset_of!(LinkCreatePerfEvent, bpf_cookie), 16);
        assert_eq!(offset_of!(LinkCreateTracing, cookie), 24);
        assert_eq!(offset_of!(LinkCreateIter, iter_info_len), 24);
        assert_eq!(offset_of!(LinkCreateKprobeMulti, cookies), 40);
        assert_eq!(offset_of!(LinkCreateUprobeMulti, pid), 56);
        assert_eq!(offset_of!(LinkCreateNetfilter, netfilter_flags), 28);
        assert_eq!(offset_of!(RawTracepointOpen, cookie), 16);
        assert_eq!(offset_of!(ProgTestRun, ctx_out), 56);
        assert_eq!(offset_of!(ProgTestRunOn, cpu), 68);
        assert_eq!(offset_of!(ProgStatistics, run_time_ns), offset_of!(aya_obj::generated::bpf_prog_info, run_time_ns));
        assert_eq!(offset_of!(ProgStatistics, run_cnt), offset_of!(aya_obj::generated::bpf_prog_info, run_cnt));
        assert_eq!(offset_of!(MapInfo, map_extra), offset_of!(aya_obj::generated::bpf_map_info, map_extra));
        assert_eq!(offset_of!(ProgInfo, map_ids), 56);
        assert_eq!(offset_of!(ProgInfo, btf_id), 128);
        assert_eq!(offset_of!(TaskFdQuery, prog_id), 24);
    }
}
