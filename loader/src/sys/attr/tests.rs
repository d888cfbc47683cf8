//! Offsets of fields in the kernel's structures.

use super::*;

#[test]
fn offsets_are_the_kernels() {
    use std::mem::offset_of;
    assert_eq!(offset_of!(MapCreate, map_name), 28);
    assert_eq!(offset_of!(MapCreate, btf_fd), 48);
    assert_eq!(offset_of!(MapCreate, map_extra), 64);
    assert_eq!(offset_of!(MapCreate, excl_prog_hash), 80);
    assert_eq!(offset_of!(MapCreate, excl_prog_hash_size), 88);
    assert_eq!((offset_of!(CommonAttr, log_true_size), size_of::<CommonAttr>()), (16, 24));
    assert_eq!(offset_of!(MapBatch, map_fd), 36);
    assert_eq!(offset_of!(ProgLoad, log_buf), 32);
    assert_eq!(offset_of!(ProgLoad, prog_name), 48);
    assert_eq!(offset_of!(ProgLoad, func_info), 80);
    assert_eq!(offset_of!(ProgLoad, line_info), 96);
    assert_eq!(offset_of!(ProgLoad, attach_btf_id), 108);
    assert_eq!(offset_of!(ProgLoad, attach_btf_obj_fd), 112);
    assert_eq!(offset_of!(ProgLoad, fd_array), 120);
    assert_eq!(offset_of!(MapCreate, map_token_fd), 76);
    assert_eq!(offset_of!(LinkCreatePerfEvent, bpf_cookie), 16);
    assert_eq!(offset_of!(LinkCreateTracing, cookie), 24);
    assert_eq!(offset_of!(LinkCreateIter, iter_info_len), 24);
    assert_eq!(offset_of!(LinkCreateKprobeMulti, cookies), 40);
    assert_eq!(offset_of!(LinkCreateUprobeMulti, pid), 56);
    assert_eq!(offset_of!(LinkCreateNetfilter, netfilter_flags), 28);
    assert_eq!(offset_of!(RawTracepointOpen, cookie), 16);
    assert_eq!(offset_of!(ProgTestRun, ctx_out), 56);
    assert_eq!(offset_of!(ProgTestRun, cpu), 68);
    assert_eq!(offset_of!(ProgStatistics, run_time_ns), offset_of!(aya_obj::generated::bpf_prog_info, run_time_ns));
    assert_eq!(offset_of!(ProgStatistics, run_cnt), offset_of!(aya_obj::generated::bpf_prog_info, run_cnt));
    assert_eq!(offset_of!(MapInfo, map_extra), offset_of!(aya_obj::generated::bpf_map_info, map_extra));
    assert_eq!(offset_of!(ProgInfo, map_ids), 56);
    assert_eq!(offset_of!(ProgInfo, btf_id), 128);
    assert_eq!(offset_of!(ProgTestRun, batch_size), 72);
    assert_eq!(offset_of!(ProgLoad, prog_token_fd), 144);
    assert_eq!(offset_of!(ProgLoad, fd_array_cnt), 148);
    assert_eq!(offset_of!(LinkCreateTracingMulti, ids), 16);
    assert_eq!(offset_of!(LinkCreateTracingMulti, cnt), 32);
    assert_eq!(offset_of!(ProgStreamRead, prog_fd), 16);
    assert_eq!(offset_of!(ProgBindMap, map_fd), 4);
    assert_eq!(offset_of!(ProgAssocStructOps, prog_fd), 4);
    assert_eq!(offset_of!(ProgInfo, jited_line_info), offset_of!(aya_obj::generated::bpf_prog_info, jited_line_info));
    assert_eq!(offset_of!(ProgInfo, verified_insns), offset_of!(aya_obj::generated::bpf_prog_info, verified_insns));
    assert_eq!(offset_of!(ProgInfo, attach_btf_id), offset_of!(aya_obj::generated::bpf_prog_info, attach_btf_id));
    assert_eq!(offset_of!(TaskFdQuery, prog_id), 24);
    assert_eq!(offset_of!(LinkCreateUprobeMulti, path_fd), 60);
    assert_eq!(offset_of!(LinkCreateAt, relative_fd), 16);
    assert_eq!(offset_of!(LinkCreateAt, expected_revision), 24);
    assert_eq!(offset_of!(ProgAttach, replace_bpf_fd), 16);
    assert_eq!(offset_of!(ProgAttach, expected_revision), 24);
    assert_eq!(offset_of!(ProgQuery, prog_attach_flags), 32);
    assert_eq!(offset_of!(ProgQuery, revision), 56);
    assert_eq!(offset_of!(Obj, path_fd), 16);
    assert_eq!(offset_of!(LinkInfo, words), offset_of!(aya_obj::generated::bpf_link_info, __bindgen_anon_1));
}

#[test]
fn offsets_for_tokens_are_the_kernels() {
    use std::mem::offset_of;
    assert_eq!(offset_of!(BtfLoadWithToken, btf_token_fd), 36);
    assert_eq!(offset_of!(TokenCreate, bpffs_fd), 4);
    assert_eq!(size_of::<TokenInfo>(), 32);
}
