//! Kernels that lack a feature, simulated by refusing the calls that they would refuse. The fallback is used, or the
//! one-line error names the missing feature.

use crate::{
    binary::{Ended, trace},
    child::{Job, Question},
    events,
    harness::{Test, test},
    requirements::root,
    supervisor::{self, Call},
};
use cutaway_programs::getaddrinfo::Transport;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(auto_takes_perf_heap_without_ring_buffers).needs(root),
        test!(ring_transport_without_ring_buffers_is_an_error).needs(root),
        test!(uprobes_attach_without_perf_links).needs(root),
        test!(trace_works_without_btf).needs(root),
        test!(forbidden_bpf_is_explained).needs(root),
        test!(forbidden_perf_events_are_explained).needs(root),
    ]
}

const MAP_CREATE: u64 = 0;
const BTF_LOAD: u64 = 18;
const LINK_CREATE: u64 = 28;
const RINGBUF: u32 = 27;

/// Traces three calls on a kernel that refuses.
fn run(words: &str, refuse: impl Fn(&Call) -> Option<i32> + Sync) -> (Ended, Job, usize) {
    let job = Job::new(["a", "b", "c"].map(Question::hopeless));
    let refused = std::sync::atomic::AtomicUsize::new(0);
    let (ended, _) = supervisor::run(trace(words, job.command_line()), |call| {
        let errno = refuse(call);
        // ATOMICS: read after the counting thread has ended.
        refused.fetch_add(usize::from(errno.is_some()), std::sync::atomic::Ordering::Relaxed);
        errno
    });
    (ended, job, refused.into_inner())
}

/// Asserts success through this transport.
fn works(words: &str, transport: Transport, refuse: impl Fn(&Call) -> Option<i32> + Sync) -> Ended {
    let (ended, job, refused) = run(words, refuse);
    assert!(refused > 0, "no call was refused");
    assert_eq!(ended.success(), (3, 0), "{}", ended.stderr);
    events::check(&events::read(&ended.stdout), &job.answers(), job.ready(), 0, transport);
    ended
}

fn no_ring_buffers(call: &Call) -> Option<i32> {
    (call.is_bpf(MAP_CREATE) && call.word(0) == Some(RINGBUF)).then_some(libc::EINVAL)
}

fn auto_takes_perf_heap_without_ring_buffers() {
    let ended = works("--format json", Transport::PerfHeap, no_ring_buffers);
    assert_eq!(ended.stderr.lines().count(), 2, "the ring was not requested: {}", ended.stderr);
    works("--format json --transport auto", Transport::PerfHeap, no_ring_buffers);
}

fn ring_transport_without_ring_buffers_is_an_error() {
    let (ended, ..) = run("--format json --transport ring", no_ring_buffers);
    let line = ended.complaint();
    for part in ["cannot create the map `events`", "RINGBUF", "EINVAL", "Linux 5.8"] {
        assert!(line.contains(part), "{line}");
    }
}

/// Before 5.15: EINVAL for this link type, whatever the other attributes are.
fn uprobes_attach_without_perf_links() {
    let refuse = |call: &Call| call.is_bpf(LINK_CREATE).then_some(libc::EINVAL);
    for transport in [Transport::PerfStack, Transport::PerfHeap] {
        works(&format!("--format json --transport {transport}"), transport, refuse);
    }
}

/// A kernel built without BTF, or with fewer types than expected.
fn trace_works_without_btf() {
    let refuse = |call: &Call| call.is_bpf(BTF_LOAD).then_some(libc::EINVAL);
    let ended = works("--format json --transport perf-heap", Transport::PerfHeap, refuse);
    assert_eq!(ended.stderr.lines().count(), 2, "{}", ended.stderr);
}

fn forbidden_bpf_is_explained() {
    for (errno, name) in [(libc::ENOSYS, "ENOSYS"), (libc::EPERM, "EPERM")] {
        let (ended, ..) = run("--transport perf-heap", |call| (call.number == libc::SYS_bpf).then_some(errno));
        assert!(ended.complaint().contains(name), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
}

fn forbidden_perf_events_are_explained() {
    let (ended, ..) =
        run("--transport perf-heap", |call| (call.number == libc::SYS_perf_event_open).then_some(libc::EACCES));
    assert!(ended.complaint().contains("EACCES"), "{ended:?}");
}
