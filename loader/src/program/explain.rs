//! Explains a verifier's sentence by the causes that the loader knows: a relocation, a function that this kernel lacks,
//! the license.

use super::Shared;
use crate::{btf::shown, core_relo::unresolved, privileges, sys::bpf};
use cutaway_sys::{AttachType, names::nth};

/// Returns the sentence as it is reported.
pub(super) fn explained(sentence: &str, program: &bpf::Program<'_>, shared: &Shared<'_>) -> String {
    if cfg!(feature = "core-relo")
        && let Some(relocation) = unresolved(sentence, &shared.resolved.applied)
    {
        return format!("it needs what this kernel does not have: {relocation}");
    }
    if let Some(function) = shared.resolved.externs.missed(sentence) {
        return format!("it calls the kernel's function `{function}`, which this kernel does not have");
    }
    if let Some(text) = privileges::under_lockdown(sentence) {
        return text;
    }
    let text = shown(sentence.as_bytes()).into_owned();
    if !cfg!(feature = "advice") {
        return text;
    }
    if is_about_the_license(sentence)
        && let Some(fault) = shared.license_fault
    {
        // Drop the end of the sentence: the fault also says that the program is not GPL-compatible.
        return format!("{}: {fault}", text.split(" from non-GPL").next().unwrap_or(&text));
    }
    // Older kernels take such a program for one whose function is not named, or that may not sleep.
    let is_multi = matches!(
        program.expected_attach_type,
        AttachType::TRACE_FENTRY_MULTI | AttachType::TRACE_FEXIT_MULTI | AttachType::TRACE_FSESSION_MULTI
    );
    if is_multi
        && (sentence.starts_with("Tracing programs must provide btf_id") || sentence.contains("can be sleepable"))
    {
        return "this kernel has no links on many functions by BTF id, which `fentry.multi`, `fexit.multi` and \
                `fsession.multi` need (7.3 has them)"
            .to_owned();
    }
    match helper(sentence) {
        Some(more) => format!("{text}: {more}"),
        None => text,
    }
}

/// Returns true if the verifier refuses a program because of its object's license (`cannot call GPL-restricted function
/// from non-GPL compatible program`).
pub(super) fn is_about_the_license(sentence: &str) -> bool {
    sentence.contains("GPL")
}

/// Returns the name of a helper that the kernel does not know or does not name, and the first kernel version that has
/// it.
///
/// The sentences are `invalid func unknown#211`, `invalid func bpf_loop#181` and `unknown func bpf_loop#181`, on later
/// kernels `program of this type cannot use helper bpf_loop#181`.
fn helper(sentence: &str) -> Option<String> {
    let is_unknown = sentence.starts_with("invalid func ") || sentence.starts_with("unknown func ");
    let (before, number) = sentence.rsplit_once('#').filter(|_| is_unknown)?;
    let number: usize = number.trim().parse().ok()?;
    let index = number.checked_sub(FIRST)?;
    // Larger numbers encode a missing symbol, and have no meaning for the user.
    if (LAST + 1..=MOST).contains(&number) {
        return Some(format!("no kernel has a helper {number}; the last is {LAST}"));
    }
    let name = nth(NAMES, index)?;
    let since = SINCE.iter().rev().find(|(first, _)| *first <= number).map(|(_, version)| version)?;
    let name = if before.ends_with(name) { "it".to_owned() } else { format!("helper {number} is {name}; it") };
    Some(format!("{name} exists since Linux {since}, and not for every type of program"))
}

/// The first helper that Linux 5.5 does not have.
const FIRST: usize = 116;

/// The last helper.
const LAST: usize = 211;
/// An upper bound of any future helper number.
const MOST: usize = 4096;

/// The first helper of each version (`include/uapi/linux/bpf.h`).
const SINCE: &[(usize, &str)] = &[
    (116, "5.6"),
    (119, "5.7"),
    (125, "5.8"),
    (136, "5.9"),
    (142, "5.10"),
    (156, "5.11"),
    (163, "5.12"),
    (164, "5.13"),
    (166, "5.14"),
    (169, "5.15"),
    (176, "5.16"),
    (180, "5.17"),
    (186, "5.18"),
    (194, "5.19"),
    (204, "6.0"),
    (208, "6.1"),
    (210, "6.2"),
];

