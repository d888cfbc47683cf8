//! The results of `BPF_OBJ_GET_INFO_BY_FD`.

use log::kv;

use super::{
    define::{Attr, attr},
    field::{Name, Pointer, log_fields},
};
use crate::{MapType, ProgramType};

attr! {
    /// `struct bpf_map_info` with the fields of Linux 5.16; older kernels leave the last ones 0
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

    /// `struct bpf_prog_info` with the run statistics (5.1)
    struct ProgStatistics {
        /// Type, id, name and the addresses of lists, which stay 0, so that the kernel fills none of the lists.
        before: [u64; 24],
        run_time_ns: u64,
        run_cnt: u64,
    }

    /// `struct bpf_link_info`; the fields after `prog_id` depend on the type
    struct LinkInfo {
        link_type: u32,
        id: u32,
        prog_id: u32,
        padding: u32,
        words: [u64; 6],
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

    /// `struct bpf_prog_info`; older kernels leave the last fields 0
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
        func_info: Pointer,
        nr_func_info: u32,
        nr_line_info: u32,
        line_info: Pointer,
        jited_line_info: Pointer,
        nr_jited_line_info: u32,
        line_info_rec_size: u32,
        jited_line_info_rec_size: u32,
        nr_prog_tags: u32,
        prog_tags: Pointer,
        run_time_ns: u64,
        run_cnt: u64,
        /// 5.12
        recursion_misses: u64,
        /// 5.16
        verified_insns: u32,
        /// 6.0, like the next
        attach_btf_obj_id: u32,
        attach_btf_id: u32,
        padding: u32,
    }
}

#[cfg(feature = "token")]
attr! {
    /// `struct bpf_token_info` (6.17): a bit for each delegated command and type
    struct TokenInfo {
        allowed_cmds: u64,
        allowed_maps: u64,
        allowed_progs: u64,
        allowed_attachs: u64,
    }
}
