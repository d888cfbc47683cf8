//! Checks each transport: loads it, opens its buffer, attaches its programs and detaches them.

use cutaway_programs::getaddrinfo::Transport;

use super::finding::Finding;

pub(super) fn findings() -> Vec<Finding> {
    Transport::ALL
        .map(|transport| {
            let check = match transport {
                Transport::PerfStack => "trace by perf-stack",
                Transport::PerfHeap => "trace by perf-heap",
                Transport::Ring => "trace by ring",
            };
            match crate::trace::try_transport(transport) {
                Ok(()) => Finding::ok(check, "loads, attaches and detaches"),
                Err(failure) => {
                    let text = failure.to_string();
                    let (why, advice) = text.split_once("; ").unwrap_or((&text, "see the findings above"));
                    Finding::no(check, why, advice)
                }
            }
        })
        .into()
}
