//! The host latency tool that `cutaway trace` is compared with: libbpf loads and attaches the probes and reads their
//! perf buffers, and each event becomes a line on stdout by `printf`, which writes it at once, as to a terminal.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libbpf_sys::{
    bpf_link__destroy, bpf_map__fd, bpf_object, bpf_object__close, bpf_object__find_map_by_name,
    bpf_object__find_program_by_name, bpf_object__load, bpf_object__open_mem, bpf_program__attach_uprobe_opts,
    bpf_uprobe_opts, libbpf_set_print, perf_buffer__free, perf_buffer__new, perf_buffer__poll,
};

use super::probes::{self, Call, ENTRY, EVENTS, RETURN};

/// The functions that bcc's tool traces.
const FUNCTIONS: [&CStr; 3] = [c"getaddrinfo", c"gethostbyname", c"gethostbyname2"];

/// The pages of each CPU's buffer, and the timeout of a poll in milliseconds: those of libbpf's tools.
const PAGES: u64 = 16;
const POLL_MS: c_int = 100;

/// A signal has asked the tool to end.
static ENDED: AtomicBool = AtomicBool::new(false);
static RECEIVED: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Traces the calls of the library at this path until SIGINT. Then prints on stderr what was received and lost.
pub fn main(library: &str) {
    // SAFETY: no function is given: libbpf prints nothing.
    unsafe { libbpf_set_print(None) };
    let end: extern "C" fn(c_int) = end;
    // SAFETY: the handler stores to an atomic, which a signal handler may.
    unsafe { libc::signal(libc::SIGINT, end as libc::sighandler_t) };
    set_line_buffer();
    let bytes = probes::object();
    // SAFETY: the bytes are borrowed for the call, which copies them; there are no options.
    let object = unsafe { bpf_object__open_mem(bytes.as_ptr().cast(), bytes.len() as _, ptr::null()) };
    assert!(!object.is_null(), "libbpf opens the probes");
    // SAFETY: the object was opened above and is not loaded yet.
    assert_eq!(unsafe { bpf_object__load(object) }, 0, "libbpf loads the probes");
    // SAFETY: the object is loaded and is closed only below.
    let fd = unsafe { bpf_map__fd(bpf_object__find_map_by_name(object, EVENTS.as_ptr())) };
    // SAFETY: the callbacks need no context; there are no options.
    let buffer = unsafe { perf_buffer__new(fd, PAGES as _, Some(event), Some(lost), ptr::null_mut(), ptr::null()) };
    assert!(!buffer.is_null(), "libbpf opens the perf buffers");
    let library = CString::new(library).expect("a path without NUL");
    let probes = FUNCTIONS.iter().flat_map(|function| [(ENTRY, function, false), (RETURN, function, true)]);
    let links: Vec<_> =
        probes.map(|(program, function, ret)| attach(object, program, &library, function, ret)).collect();
    eprintln!("tracing");
    while !ENDED.load(Ordering::Relaxed) {
        // SAFETY: a live buffer. A signal ends the call, too.
        unsafe { perf_buffer__poll(buffer, POLL_MS) };
    }
    for link in links {
        // SAFETY: attached above, and destroyed once.
        unsafe { bpf_link__destroy(link) };
    }
    // SAFETY: a live buffer, which is freed once.
    unsafe { perf_buffer__free(buffer) };
    // SAFETY: the object is not used any more.
    unsafe { bpf_object__close(object) };
    // SAFETY: all streams of C.
    unsafe { libc::fflush(ptr::null_mut()) };
    eprintln!("received {}, lost {}", RECEIVED.load(Ordering::Relaxed), LOST.load(Ordering::Relaxed));
}

/// Makes `printf` write each line at once.
fn set_line_buffer() {
    unsafe extern "C" {
        #[link_name = "stdout"]
        static STDOUT: *mut libc::FILE;
    }
    // SAFETY: the C library's stream, which lives as long as the process; it allocates the buffer itself.
    let answer = unsafe { libc::setvbuf(STDOUT, ptr::null_mut(), libc::_IOLBF, 0) };
    assert_eq!(answer, 0, "stdout is buffered by line");
}

extern "C" fn end(_: c_int) {
    ENDED.store(true, Ordering::Relaxed);
}

fn attach(
    object: *mut bpf_object,
    program: &CStr,
    library: &CStr,
    function: &CStr,
    retprobe: bool,
) -> *mut libbpf_sys::bpf_link {
    let sz = size_of::<bpf_uprobe_opts>() as _;
    let options = bpf_uprobe_opts { sz, retprobe, func_name: function.as_ptr(), ..Default::default() };
    // SAFETY: a loaded object and a C string.
    let program = unsafe { bpf_object__find_program_by_name(object, program.as_ptr()) };
    // SAFETY: a program of the object; the path and the options outlive the call. -1 is all processes.
    let link = unsafe { bpf_program__attach_uprobe_opts(program, -1, library.as_ptr(), 0, &options) };
    assert!(!link.is_null(), "libbpf attaches to {function:?}");
    link
}

/// Prints an event as libbpf's tool does: time of day, process, command, latency and host.
unsafe extern "C" fn event(_: *mut c_void, _: c_int, data: *mut c_void, size: u32) {
    if (size as usize) < size_of::<Call>() {
        return;
    }
    RECEIVED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: libbpf passes a sample's data, which is at least as long as a call; it is 8-byte aligned or not.
    let call = unsafe { data.cast::<Call>().read_unaligned() };
    let mut time: libc::time_t = 0;
    // SAFETY: writes to a local.
    unsafe { libc::time(&mut time) };
    // SAFETY: a plain C struct, for which all zeroes are valid.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: reads a local and writes to a local.
    unsafe { libc::localtime_r(&time, &mut parts) };
    let mut text = [0 as c_char; 16];
    // SAFETY: the buffer's length is passed along.
    unsafe { libc::strftime(text.as_mut_ptr(), text.len(), c"%H:%M:%S".as_ptr(), &parts) };
    let (comm, host) = (call.comm.as_ptr(), call.host.as_ptr());
    // SAFETY: the format fits its arguments; both texts are bounded by their precision.
    unsafe {
        libc::printf(
            c"%-8s %-7d %-16.16s %-10.3f %-.80s\n".as_ptr(),
            text.as_ptr(),
            call.pid,
            comm,
            call.time_ns as f64 / 1e6,
            host,
        );
    }
}

unsafe extern "C" fn lost(_: *mut c_void, cpu: c_int, count: u64) {
    LOST.fetch_add(count, Ordering::Relaxed);
    eprintln!("lost {count} events on CPU {cpu}");
}
