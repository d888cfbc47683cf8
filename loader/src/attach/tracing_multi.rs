//! Attaches `fentry` and `fexit` programs to many functions by one link.
//!
//! A program of the sections `fentry.multi`, `fexit.multi` and `fsession.multi` is verified once, for a function of
//! which no argument's type is known. The link takes the BTF ids of the functions, all in the kernel's BTF or all in
//! that of one module, and patches them in one operation (`bpf_tracing_multi_attach` in `kernel/trace/bpf_trace.c`).
//! The kernel refuses the whole link if it cannot attach to one of the functions. So a pattern selects only functions
//! that it can attach to, as far as this is known here: the function tracer lists them, and their parameters are those
//! that a trampoline can pass.

use std::{collections::BTreeMap, os::fd::AsFd};

use log::debug;

use cutaway_sys::AttachType;

use super::{Link, link::failed, pattern, traceable};
use crate::{
    Error, Program, ProgramType,
    btf::{Btf, Kind, Type, kernel},
    sys::link,
};

/// All functions of the kernel, or of one module, whose names match a pattern.
///
/// The program's section is `fentry.multi`, `fexit.multi`, or `fsession.multi`, which runs on entry and on return. It
/// reads arguments by `bpf_get_func_arg` and the return value by `bpf_get_func_ret`, as numbers. Unlike [`KprobeMulti`]
/// it has the arguments on return as well.
///
/// Needs a kernel with `BPF_TRACE_FENTRY_MULTI` (7.3 has it). Kernel source: `kernel/trace/bpf_trace.c`.
///
/// Needs this crate's feature `tracing`.
///
/// [`KprobeMulti`]: https://docs.rs/cutaway/latest/cutaway/struct.KprobeMulti.html
#[doc(alias(
    "bpf_program__attach_tracing_multi",
    "BPF_TRACE_FENTRY_MULTI",
    "BPF_TRACE_FEXIT_MULTI",
    "BPF_TRACE_FSESSION_MULTI",
    "fentry.multi"
))]
#[derive(Debug, Clone)]
pub struct TracingMulti {
    module: Option<String>,
    pattern: String,
    cookie: u64,
}

