//! An event as a JSON object.

use cutaway_programs::getaddrinfo::{Address, DecodedEvent, EventHeader, Text, Transport};
use serde::Serialize;

use super::super::{origin::Origin, words::gai_strerror};

/// An event's fields in JSON, in this order.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    time_ns: u64,
    /// The wall-clock time of the return, in UTC (RFC 3339); null if it is out of range.
    time: Option<String>,
    cpu: u32,
    pid: u32,
    tid: u32,
    uid: u32,
    comm: String,
    node: Option<String>,
    service: Option<String>,
    ret: i32,
    error: Option<String>,
    latency_ns: u64,
    ai_flags: Option<i32>,
    ai_family: Option<i32>,
    ai_socktype: Option<i32>,
    ai_protocol: Option<i32>,
    ai_addrlen: Option<u32>,
    ai_addr: Option<String>,
    ai_canonname: Option<String>,
    /// The number of entries of the list.
    addresses: u16,
    transport: &'a str,
    /// The first addresses of the list, each once.
    first_addresses: Vec<String>,
    /// The names of fields that are truncated.
    cut: Vec<&'static str>,
    /// The names of fields whose memory could not be read.
    unreadable: Vec<&'static str>,
    /// The path of the library whose function was called, as this process sees it; null if unknown.
    library: Option<String>,
    /// The path of the process's cgroup; null if unknown.
    cgroup: Option<String>,
    /// The container's id or name in that path; null if there is none, or the path is unknown.
    container: Option<String>,
}

impl<'a> Json<'a> {
    pub(super) fn new(event: &DecodedEvent<'_>, transport: Transport, origin: Origin, time: Option<String>) -> Self {
        let call = &event.call;
        let found = |value| (call.addresses > 0).then_some(value);
        let addresses: Vec<_> = call.addresses().map(|address: Address| address.to_string()).collect();
        let text = |text: Text<'_>| text.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let names = [("node", event.node), ("service", event.service), ("ai_canonname", event.canonname)];
        let cut = names.iter().filter(|(_, text)| matches!(text, Text::Cut(_))).map(|(name, _)| *name);
        let unreadable = names.iter().filter(|(_, text)| matches!(text, Text::Unreadable(_))).map(|(name, _)| *name);
        let list = (call.cut & EventHeader::LIST_CUT != 0).then_some("addresses");
        Self {
            time_ns: call.time_ns,
            time,
            cpu: call.cpu,
            pid: call.pid,
            tid: call.tid,
            uid: call.uid,
            comm: String::from_utf8_lossy(event.comm).into_owned(),
            node: text(event.node),
            service: text(event.service),
            ret: call.ret,
            error: (call.ret != 0).then(|| gai_strerror(call.ret)),
            latency_ns: call.latency_ns,
            ai_flags: found(call.ai_flags),
            ai_family: found(call.ai_family),
            ai_socktype: found(call.ai_socktype),
            ai_protocol: found(call.ai_protocol),
            ai_addrlen: (call.addresses > 0).then_some(call.ai_addrlen),
            ai_addr: addresses.first().cloned(),
            ai_canonname: text(event.canonname),
            addresses: call.addresses,
            transport: transport.name(),
            first_addresses: addresses,
            cut: cut.chain(list).collect(),
            unreadable: unreadable.collect(),
            library: origin.library,
            cgroup: origin.cgroup,
            container: origin.container,
        }
    }
}
