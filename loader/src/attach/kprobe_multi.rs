//! Attaches to many kernel functions at once.
//!
//! One link (`BPF_TRACE_KPROBE_MULTI`, Linux 5.18) patches thousands of functions in milliseconds, because the function
//! tracer patches them in one operation (`kernel/trace/bpf_trace.c`, `kernel/trace/fprobe.c`). Without it each function
//! costs a perf event. Only functions that the tracer can patch take part: tracefs lists them in
//! `available_filter_functions`.

use std::{collections::BTreeSet, ffi::CString, io, os::fd::AsFd};

use log::debug;

use cutaway_sys::AttachType;

use super::{Kprobe, Link, link::failed, pattern, traceable};
use crate::{Error, Program, sys::link};

/// All kernel functions whose names match a pattern.
///
/// The program's section is `kprobe.multi`, `kretprobe.multi`, or `kprobe.session` (Linux 6.10), which runs on entry
/// and on return.
///
/// One link needs Linux 5.18; on older kernels each function costs a perf event. Kernel source:
/// `kernel/trace/bpf_trace.c`.
///
/// Needs this crate's feature `kprobe`.
#[doc(alias("bpf_program__attach_kprobe_multi_opts", "BPF_TRACE_KPROBE_MULTI"))]
#[derive(Debug, Clone)]
pub struct KprobeMulti {
    pattern: String,
    retprobe: bool,
    cookie: u64,
}

impl KprobeMulti {
    /// Selects the functions whose names match `pattern`: `*` matches any text, `?` one character.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), retprobe: false, cookie: 0 }
    }

    /// Attaches to the functions' returns instead of their entries.
    #[must_use]
    pub fn retprobe(mut self, retprobe: bool) -> Self {
        self.retprobe = retprobe;
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie`.
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Returns the functions whose names match the pattern, in alphabetical order.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if no function matches, or tracefs cannot be read.
    pub fn functions(&self) -> Result<Vec<String>, Error> {
        if !pattern::is_pattern(&self.pattern) {
            return Ok(vec![self.pattern.clone()]);
        }
        let unfit = |why| Error::Invalid { operation: format!("find the kernel's functions `{}`", self.pattern), why };
        let found = available(&self.pattern).map_err(|error| unfit(error.to_string()))?;
        if found.is_empty() {
            return Err(unfit("no function of such a name can be traced".to_owned()));
        }
        Ok(found)
    }

    /// Attaches `program`: by one link if it was loaded for that, otherwise (older kernels) by one perf event for each
    /// function.
    ///
    /// # Errors
    ///
    /// As [`KprobeMulti::functions`]; [`Error::Syscall`] if the kernel refuses, with ESRCH if there is no such
    /// function.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let functions = self.functions()?;
        let what = format!(
            "{}{} of the kernel's functions `{}`",
            if self.retprobe { "the returns of " } else { "" },
            functions.len(),
            self.pattern
        );
        let kind = program.spec().section.expected_attach_type;
        if !matches!(kind, AttachType::TRACE_KPROBE_MULTI | AttachType::TRACE_KPROBE_SESSION) {
            debug!("`{}` is attached to {what} by a perf event each", program.name());
            let each = functions
                .iter()
                .map(|function| Kprobe::new(function).retprobe(self.retprobe).cookie(self.cookie).attach(program));
            return Ok(Link::several(program, &what, each.collect::<Result<_, _>>()?));
        }
        let names: Vec<CString> = functions.into_iter().filter_map(|name| CString::new(name).ok()).collect();
        let names: Vec<_> = names.iter().map(CString::as_c_str).collect();
        let cookies = if self.cookie == 0 { Vec::new() } else { vec![self.cookie; names.len()] };
        let why = "attaches the program to all these functions at once";
        link::create_kprobe_multi(program.as_fd(), kind, self.retprobe, &names, &cookies, why)
            .map(|link| Link::kernels(program, &what, link))
            .map_err(|error| {
                let plain = failed(program, &what, &error);
                match error.raw_os_error() {
                    Some(libc::ESRCH | libc::ENOENT) => {
                        plain.advise("the kernel has no such function that can be traced")
                    }
                    Some(libc::EOPNOTSUPP) => plain.advise("the kernel was built without CONFIG_FPROBE"),
                    Some(libc::EINVAL) if kind == AttachType::TRACE_KPROBE_SESSION => {
                        plain.advise("sessions need Linux 6.10")
                    }
                    _ => plain,
                }
            })
    }
}

/// Returns the matching functions that the function tracer can patch.
fn available(pattern: &str) -> io::Result<Vec<String>> {
    let mut found = BTreeSet::new();
    traceable::functions(|name, _| {
        // Several functions may share a name; the kernel takes the first.
        if pattern::matches(pattern.as_bytes(), name.as_bytes()) {
            found.insert(name.to_owned());
        }
    })?;
    Ok(found.into_iter().collect())
}