impl TracingMulti {
    /// Selects the kernel's functions whose names match `pattern`: `*` matches any text, `?` one character.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self { module: None, pattern: pattern.to_owned(), cookie: 0 }
    }

    /// Selects functions of this module instead. It must be the module for which the program was loaded: its section is
    /// `fentry.multi/MODULE:PATTERN`.
    #[must_use]
    pub fn module(mut self, module: &str) -> Self {
        self.module = Some(module.to_owned());
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie`.
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Returns the functions to attach to, in alphabetical order: those that match the pattern, that the function
    /// tracer can patch, and whose parameters a trampoline can pass. A name that several functions have is skipped,
    /// unless it is given without a wildcard. `program` is the program to attach: the kernel does not attach to the
    /// return of a function that never returns.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if no function matches, or if the kernel's BTF or tracefs cannot be read.
    pub fn functions(&self, program: &Program) -> Result<Vec<String>, Error> {
        self.found(program.spec().section.expected_attach_type).map(|found| found.into_keys().collect())
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// As [`TracingMulti::functions`]; [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the
    /// kernel refuses.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let section = &program.spec().section;
        let whose = self.module.as_ref().map_or("the kernel's".to_owned(), |module| format!("the module {module}'s"));
        program.must_be(&[ProgramType::TRACING], &format!("{whose} functions `{}`", self.pattern))?;
        if !section.is_tracing_multi() {
            return Err(Error::Invalid {
                operation: format!("attach the program `{}` to {whose} functions `{}`", program.name(), self.pattern),
                why: "it is verified for one function: its section must be `fentry.multi`, `fexit.multi` or \
                      `fsession.multi`"
                    .to_owned(),
            });
        }
        let ids: Vec<u32> = self.found(section.expected_attach_type)?.into_values().collect();
        let what = format!("{} of {whose} functions `{}`", ids.len(), self.pattern);
        let cookies = if self.cookie == 0 { Vec::new() } else { vec![self.cookie; ids.len()] };
        let why = "attaches the program to all these functions at once";
        link::create_tracing_multi(program.as_fd(), section.expected_attach_type, &ids, &cookies, why)
            .map(|link| Link::kernels(program, &what, link))
            .map_err(|error| {
                let plain = failed(program, &what, &error);
                match error.raw_os_error() {
                    Some(libc::EINVAL) if section.sleepable => plain.advise(
                        "a program that may sleep can be attached only to system calls, and to functions that take \
                         injected errors",
                    ),
                    Some(libc::EINVAL | libc::ENOENT) => {
                        plain.advise("the kernel cannot attach to one of these functions: narrow the pattern")
                    }
                    Some(libc::E2BIG) => plain.advise("too many programs are attached to one of these functions"),
                    // ENOTSUPP
                    Some(524 | libc::EOPNOTSUPP) => plain.advise(
                        "this kernel cannot patch functions for BPF programs: it needs \
                         CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
                    ),
                    _ => plain,
                }
            })
    }

    /// Returns the BTF ids of the functions, by name.
    fn found(&self, kind: AttachType) -> Result<BTreeMap<String, u32>, Error> {
        let unfit = |why: String| Error::Invalid {
            operation: format!(
                "find the functions `{}` of {}",
                self.pattern,
                self.module.as_ref().map_or("the kernel".to_owned(), |module| format!("the module {module}"))
            ),
            why,
        };
        let wanted = self.named(kind).map_err(|error| unfit(error.to_string()))?;
        let unread =
            |name: &str, error: std::io::Error| unfit(format!("{}/{name} cannot be read: {error}", kernel::DIRECTORY));
        let bytes = kernel::Bytes::vmlinux().map_err(|error| unread("vmlinux", error))?;
        let base = Btf::parse(&bytes).map_err(|error| unfit(error.to_string()))?;
        let found = match &self.module {
            None => by_id(&base, &wanted),
            Some(module) => {
                let bytes = kernel::Bytes::module(module).map_err(|error| unread(module, error))?;
                let split = Btf::parse_split(&bytes, &base).map_err(|error| unfit(error.to_string()))?;
                by_id(&split, &wanted)
            }
        };
        if found.is_empty() {
            return Err(unfit(
                "there is no function of such a name that can be traced and that BTF describes".to_owned(),
            ));
        }
        debug!("{} of {} functions `{}` can be attached to", found.len(), wanted.len(), self.pattern);
        Ok(found)
    }

    /// Returns the names of the functions that match and that the function tracer can patch.
    fn named(&self, kind: AttachType) -> std::io::Result<Vec<String>> {
        if !pattern::is_pattern(&self.pattern) {
            return Ok(vec![self.pattern.clone()]);
        }
        let mut named: BTreeMap<String, u32> = BTreeMap::new();
        traceable::functions(|name, module| {
            if module == self.module.as_deref()
                && pattern::matches(self.pattern.as_bytes(), name.as_bytes())
                && !is_refused(name, kind)
            {
                *named.entry(name.to_owned()).or_default() += 1;
            }
        })?;
        // By such a name the kernel finds one of the functions, which may be the one that cannot be patched.
        named.retain(|name, count| {
            let alone = *count == 1;
            if !alone {
                debug!("`{name}` is skipped: the kernel has {count} functions of this name");
            }
            alone
        });
        Ok(named.into_keys().collect())
    }
}

/// Finds functions of these names, which are sorted, whose parameters a trampoline can pass.
fn by_id(btf: &Btf<'_>, wanted: &[String]) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for ty in btf.types().filter(|ty| ty.kind() == Kind::Func) {
        let Ok(index) = wanted.binary_search_by(|name| name.as_bytes().cmp(ty.name_bytes())) else { continue };
        let Some(name) = wanted.get(index) else { continue };
        if can_be_passed(btf, ty) {
            // The kernel refuses a link with two ids of one function.
            found.entry(name.clone()).or_insert(ty.id());
        }
    }
    found
}

/// Returns whether a trampoline can pass the function's arguments and return value (`btf_distill_func_proto` in
/// `kernel/bpf/btf.c`).
fn can_be_passed(btf: &Btf<'_>, function: Type<'_>) -> bool {
    /// `MAX_BPF_FUNC_ARGS`
    const MOST: usize = 12;
    /// Bytes of the largest argument: two registers.
    const LARGEST: u32 = 16;
    let proto = btf.ty(function.referred());
    if proto.kind() != Kind::FuncProto || proto.params().len() > MOST {
        return false;
    }
    let is_scalar = |ty: Type<'_>| ty.kind() == Kind::Ptr || ty.kind() == Kind::Int || ty.kind().is_enum();
    let returned = proto.referred();
    let returns = returned == 0 || btf.resolve(returned).is_some_and(|ty| ty.kind() == Kind::Void || is_scalar(ty));
    returns
        && proto.params().all(|param| {
            let size = btf.size_of(param.type_id);
            btf.resolve(param.type_id).is_some_and(|ty| {
                is_scalar(ty) || (ty.kind().is_composite() && size.is_some_and(|size| (1..=LARGEST).contains(&size)))
            })
        })
}

/// Returns whether the kernel refuses a program at the function `name` (`btf_id_deny` and `noreturn_deny` in
/// `kernel/bpf/verifier.c`).
fn is_refused(name: &str, kind: AttachType) -> bool {
    const ANY: &str = "migrate_disable migrate_enable rcu_read_unlock_strict preempt_count_add preempt_count_sub \
                       __rcu_read_lock __rcu_read_unlock";
    const NEVER_RETURN: &str = "__ia32_sys_exit __ia32_sys_exit_group __x64_sys_exit __x64_sys_exit_group \
                                __arm64_sys_exit __arm64_sys_exit_group __module_put_and_kthread_exit do_exit \
                                do_group_exit kthread_complete_and_exit kthread_exit make_task_dead";
    let among = |names: &str| names.split_ascii_whitespace().any(|known| known == name);
    among(ANY) || (kind != AttachType::TRACE_FENTRY_MULTI && among(NEVER_RETURN))
}
