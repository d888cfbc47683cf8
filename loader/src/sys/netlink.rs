//! rtnetlink: messages to the part of the kernel that manages network devices (`rtnetlink(7)`).
//!
//! ```text
//!     len u32 │ type u16 │ flags u16 │ seq u32 │ port u32 │ a body that depends on the type │ attributes …
//!                                                            an attribute: len u16 │ type u16 │ value, padded to 4
//! ```
//!
//! The kernel acknowledges a request by a message of the type `NLMSG_ERROR` whose error is 0. With `NLM_F_ECHO` it
//! first sends the resulting object, with the numbers that it chose.
#![expect(unsafe_code, reason = "the system calls themselves")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use cutaway_sys::report::{check, report};

use log::kv;

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_ECHO: u16 = 0x8;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;

/// `struct nlmsghdr`
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
/// The bit of an attribute's type for a value that consists of attributes.
const NLA_F_NESTED: u16 = 1 << 15;
/// Each socket sends one request, so any number is valid.
const SEQ: u32 = 1;

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Message {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Message {
    /// Creates a message of this type (number and name), with a body whose length is a multiple of 4.
    pub(crate) fn new((kind, name): (u16, &'static str), flags: u16, body: &[u32]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        bytes.extend_from_slice(&SEQ.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend(body.iter().flat_map(|word| word.to_ne_bytes()));
        Self { name, bytes }
    }

    /// Adds an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
    }

    /// Adds an attribute whose value consists of attributes.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.open(kind | NLA_F_NESTED);
        fill(self);
        self.close(start);
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0_u16.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    /// Writes the length of the attribute that begins at `start`, and pads it.
    fn close(&mut self, start: usize) {
        let length = (self.bytes.len() - start) as u16;
        if let Some(field) = self.bytes.get_mut(start..start + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Sends the message on its own socket and waits for the acknowledgement. Returns the body of the kernel's echo;
    /// empty without `NLM_F_ECHO`.
    pub(crate) fn send(mut self, why: &str) -> io::Result<Vec<u8>> {
        let length = self.bytes.len() as u32;
        if let Some(field) = self.bytes.get_mut(..4) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        let socket = socket()?;
        // SAFETY: the bytes are borrowed for the call, with their own length.
        let sent = unsafe { libc::send(socket.as_raw_fd(), self.bytes.as_ptr().cast(), self.bytes.len(), 0) };
        let answer = check(sent as i64);
        let arguments: [(&str, kv::Value<'_>); 4] = [
            ("fd", socket.as_raw_fd().into()),
            ("nlmsg_type", self.name.into()),
            ("len", self.bytes.len().into()),
            ("flags", 0.into()),
        ];
        report("send", &arguments.as_slice(), &answer, why);
        answer?;
        self.receive(&socket)
    }

    fn receive(&self, socket: &OwnedFd) -> io::Result<Vec<u8>> {
        let mut echo = Vec::new();
        let mut buffer = vec![0_u8; 16 << 10];
        loop {
            // SAFETY: the buffer is borrowed mutably for the call, with its own length.
            let received = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            let answer = check(received as i64);
            let arguments: [(&str, kv::Value<'_>); 3] =
                [("fd", socket.as_raw_fd().into()), ("len", buffer.len().into()), ("flags", 0.into())];
            report("recv", &arguments.as_slice(), &answer, "reads the kernel's reply");
            let received = answer? as usize;
            let mut rest = buffer.get(..received).unwrap_or_default();
            while let Some((kind, body, behind)) = message(rest) {
                if kind == NLMSG_ERROR {
                    let code = body.first_chunk().copied().map_or(-libc::EPROTO, i32::from_ne_bytes);
                    return if code == 0 { Ok(echo) } else { Err(io::Error::from_raw_os_error(-code)) };
                }
                echo = body.to_vec();
                rest = behind;
            }
            // No or broken data: another call could wait forever.
            if received == 0 || !rest.is_empty() {
                return Err(io::Error::from_raw_os_error(libc::EPROTO));
            }
        }
    }
}

/// Splits off the first message: returns its type, its body, and the bytes after it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let behind = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, bytes.get(HEADER..length)?, behind))
}

fn socket() -> io::Result<OwnedFd> {
    let (domain, kind) = (libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC);
    // SAFETY: takes three integers.
    let value = unsafe { libc::socket(domain, kind, libc::NETLINK_ROUTE) };
    let answer = check(value);
    let arguments: [(&str, kv::Value<'_>); 3] = [
        ("domain", "AF_NETLINK".into()),
        ("type", "SOCK_RAW|SOCK_CLOEXEC".into()),
        ("protocol", "NETLINK_ROUTE".into()),
    ];
    report("socket", &arguments.as_slice(), &answer, "opens a socket to configure network devices");
    answer?;
    // SAFETY: the kernel has just created this fd for the caller, and nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested_ones_have_lengths() {
        let mut outer = Message::new((44, "RTM_NEWTFILTER"), 0, &[]);
        outer.attribute(1, b"bpf\0x");
        outer.nested(2, |inner| inner.attribute(6, &7_u32.to_ne_bytes()));
        let attributes = &outer.bytes[HEADER..];
        assert_eq!(attributes[..4], [9_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        assert_eq!(attributes[4..12], *b"bpf\0x\0\0\0");
        assert_eq!(attributes[12..16], [12_u16.to_ne_bytes(), (2 | NLA_F_NESTED).to_ne_bytes()].concat());
        assert_eq!(attributes[16..20], [8_u16.to_ne_bytes(), 6_u16.to_ne_bytes()].concat());
        assert_eq!(attributes.len(), 24);
    }

    #[test]
    fn truncated_message_is_refused() {
        let whole = [&20_u32.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &[0; 10], &5_i32.to_ne_bytes()].concat();
        assert_eq!(message(&whole).map(|(kind, body, rest)| (kind, body.len(), rest.len())), Some((2, 4, 0)));
        for length in 0..whole.len() {
            assert_eq!(message(&whole[..length]), None);
        }
    }
}
