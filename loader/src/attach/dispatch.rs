//! Chooses how to attach a program: by its section and by the settings of an [`AttachContext`]. The attach type was
//! chosen in `object/program_section.rs`.

#[cfg(feature = "uprobe")]
use std::path::Path;

use super::{
    Link,
    context::{AttachContext, AttachField},
    needs::{by_hand, obstacle, takes},
};
#[cfg(feature = "network")]
use super::{Netns, SocketFilter, Sockmap, Tc, Tcx, Xdp, context::Interface, interface::interface_index};
#[cfg(feature = "cgroup")]
use super::{cgroup::Cgroup, needs::is_of_a_cgroup};
#[cfg(feature = "tracing")]
use super::{iter::Iter, needs::is_iterator, tracing::Tracing, tracing_multi::TracingMulti};
#[cfg(feature = "kprobe")]
use super::{kprobe::Kprobe, kprobe::Ksyscall, kprobe_multi::KprobeMulti};
#[cfg(feature = "uprobe")]
use super::{process, uprobe::Uprobe, uprobe_multi::UprobeMulti};
#[cfg(feature = "tracepoint")]
use super::{raw_tracepoint::RawTracepoint, tracepoint::Tracepoint};
#[cfg(any(feature = "network", feature = "tracing"))]
use crate::ProgramType;
use crate::{Error, Program, object::Target};

/// Applies the context's process to the builder of a user-space probe: resolves the library in that process, and
/// restricts the probe to it.
#[cfg(feature = "uprobe")]
macro_rules! in_process {
    ($probe:expr, $library:expr, $context:expr) => {{
        let mut probe = $probe;
        if let Some(pid) = $context.looks_up_as($library) {
            probe = probe.resolve_in_process(pid);
        }
        if let Some(pid) = $context.pid {
            probe = probe.pid(pid);
        }
        probe
    }};
}

impl Program {
    /// Attaches the program to its section's target: [`Program::attach_with`] without any setting.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the section names no target, a target that this loader cannot attach to, or one whose
    /// cargo feature is disabled. Otherwise the errors of the type that attaches programs of this type, e.g.
    /// [`Uprobe::attach`](crate::Uprobe::attach).
    #[doc(alias = "bpf_program__attach")]
    pub fn attach(&self) -> Result<Link, Error> {
        self.attach_to(self.spec().section.target.as_ref(), &AttachContext::default())
    }

    /// Attaches the program to its section's target with the settings of `context`.
    ///
    /// # Errors
    ///
    /// As [`Program::attach`]. [`Error::Invalid`] also if the program needs a setting that `context` lacks
    /// ([`ProgramSpec::needs`](crate::ProgramSpec::needs)), or `context` has one that the program does not take
    /// ([`ProgramSpec::takes`](crate::ProgramSpec::takes)). The error names the setting.
    #[doc(alias("bpf_program__attach_opts", "BPF_LINK_CREATE", "BPF_PROG_ATTACH", "BPF_RAW_TRACEPOINT_OPEN"))]
    pub fn attach_with(&self, context: &AttachContext<'_>) -> Result<Link, Error> {
        let section = &self.spec().section;
        let mut target = section.target.clone();
        if let Some(text) = context.target.as_deref().filter(|_| takes(section, None, AttachField::Target)) {
            let mut spec = self.spec().clone();
            spec.set_attach_target(text)?;
            target = spec.section.target;
        }
        if let Some(field) = context.given().find(|&field| !takes(section, target.as_ref(), field)) {
            return Err(
                self.unattachable(&format!(
                    "`{field}` has no effect on it: {}",
                    match (field, &target) {
                        (AttachField::Target, Some(Target::Btf { .. })) =>
                            "it is verified for its target, which is set before loading, by \
                                 `ProgramSpec::set_attach_target`"
                                .to_owned(),
                        _ => format!(
                            "the kernel takes no such setting for a program of its kind ({})",
                            section.program_type
                        ),
                    }
                )),
            );
        }
        self.attach_to(target.as_ref(), context)
    }

    fn attach_to(&self, target: Option<&Target>, context: &AttachContext<'_>) -> Result<Link, Error> {
        #[cfg(feature = "uprobe")]
        let target = target.map(|target| target.by_files(context.pid)).transpose()?;
        #[cfg(feature = "uprobe")]
        let target = target.as_ref();
        let link = self.attach_at(target, context)?;
        #[cfg(feature = "uprobe")]
        if let (Some(pid), Some(library)) = (context.pid, target.and_then(Target::library))
            && context.looks_up_as(library).is_none()
        {
            process::warn_if_unmapped(pid, Path::new(library));
        }
        Ok(link)
    }

