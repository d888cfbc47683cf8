//! Checks each transport: loads it, opens its buffer, attaches its programs and detaches them.

use cutaway_programs::getaddrinfo::Transport;

use super::finding::Finding;
use crate::error::CliError;

/// Checks all transports. Where `trace` works by the transport that it chooses, another one is not needed.
pub(super) fn findings() -> Vec<Finding> {
    let tried = Transport::ALL.map(|transport| (transport, crate::trace::try_transport(transport)));
    let chosen = crate::trace::chosen_transport();
    let works = tried.iter().any(|(transport, result)| *transport == chosen && result.is_ok());
    let finding = |(transport, result): &(Transport, Result<(), CliError>)| {
        let check = match transport {
            Transport::PerfStack => "trace by perf-stack",
            Transport::PerfHeap => "trace by perf-heap",
            Transport::Ring => "trace by ring",
        };
        match result {
            Ok(()) => Finding::ok(check, "loads, attaches and detaches"),
            Err(failure) if works => failed(check, failure, Finding::note),
            Err(failure) => failed(check, failure, Finding::no),
        }
    };
    tried.iter().map(finding).collect()
}

/// Makes a finding of a failure, which may end with what to do.
pub(super) fn failed(
    check: &'static str,
    failure: &CliError,
    finding: fn(&'static str, String, String) -> Finding,
) -> Finding {
    let text = failure.to_string();
    let (why, advice) = text.split_once("; ").unwrap_or((&text, "see the findings above"));
    finding(check, why.to_owned(), advice.to_owned())
}
