//! The event as it is laid out in the buffer, and its decoding.
//!
//! An event is an [`EventHeader`], with the same layout for every transport, followed by three strings. The transports
//! differ only in the space for those strings: heap and ring carry an [`Event`], the BPF stack has space for a
//! [`StackEvent`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::Transport;
use crate::describe;

/// One finished call of `getaddrinfo`, without its strings.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// The time of the return, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The duration of the call, in nanoseconds.
    pub latency_ns: u64,
    /// The id of the process's cgroup in the cgroup v2 hierarchy when the call returned; 0 if
    /// [`names::WITH_CGROUP`](super::names::WITH_CGROUP) is not set.
    pub cgroup: u64,
    /// The process id, in the initial PID namespace.
    pub pid: u32,
    /// The thread id, in the initial PID namespace.
    pub tid: u32,
    /// The real user id, in the initial user namespace.
    pub uid: u32,
    /// The CPU on which the call returned.
    pub cpu: u32,
    /// The thread's name, terminated by a NUL.
    pub comm: [u8; 16],
    /// The return value: 0, or one of `EAI_…` (`netdb.h`).
    pub ret: i32,
    /// `ai_flags` of the first `struct addrinfo` of the result; this field and the other `ai_…` fields are 0 if the
    /// call failed.
    pub ai_flags: i32,
    /// `AF_INET` or `AF_INET6`.
    pub ai_family: i32,
    /// `SOCK_STREAM` and so on.
    pub ai_socktype: i32,
    /// `IPPROTO_TCP` and so on.
    pub ai_protocol: i32,
    /// The parts that were truncated: [`EventHeader::NODE_CUT`] and the constants after it.
    //
    // This and the counts below are not at a multiple of 8. On a BPF stack the verifier would otherwise know their
    // values, and walk the list again for each one.
    pub cut: u16,
    /// The length of the node string in bytes with its NUL; 0 for a null pointer; a negative errno if it could not be
    /// read.
    pub node_len: i16,
    /// The cookie of the return probe's link, which identifies the file of the function; 0 if
    /// [`names::WITH_COOKIE`](super::names::WITH_COOKIE) is not set.
    pub cookie: u32,
    /// The number of entries used in [`EventHeader::addrs`].
    pub kept: u16,
    /// The number of entries in the list, counted up to [`EventHeader::MOST_ADDRESSES`].
    pub addresses: u16,
    /// The size of the first address in bytes.
    pub ai_addrlen: u32,
    /// The length of the service string, as [`EventHeader::node_len`].
    pub service_len: i16,
    /// The length of the canonical name, as [`EventHeader::node_len`].
    pub canonname_len: i16,
    /// The first addresses of the list, as `struct sockaddr`: that of the first entry, and those of later entries with
    /// the same socket type. Most lists hold each address once for every socket type.
    pub addrs: [[u8; 28]; 4],
}
describe!(EventHeader {
    time_ns,
    latency_ns,
    cgroup,
    pid,
    tid,
    uid,
    cpu,
    comm: char,
    ret,
    ai_flags,
    ai_family,
    ai_socktype,
    ai_protocol,
    cut,
    node_len,
    cookie,
    kept,
    addresses,
    ai_addrlen,
    service_len,
    canonname_len,
    addrs,
});

/// An event with space for any name: 255 bytes and a NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// The event without its strings.
    pub call: EventHeader,
    /// The requested host.
    pub node: [u8; 256],
    /// The requested service.
    pub service: [u8; 256],
    /// `ai_canonname` of the first entry.
    pub canonname: [u8; 256],
}
describe!(Event { call, node: char, service: char, canonname: char });

/// An event that fits the BPF stack beside the program's other data.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct StackEvent {
    /// The event without its strings.
    pub call: EventHeader,
    /// The requested host, or its first 119 bytes.
    pub node: [u8; 120],
    /// The requested service, or its first 23 bytes.
    pub service: [u8; 24],
    /// `ai_canonname` of the first entry, or its first 55 bytes.
    pub canonname: [u8; 56],
}
describe!(StackEvent { call, node: char, service: char, canonname: char });

impl EventHeader {
    /// [`EventHeader::cut`]: the host's name is longer than its field.
    pub const NODE_CUT: u16 = 1;
    /// [`EventHeader::cut`]: the service's name is longer than its field.
    pub const SERVICE_CUT: u16 = 1 << 1;
    /// [`EventHeader::cut`]: the canonical name is longer than its field.
    pub const CANONNAME_CUT: u16 = 1 << 2;
    /// [`EventHeader::cut`]: the list is longer than [`EventHeader::MOST_ADDRESSES`], or its memory could not be read.
    pub const LIST_CUT: u16 = 1 << 3;

    /// The largest number of list entries that are counted: the verifier requires a bound.
    pub const MOST_ADDRESSES: u16 = 64;