/// The helpers' names. No helper has been added after the last one; newer functions are kfuncs, which are called by
/// name.
const NAMES: &str = "bpf_tcp_send_ack bpf_send_signal_thread bpf_jiffies64 bpf_read_branch_records \
    bpf_get_ns_current_pid_tgid bpf_xdp_output bpf_get_netns_cookie bpf_get_current_ancestor_cgroup_id \
    bpf_sk_assign bpf_ktime_get_boot_ns bpf_seq_printf bpf_seq_write bpf_sk_cgroup_id \
    bpf_sk_ancestor_cgroup_id bpf_ringbuf_output bpf_ringbuf_reserve bpf_ringbuf_submit \
    bpf_ringbuf_discard bpf_ringbuf_query bpf_csum_level bpf_skc_to_tcp6_sock bpf_skc_to_tcp_sock \
    bpf_skc_to_tcp_timewait_sock bpf_skc_to_tcp_request_sock bpf_skc_to_udp6_sock bpf_get_task_stack \
    bpf_load_hdr_opt bpf_store_hdr_opt bpf_reserve_hdr_opt bpf_inode_storage_get \
    bpf_inode_storage_delete bpf_d_path bpf_copy_from_user bpf_snprintf_btf bpf_seq_printf_btf \
    bpf_skb_cgroup_classid bpf_redirect_neigh bpf_per_cpu_ptr bpf_this_cpu_ptr bpf_redirect_peer \
    bpf_task_storage_get bpf_task_storage_delete bpf_get_current_task_btf bpf_bprm_opts_set \
    bpf_ktime_get_coarse_ns bpf_ima_inode_hash bpf_sock_from_file bpf_check_mtu bpf_for_each_map_elem \
    bpf_snprintf bpf_sys_bpf bpf_btf_find_by_name_kind bpf_sys_close bpf_timer_init \
    bpf_timer_set_callback bpf_timer_start bpf_timer_cancel bpf_get_func_ip bpf_get_attach_cookie \
    bpf_task_pt_regs bpf_get_branch_snapshot bpf_trace_vprintk bpf_skc_to_unix_sock \
    bpf_kallsyms_lookup_name bpf_find_vma bpf_loop bpf_strncmp bpf_get_func_arg bpf_get_func_ret \
    bpf_get_func_arg_cnt bpf_get_retval bpf_set_retval bpf_xdp_get_buff_len bpf_xdp_load_bytes \
    bpf_xdp_store_bytes bpf_copy_from_user_task bpf_skb_set_tstamp bpf_ima_file_hash bpf_kptr_xchg \
    bpf_map_lookup_percpu_elem bpf_skc_to_mptcp_sock bpf_dynptr_from_mem bpf_ringbuf_reserve_dynptr \
    bpf_ringbuf_submit_dynptr bpf_ringbuf_discard_dynptr bpf_dynptr_read bpf_dynptr_write \
    bpf_dynptr_data bpf_tcp_raw_gen_syncookie_ipv4 bpf_tcp_raw_gen_syncookie_ipv6 \
    bpf_tcp_raw_check_syncookie_ipv4 bpf_tcp_raw_check_syncookie_ipv6 bpf_ktime_get_tai_ns \
    bpf_user_ringbuf_drain bpf_cgrp_storage_get bpf_cgrp_storage_delete";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helper_names_match_their_numbers() {
        for helper in cutaway_programs::Helper::ALL {
            let index = (*helper as usize).checked_sub(FIRST);
            assert_eq!(index.and_then(|index| nth(NAMES, index)), index.map(|_| helper.name()), "{helper:?}");
        }
        assert_eq!((nth(NAMES, LAST - FIRST).is_some(), nth(NAMES, LAST + 1 - FIRST)), (true, None));
    }

    #[test]
    fn unknown_helper_is_named_with_its_version() {
        let text =
            "helper 211 is bpf_cgrp_storage_delete; it exists since Linux 6.2, and not for every type of program";
        assert_eq!(helper("invalid func unknown#211").as_deref(), Some(text));
        let text = "it exists since Linux 5.17, and not for every type of program";
        assert_eq!(helper("unknown func bpf_loop#181").as_deref(), Some(text));
        assert_eq!(helper("invalid func unknown#500").as_deref(), Some("no kernel has a helper 500; the last is 211"));
        for sentence in
            ["invalid func unknown#195896081", "invalid func unknown#0", "invalid func unknown#-1", "R0 !read_ok"]
        {
            assert_eq!(helper(sentence), None, "{sentence}");
        }
    }
}
