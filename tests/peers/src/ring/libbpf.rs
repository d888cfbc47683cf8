//! libbpf's `ring_buffer`, through its C interface.

use std::ffi::{c_int, c_ulong, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_sys::{ring_buffer, ring_buffer__consume, ring_buffer__free, ring_buffer__new, ring_buffer__poll};

use super::{Peer, Sink};

pub struct Libbpf<S> {
    ring: NonNull<ring_buffer>,
    sink: Box<S>,
}

// SAFETY: libbpf's ring belongs to no thread; one thread uses it at a time.
unsafe impl<S: Send> Send for Libbpf<S> {}

/// Receives each record from libbpf.
unsafe extern "C" fn sample<S: Sink>(sink: *mut c_void, data: *mut c_void, size: c_ulong) -> c_int {
    // SAFETY: the context given to ring_buffer__new; nothing else uses it during the call.
    let sink = unsafe { &mut *sink.cast::<S>() };
    // SAFETY: libbpf passes a committed record and its length.
    let record = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size as usize) };
    sink.take(record);
    0
}

impl<S: Sink> Peer<S> for Libbpf<S> {
    const NAME: &'static str = "libbpf";

    fn open(map: &OwnedFd, _: u32) -> Self {
        let mut sink = Box::new(S::default());
        let context = (&raw mut *sink).cast();
        // SAFETY: the callback fits the context, which lives as long as the ring.
        let ring = unsafe { ring_buffer__new(map.as_raw_fd(), Some(sample::<S>), context, ptr::null()) };
        Self { ring: NonNull::new(ring).expect("ring_buffer__new"), sink }
    }

    fn drain(&mut self) {
        // SAFETY: a live ring.
        unsafe { ring_buffer__consume(self.ring.as_ptr()) };
    }

    fn serve(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            // SAFETY: a live ring.
            unsafe { ring_buffer__poll(self.ring.as_ptr(), -1) };
        }
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}

impl<S> Drop for Libbpf<S> {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { ring_buffer__free(self.ring.as_ptr()) };
    }
}
