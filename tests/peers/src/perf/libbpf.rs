//! libbpf's `perf_buffer`, through its C interface: with the default callback, with the raw callback, and with a
//! wake-up every 500 events.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_sys::{
    LIBBPF_PERF_EVENT_CONT, bpf_perf_event_ret, perf_buffer, perf_buffer__consume, perf_buffer__free, perf_buffer__new,
    perf_buffer__new_raw, perf_buffer__poll, perf_event_attr, perf_event_header,
};

use super::{NAP, PAGES, Peer};
use crate::ring::Sink;

/// A buffer whose callbacks have a pointer to its sink.
struct Buffer<S> {
    buffer: NonNull<perf_buffer>,
    sink: Box<S>,
}

// SAFETY: libbpf's buffer belongs to no thread; one thread uses it at a time.
unsafe impl<S: Send> Send for Buffer<S> {}

impl<S> Buffer<S> {
    fn drain(&mut self) {
        // SAFETY: a live buffer.
        unsafe { perf_buffer__consume(self.buffer.as_ptr()) };
    }

    fn serve(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            // SAFETY: a live buffer.
            unsafe { perf_buffer__poll(self.buffer.as_ptr(), NAP.as_millis() as c_int) };
        }
        self.drain();
    }

    /// Creates a buffer by `perf_buffer__new_raw`, with a wake-up every `wakeup_events` events.
    fn raw(map: &OwnedFd, wakeup_events: u32) -> Self
    where
        S: Sink,
    {
        const SOFTWARE: u32 = 1;
        const BPF_OUTPUT: u64 = 10;
        const RAW: u64 = 1 << 10;
        let mut sink = Box::new(S::default());
        let context = (&raw mut *sink).cast();
        // SAFETY: a plain C struct, for which all zeroes are valid.
        let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
        attr.type_ = SOFTWARE;
        attr.size = size_of_val(&attr) as u32;
        attr.config = BPF_OUTPUT;
        attr.sample_type = RAW;
        attr.__bindgen_anon_1.sample_period = 1;
        attr.__bindgen_anon_2.wakeup_events = wakeup_events;
        // SAFETY: the callback fits the context, which lives as long as the buffer.
        let buffer = unsafe {
            perf_buffer__new_raw(map.as_raw_fd(), PAGES as u64, &mut attr, Some(event::<S>), context, ptr::null())
        };
        Self { buffer: NonNull::new(buffer).expect("perf_buffer__new_raw"), sink }
    }
}

impl<S> Drop for Buffer<S> {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { perf_buffer__free(self.buffer.as_ptr()) };
    }
}

/// Receives the data of each sample from libbpf.
unsafe extern "C" fn sample<S: Sink>(sink: *mut c_void, _: c_int, data: *mut c_void, size: u32) {
    // SAFETY: the context given with the callback; nothing else uses it during the call.
    let sink = unsafe { &mut *sink.cast::<S>() };
    // SAFETY: libbpf passes a sample's data and its length.
    let record = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size as usize) };
    sink.take(record);
}

/// Receives each record of any type from libbpf.
unsafe extern "C" fn event<S: Sink>(sink: *mut c_void, _: c_int, header: *mut perf_event_header) -> bpf_perf_event_ret {
    const SAMPLE: u32 = 9;
    // SAFETY: the context given with the callback; nothing else uses it during the call.
    let sink = unsafe { &mut *sink.cast::<S>() };
    // SAFETY: libbpf passes a whole record.
    if unsafe { (*header).type_ } == SAMPLE {
        // SAFETY: after the header of a sample comes its raw size, and after that as many bytes.
        let raw = unsafe { header.add(1).cast::<u32>() };
        // SAFETY: as above.
        let size = unsafe { raw.read() };
        // SAFETY: as above.
        let record = unsafe { std::slice::from_raw_parts(raw.add(1).cast::<u8>(), size as usize) };
        sink.take(record);
    }
    LIBBPF_PERF_EVENT_CONT
}

macro_rules! peer {
    ($(#[$doc:meta])* $name:ident, $text:literal, $open:expr) => {
        $(#[$doc])*
        pub struct $name<S>(Buffer<S>);

        impl<S: Sink> Peer<S> for $name<S> {
            const NAME: &'static str = $text;

            fn open(map: &OwnedFd) -> Self {
                let open: fn(&OwnedFd) -> Buffer<S> = $open;
                Self(open(map))
            }

            fn drain(&mut self) {
                self.0.drain();
            }

            fn serve(&mut self, stop: &AtomicBool) {
                self.0.serve(stop);
            }

            fn sink(&mut self) -> &mut S {
                &mut self.0.sink
            }
        }
    };
}

peer! {
    /// With the default callback: `perf_buffer__new`.
    Libbpf, "libbpf", |map| {
        let mut sink = Box::new(S::default());
        let context = (&raw mut *sink).cast();
        // SAFETY: the callback fits the context, which lives as long as the buffer.
        let buffer = unsafe {
            perf_buffer__new(map.as_raw_fd(), PAGES as u64, Some(sample::<S>), None, context, ptr::null())
        };
        Buffer { buffer: NonNull::new(buffer).expect("perf_buffer__new"), sink }
    }
}

peer! {
    /// With the raw callback, and a wake-up for each event.
    Raw, "libbpf, raw callback", |map| Buffer::raw(map, 1)
}

peer! {
    /// With the raw callback, and a wake-up every 500 events.
    Every500, "libbpf, a wake-up every 500 events", |map| Buffer::raw(map, 500)
}