    /// Returns the addresses that the event carries, at most four.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.addrs.iter().take(usize::from(self.kept)).filter_map(Address::read)
    }

    fn read(bytes: &mut Fields<'_>) -> Option<Self> {
        // The fields are read in the order of the compiler's layout. There is no padding, see the assertion below.
        Some(Self {
            time_ns: u64::from_ne_bytes(bytes.take()?),
            latency_ns: u64::from_ne_bytes(bytes.take()?),
            cgroup: u64::from_ne_bytes(bytes.take()?),
            pid: u32::from_ne_bytes(bytes.take()?),
            tid: u32::from_ne_bytes(bytes.take()?),
            uid: u32::from_ne_bytes(bytes.take()?),
            cpu: u32::from_ne_bytes(bytes.take()?),
            comm: bytes.take()?,
            ret: i32::from_ne_bytes(bytes.take()?),
            ai_flags: i32::from_ne_bytes(bytes.take()?),
            ai_family: i32::from_ne_bytes(bytes.take()?),
            ai_socktype: i32::from_ne_bytes(bytes.take()?),
            ai_protocol: i32::from_ne_bytes(bytes.take()?),
            cut: u16::from_ne_bytes(bytes.take()?),
            node_len: i16::from_ne_bytes(bytes.take()?),
            cookie: u32::from_ne_bytes(bytes.take()?),
            kept: u16::from_ne_bytes(bytes.take()?),
            addresses: u16::from_ne_bytes(bytes.take()?),
            ai_addrlen: u32::from_ne_bytes(bytes.take()?),
            service_len: i16::from_ne_bytes(bytes.take()?),
            canonname_len: i16::from_ne_bytes(bytes.take()?),
            addrs: [bytes.take()?, bytes.take()?, bytes.take()?, bytes.take()?],
        })
    }
}

/// Takes fields from the front of a slice of bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

/// Returns the size of a field in bytes.
pub(super) const fn field_size<T, const N: usize>(_: fn(&T) -> &[u8; N]) -> usize {
    N
}

// Three u64, eleven u32, six u16, a name and four addresses, without padding.
const _: () = assert!(size_of::<EventHeader>() == 3 * 8 + 11 * 4 + 6 * 2 + 16 + 4 * 28);

/// A call with its strings, borrowed from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodedEvent<'a> {
    /// The event without its strings.
    pub call: EventHeader,
    /// The thread's name.
    pub comm: &'a [u8],
    /// The requested host.
    pub node: Text<'a>,
    /// The requested service.
    pub service: Text<'a>,
    /// The canonical name of the result.
    pub canonname: Text<'a>,
}

/// A string of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text<'a> {
    /// The pointer was null.
    Null,
    /// The memory could not be read: the errno, usually `EFAULT`.
    Unreadable(i32),
    /// The whole string, without its NUL.
    Whole(&'a [u8]),
    /// The first bytes of a string that is longer than its field in the event.
    Cut(&'a [u8]),
}

/// A record whose size is not that of the expected event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventError {
    /// The expected size in bytes.
    pub expected: usize,
    /// The record's size in bytes.
    pub got: usize,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record has {} bytes, an event has {}", self.got, self.expected)
    }
}

impl std::error::Error for EventError {}

impl Transport {
    /// Returns the size in bytes of an event of this transport.
    #[must_use]
    pub fn event_size(self) -> usize {
        match self {
            Self::PerfStack => size_of::<StackEvent>(),
            Self::PerfHeap | Self::Ring => size_of::<Event>(),
        }
    }

    /// Decodes an event of this transport.
    ///
    /// # Errors
    ///
    /// If the record is not [`Transport::event_size`] bytes long.
    pub fn read(self, record: &[u8]) -> Result<DecodedEvent<'_>, EventError> {
        let wrong = EventError { expected: self.event_size(), got: record.len() };
        if record.len() != self.event_size() {
            return Err(wrong);
        }
        macro_rules! sizes {
            ($event:ty) => {
                [
                    field_size(|event: &$event| &event.node),
                    field_size(|event: &$event| &event.service),
                    field_size(|event: &$event| &event.canonname),
                ]
            };
        }
        let sizes = match self {
            Self::PerfStack => sizes!(StackEvent),
            Self::PerfHeap | Self::Ring => sizes!(Event),
        };
        let mut fields = Fields(record);
        let call = EventHeader::read(&mut fields).ok_or(wrong)?;
        let comm = record.get(std::mem::offset_of!(EventHeader, comm)..).unwrap_or_default();
        let comm = comm.get(..16).unwrap_or_default();
        let mut strings = fields.0;
        let mut text = |size: usize, length: i16, cut: u16| {
            let (text, rest) = strings.split_at_checked(size).unwrap_or_default();
            strings = rest;
            Text::new(text, length, call.cut & cut != 0)
        };
        let [node, service, canonname] = sizes;
        Ok(DecodedEvent {
            call,
            comm: until_nul(comm),
            node: text(node, call.node_len, EventHeader::NODE_CUT),
            service: text(service, call.service_len, EventHeader::SERVICE_CUT),
            canonname: text(canonname, call.canonname_len, EventHeader::CANONNAME_CUT),
        })
    }
}

impl<'a> Text<'a> {
    fn new(field: &'a [u8], length: i16, cut: bool) -> Self {
        match length {
            0 => Self::Null,
            ..0 => Self::Unreadable(-i32::from(length)),
            _ if cut => Self::Cut(until_nul(field)),
            _ => Self::Whole(until_nul(field)),
        }
    }

