//! The attributes of each command of bpf(2).

use cutaway_sys::AttachType;
use log::kv;

#[cfg(feature = "token")]
use super::field::Field;
use super::{
    define::{Attr, attr},
    field::{Name, Pointer, Written, log_fields},
};
use crate::{
    MapType, ProgramType,
    sys::constant_names::{AttachFlagBits, MapFlagBits, ObjFlagBits, ProgFlagBits},
};

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
        /// The SHA-256 of the only program that may use the map (6.18).
        excl_prog_hash: Pointer,
        excl_prog_hash_size: u32,
        padding: u32,
    }

    /// `struct bpf_common_attr`: the fourth argument of bpf(2), with `BPF_COMMON_ATTRS` in the command
    struct CommonAttr {
        log_buf: Pointer,
        log_size: u32,
        log_level: u32,
        log_true_size: Written,
        padding: u32,
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
        /// The fd of the program to be replaced, or of the BTF of the module that `attach_btf_id` belongs to; 0 for
        /// vmlinux.
        attach_btf_obj_fd: u32,
        core_relo_cnt: u32,
        /// File descriptors that instructions refer to by index: BTF of modules (5.14).
        fd_array: Pointer,
        core_relos: Pointer,
        core_relo_rec_size: u32,
        log_true_size: Written,
        prog_token_fd: u32,
        /// The length of `fd_array`: all maps in it are bound to the program (6.14).
        fd_array_cnt: u32,
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

    /// `BPF_LINK_CREATE` without further fields: cgroups, network devices and namespaces
    struct LinkCreate {
        prog_fd: u32,
        /// A file descriptor, or the index of a network device.
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
    }

    /// `BPF_LINK_CREATE` at a position among the programs of a target: tcx, netkit (6.6), cgroups (6.17)
    struct LinkCreateAt {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: AttachFlagBits,
        /// A file descriptor, or an id with `BPF_F_ID`.
        relative_fd: u32,
        padding: u32,
        expected_revision: u64,
    }

    /// `BPF_LINK_CREATE` for a perf event (`BPF_PERF_EVENT`)
    struct LinkCreatePerfEvent {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        bpf_cookie: u64,
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

    /// `BPF_LINK_CREATE` for many locations of one file (`BPF_TRACE_UPROBE_MULTI`)
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
        /// The file, with `BPF_F_UPROBE_MULTI_PATH_FD` (7.2) and no `path`.
        path_fd: u32,
    }

    /// `BPF_ITER_CREATE`
    struct IterCreate {
        link_fd: u32,
        flags: u32,
    }

    /// `BPF_RAW_TRACEPOINT_OPEN`
    struct RawTracepointOpen {
        name: Pointer,
        prog_fd: u32,
        padding: u32,
        cookie: u64,
    }

    /// `BPF_PROG_BIND_MAP`
    struct ProgBindMap {
        prog_fd: u32,
        map_fd: u32,
        flags: u32,
    }

    /// `BPF_PROG_ASSOC_STRUCT_OPS`
    struct ProgAssocStructOps {
        map_fd: u32,
        prog_fd: u32,
        flags: u32,
    }

    /// `BPF_OBJ_PIN` and `BPF_OBJ_GET`
    struct Obj {
        pathname: Pointer,
        bpf_fd: u32,
        file_flags: ObjFlagBits,
        /// The directory that the path is relative to, with `BPF_F_PATH_FD` (6.5).
        path_fd: u32,
        padding: u32,
    }

    /// `BPF_TASK_FD_QUERY`; the kernel writes the results into the same structure
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

    /// `BPF_{MAP,PROG,BTF,LINK}_GET_NEXT_ID` and `BPF_{MAP,PROG,BTF,LINK}_GET_FD_BY_ID`
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

#[cfg(feature = "elements")]
attr! {
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
}

#[cfg(feature = "tracing")]
attr! {
    /// `BPF_LINK_CREATE` for the target of `attach_btf_id`, which was set when the program was loaded
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

    /// `BPF_LINK_CREATE` for many functions by their BTF ids (`BPF_TRACE_FENTRY_MULTI` and its relatives)
    struct LinkCreateTracingMulti {
        prog_fd: u32,
        target_fd: u32,
        attach_type: AttachType,
        flags: u32,
        ids: Pointer,
        cookies: Pointer,
        cnt: u32,
        padding: u32,
    }
}

#[cfg(feature = "network")]
attr! {
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
}

#[cfg(any(feature = "links", feature = "struct-ops"))]
attr! {
    /// `BPF_LINK_UPDATE`; for a struct_ops map the fds are those of maps
    struct LinkUpdate {
        link_fd: u32,
        new_prog_fd: u32,
        flags: AttachFlagBits,
        old_prog_fd: u32,
    }
}

#[cfg(feature = "links")]
attr! {
    /// `BPF_LINK_DETACH`
    struct LinkDetach {
        link_fd: u32,
    }
}

#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
attr! {
    /// `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`
    struct ProgAttach {
        /// A file descriptor, or the index of a network device.
        target_fd: u32,
        attach_bpf_fd: u32,
        attach_type: AttachType,
        attach_flags: AttachFlagBits,
        /// The program to be replaced (5.6).
        replace_bpf_fd: u32,
        /// A file descriptor, or an id with `BPF_F_ID` (6.6).
        relative_fd: u32,
        expected_revision: u64,
    }

    /// `BPF_PROG_QUERY`; the kernel writes the results into the same structure
    struct ProgQuery {
        target_fd: u32,
        attach_type: AttachType,
        query_flags: u32,
        attach_flags: AttachFlagBits,
        prog_ids: Pointer,
        count: u32,
        padding: u32,
        /// Linux 6.0.
        prog_attach_flags: Pointer,
        /// Linux 6.6, as the fields after it.
        link_ids: Pointer,
        link_attach_flags: Pointer,
        revision: u64,
    }
}

#[cfg(any(feature = "perf", feature = "test-run"))]
attr! {
    /// `BPF_PROG_TEST_RUN`; the kernel writes the results into the same structure
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
        /// `BPF_F_TEST_…` (5.10).
        test_flags: u32,
        cpu: u32,
        /// Packets at once, of live frames (5.18).
        batch_size: u32,
        padding: u32,
    }
}

#[cfg(feature = "info")]
attr! {
    /// `BPF_PROG_STREAM_READ_BY_FD`
    struct ProgStreamRead {
        stream_buf: Pointer,
        stream_buf_len: u32,
        stream_id: u32,
        prog_fd: u32,
        padding: u32,
    }

    /// `BPF_ENABLE_STATS`
    struct EnableStats {
        stats_type: u32,
    }
}

/// Logs the fields of the structure that [`BtfLoadWithToken`] begins with.
#[cfg(feature = "token")]
impl Field for BtfLoad {
    fn is_given(&self) -> bool {
        true
    }

    fn visit<'kvs>(&'kvs self, _: &'static str, to: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        kv::Source::visit(self, to)
    }
}

#[cfg(feature = "token")]
attr! {
    /// `BPF_BTF_LOAD` with a token
    struct BtfLoadWithToken {
        load: BtfLoad,
        btf_flags: u32,
        btf_token_fd: u32,
    }

    /// `BPF_TOKEN_CREATE`
    struct TokenCreate {
        flags: u32,
        bpffs_fd: u32,
    }
}