    fn attach_at(&self, target: Option<&Target>, context: &AttachContext<'_>) -> Result<Link, Error> {
        match target {
            #[cfg(feature = "uprobe")]
            Some(Target::Uprobe { library, symbol, offset, retprobe }) => {
                let probe = Uprobe::new(library, symbol).offset(*offset).retprobe(*retprobe);
                in_process!(probe, library, context).cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "uprobe")]
            Some(Target::UprobeMulti { library, pattern, retprobe }) => {
                let probe = UprobeMulti::new(library, pattern).retprobe(*retprobe);
                in_process!(probe, library, context).cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "usdt")]
            Some(Target::Usdt { library, provider, name }) => {
                let probe = super::Usdt::new(library, provider, name);
                in_process!(probe, library, context).cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "kprobe")]
            Some(Target::Kprobe { function, offset, retprobe }) => {
                let probe = Kprobe::new(function).offset(*offset).retprobe(*retprobe);
                probe.cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "kprobe")]
            Some(Target::KprobeMulti { pattern, retprobe }) => {
                let probe = KprobeMulti::new(pattern).retprobe(*retprobe);
                probe.cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "kprobe")]
            Some(Target::Ksyscall { name, retprobe }) => {
                Ksyscall::new(name).retprobe(*retprobe).cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "tracepoint")]
            Some(Target::Tracepoint { category, name }) => {
                Tracepoint::new(category, name).cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "tracepoint")]
            Some(Target::RawTracepoint { name }) => {
                RawTracepoint::new(name).cookie(context.cookie_or_none()).attach(self)
            }
            #[cfg(feature = "tracing")]
            Some(Target::TracingMulti { module, pattern }) => {
                let mut functions = TracingMulti::new(pattern).cookie(context.cookie_or_none());
                if let Some(module) = module {
                    functions = functions.module(module);
                }
                functions.attach(self)
            }
            Some(Target::Btf { .. }) => self.attach_by_btf(target, context),
            // `LoadOptions::replace` has named the replaced program.
            #[cfg(feature = "tracing")]
            None if self.spec().section.program_type == ProgramType::EXT => self.attach_by_btf(target, context),
            Some(Target::Label(_)) | None => self.attach_by_type(target, context),
            Some(Target::Unreadable { .. }) => Err(self.needs_more(target)),
            #[cfg(not(all(feature = "kprobe", feature = "tracepoint", feature = "tracing", feature = "usdt")))]
            Some(target) => Err(Error::left_out(self.by_section(), target.feature())),
        }
    }

    /// Attaches a program that was verified for its target.
    #[cfg_attr(
        not(any(feature = "cgroup", feature = "tracing")),
        expect(unused_variables, reason = "each setting belongs to a feature")
    )]
    fn attach_by_btf(&self, target: Option<&Target>, context: &AttachContext<'_>) -> Result<Link, Error> {
        #[cfg(feature = "cgroup")]
        if is_of_a_cgroup(&self.spec().section) {
            return self.attach_by_type(target, context);
        }
        #[cfg(feature = "tracing")]
        if is_iterator(&self.spec().section) {
            let mut open = None;
            if let Some(map) = &context.map {
                return Iter::map(&map.fd("the map", &mut open)?).attach(self);
            }
            if let Some(cgroup) = &context.cgroup {
                return Iter::cgroup(&cgroup.fd("the cgroup", &mut open)?).attach(self);
            }
            return match context.pid {
                Some(pid) => Iter::process(pid).attach(self),
                None if obstacle(&self.spec().section, target).is_some() => Err(self.needs_more(target)),
                None => Iter::new().attach(self),
            };
        }
        if obstacle(&self.spec().section, target).is_some() {
            return Err(self.needs_more(target));
        }
        #[cfg(feature = "tracing")]
        return Tracing::new().cookie(context.cookie_or_none()).attach(self);
        #[cfg(not(feature = "tracing"))]
        Err(Error::left_out(self.by_section(), "tracing"))
    }

    /// Attaches a program whose section names a kind of target, but not a particular one.
    #[cfg_attr(
        not(any(feature = "network", feature = "cgroup", feature = "perf-event", feature = "lirc")),
        expect(unused_variables, reason = "each setting belongs to a feature")
    )]
    fn attach_by_type(&self, target: Option<&Target>, context: &AttachContext<'_>) -> Result<Link, Error> {
        #[cfg(feature = "cgroup")]
        if let Some(cgroup) = context.cgroup.as_ref().filter(|_| is_of_a_cgroup(&self.spec().section)) {
            return Cgroup::new(&cgroup.fd("the cgroup", &mut None)?).placed(context.placement).attach(self);
        }
        #[cfg(feature = "perf-event")]
        if let Some(event) = &context.perf_event {
            let event = event.clone().override_cookie(context.cookie);
            return match context.pid {
                Some(pid) => event.pid(pid).attach(self),
                None => event.attach(self),
            };
        }
        #[cfg(feature = "lirc")]
        if let Some(receiver) = &context.lirc {
            return super::Lirc::new(&receiver.fd("the infrared receiver", &mut None)?).attach(self);
        }
        #[cfg(feature = "network")]
        if let Some(answer) = self.attach_to_network(context) {
            return answer;
        }
        Err(self.needs_more(target))
    }

    /// Attaches to a network target; returns `None` if `context` names none.
    #[cfg(feature = "network")]
    fn attach_to_network(&self, context: &AttachContext<'_>) -> Option<Result<Link, Error>> {
        if let Some(interface) = &context.interface {
            let index = match interface {
                Interface::Index(index) => Ok(*index),
                Interface::Name(name) => interface_index(name),
            };
            return Some(index.and_then(|index| match self.spec().section.program_type {
                ProgramType::XDP => Xdp::new(index).mode(context.xdp_mode.unwrap_or_default()).attach(self),
                _ => self.attach_classifier(index, context),
            }));
        }
        if let Some(hook) = &context.netfilter {
            return Some(hook.attach(self));
        }
        let mut open = None;
        if let Some(namespace) = &context.netns {
            let namespace = namespace.fd("the network namespace", &mut open);
            return Some(namespace.and_then(|namespace| Netns::new(&namespace).attach(self)));
        }
        if let Some(socket) = &context.socket {
            let socket = socket.fd("the socket", &mut open);
            return Some(socket.and_then(|socket| SocketFilter::new(&socket).attach(self)));
        }
        let map = context.sockmap.as_ref()?.fd("the map", &mut open);
        Some(map.and_then(|map| Sockmap::new(&map).attach(self)))
    }

    /// Attaches a classifier by a link where the kernel supports tcx links, otherwise by a traffic control filter.
    #[cfg(feature = "network")]
    fn attach_classifier(&self, index: u32, context: &AttachContext<'_>) -> Result<Link, Error> {
        use crate::features::{self, Support};
        use cutaway_sys::AttachType as A;
        let placement = context.placement;
        // Filters of traffic control have no such order: `Tcx` says so.
        let by_link = || placement.is_set() || Support::probed_or_since(features::tcx_link, 6, 6).is_yes();
        match self.spec().section.expected_attach_type {
            A::NETKIT_PRIMARY => Tcx::netkit_primary(index).placed(placement).attach(self),
            A::NETKIT_PEER => Tcx::netkit_peer(index).placed(placement).attach(self),
            A::TCX_EGRESS if by_link() => Tcx::egress(index).placed(placement).attach(self),
            A::TCX_EGRESS => Tc::egress(index).attach(self),
            A::TCX_INGRESS if by_link() => Tcx::ingress(index).placed(placement).attach(self),
            _ if placement.is_set() => Tcx::ingress(index).placed(placement).attach(self),
            _ => Tc::ingress(index).attach(self),
        }
    }

    /// Returns why the section alone does not determine where to attach the program; `None` if it does.
    pub(crate) fn manual_attach_reason(&self) -> Option<&'static str> {
        let section = &self.spec().section;
        obstacle(section, section.target.as_ref()).map(|(_, why)| why)
    }

    /// Returns the error for a program that neither its section nor the context says how to attach.
    fn needs_more(&self, target: Option<&Target>) -> Error {
        let (feature, why) =
            obstacle(&self.spec().section, target).unwrap_or_else(|| by_hand(self.spec().section.program_type));
        match feature {
            Some(feature) => Error::left_out(self.by_section(), feature),
            None if matches!(target, Some(Target::Unreadable { .. })) => {
                self.unattachable(&format!("{why}: set `AttachContext::target`, or attach the program by hand"))
            }
            None => self.unattachable(why),
        }
    }

    fn by_section(&self) -> String {
        if cfg!(feature = "advice") && self.spec().is_opened() {
            return format!("attach the program `{}`, whose section's name is unknown", self.name());
        }
        format!("attach the program `{}` by its section `{}`", self.name(), self.spec().section_name)
    }

    fn unattachable(&self, why: &str) -> Error {
        Error::Invalid { operation: self.by_section(), why: why.to_owned() }
    }
}