    /// Returns the bytes of the string, as far as the event has them; `None` if it has none.
    #[must_use]
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Whole(bytes) | Self::Cut(bytes) => Some(bytes),
            Self::Null | Self::Unreadable(_) => None,
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The host part of a socket address. Displayed as usual, `127.0.0.1`, or `fe80::1%2` with the interface of a
/// link-local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The index of the interface; 0 if the address needs none.
    pub scope: u32,
}

impl Address {
    /// Decodes `struct sockaddr_in` or `struct sockaddr_in6`; `None` for another family.
    fn read(sockaddr: &[u8; 28]) -> Option<Self> {
        const AF_INET: u16 = 2;
        const AF_INET6: u16 = 10;
        let mut fields = Fields(sockaddr);
        let family = u16::from_ne_bytes(fields.take()?);
        let _port: [u8; 2] = fields.take()?;
        match family {
            AF_INET => Some(Self { ip: Ipv4Addr::from(fields.take::<4>()?).into(), scope: 0 }),
            AF_INET6 => {
                let _flow: [u8; 4] = fields.take()?;
                let ip = Ipv6Addr::from(fields.take::<16>()?).into();
                Some(Self { ip, scope: u32::from_ne_bytes(fields.take()?) })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            0 => write!(f, "{}", self.ip),
            scope => write!(f, "{}%{scope}", self.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// The bytes of an event, zero except where set.
    struct Bytes(Vec<u8>);

    impl Bytes {
        fn new(transport: Transport) -> Self {
            Self(vec![0; transport.event_size()])
        }

        fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
            self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
            self
        }
    }

    #[test]
    fn every_field_is_read_at_its_offset() {
        let bytes = Bytes::new(Transport::Ring)
            .put(offset_of!(EventHeader, latency_ns), &7_u64.to_ne_bytes())
            .put(offset_of!(EventHeader, comm), b"getent")
            .put(offset_of!(EventHeader, ret), &(-2_i32).to_ne_bytes())
            .put(offset_of!(EventHeader, canonname_len), &5_i32.to_ne_bytes())
            .put(offset_of!(Event, canonname), b"name\0stale")
            .0;
        let event = Transport::Ring.read(&bytes).unwrap();
        assert_eq!((event.call.latency_ns, event.call.ret, event.comm), (7, -2, &b"getent"[..]));
        assert_eq!(event.canonname, Text::Whole(b"name"));
    }

    #[test]
    fn string_is_null_unreadable_whole_or_cut() {
        let node = |length: i16, cut: u16| {
            let bytes = Bytes::new(Transport::PerfStack)
                .put(offset_of!(EventHeader, node_len), &length.to_ne_bytes())
                .put(offset_of!(EventHeader, cut), &cut.to_ne_bytes())
                .put(offset_of!(StackEvent, node), b"host")
                .0;
            let event = Transport::PerfStack.read(&bytes).unwrap();
            (event.node == Text::Null, event.node == Text::Unreadable(14), event.node.bytes().map(<[u8]>::to_vec))
        };
        assert_eq!(node(0, 0), (true, false, None));
        assert_eq!(node(-14, 0), (false, true, None));
        assert_eq!(node(5, 0), (false, false, Some(b"host".to_vec())));
        assert_eq!(node(120, EventHeader::NODE_CUT), (false, false, Some(b"host".to_vec())));
    }

    #[test]
    fn addresses_of_both_families_are_read_up_to_kept() {
        let v4 = [2, 0, 0, 80, 127, 0, 0, 1];
        let mut v6 = [0_u8; 28];
        v6[..2].copy_from_slice(&10_u16.to_ne_bytes());
        v6[8..10].copy_from_slice(&[0xfe, 0x80]);
        v6[23] = 1;
        v6[24..].copy_from_slice(&3_u32.to_ne_bytes());
        let addrs = offset_of!(EventHeader, addrs);
        let bytes = Bytes::new(Transport::PerfHeap)
            .put(offset_of!(EventHeader, kept), &2_u16.to_ne_bytes())
            .put(addrs, &2_u16.to_ne_bytes())
            .put(addrs + 2, &v4[2..])
            .put(addrs + 28, &v6)
            .put(addrs + 56, &v6)
            .0;
        let event = Transport::PerfHeap.read(&bytes).unwrap();
        let shown: Vec<_> = event.call.addresses().map(|address| address.to_string()).collect();
        assert_eq!(shown, ["127.0.0.1", "fe80::1%3"]);
    }

    #[test]
    fn record_of_another_length_is_refused() {
        for transport in Transport::ALL {
            for length in [0, 8, transport.event_size() - 1, transport.event_size() + 1] {
                let error = transport.read(&vec![0; length]).unwrap_err();
                assert_eq!(error, EventError { expected: transport.event_size(), got: length });
            }
        }
    }

    #[test]
    fn stack_event_fits_the_stack() {
        assert!(Transport::PerfStack.event_size() < 512);
        assert!(Transport::Ring.event_size() > 512);
    }
}
