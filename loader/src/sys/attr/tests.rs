//! Offsets of fields in the kernel's structures.

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
    assert_eq!(offset_of!(MapCreate, map_token_fd), 76);
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

#[test]
#[cfg(feature = "token")]
fn offsets_for_tokens_are_the_kernels() {
    use std::mem::offset_of;
    assert_eq!(offset_of!(ProgLoadWithToken, prog_token_fd), 144);
    assert_eq!(offset_of!(BtfLoadWithToken, btf_token_fd), 36);
    assert_eq!(offset_of!(TokenCreate, bpffs_fd), 4);
    assert_eq!(size_of::<TokenInfo>(), 32);
}
