//! A network namespace with this process alone: it has a loopback device and nothing else.
#![expect(unsafe_code, reason = "unshare(2) and an ioctl")]

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// The index of the loopback device in every network namespace.
pub(crate) const LO: u32 = 1;

/// Moves to an empty network namespace, and brings up its loopback device.
pub(crate) fn leave() {
    // SAFETY: takes flags; what this process has of the old network it keeps.
    let answer = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: an all-zero `ifreq` is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the request reads an `ifreq`.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
}

/// Creates a pair of netkit devices, and returns the index of the primary one.
pub(crate) fn netkit() -> io::Result<u32> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK_EXCL_CREATE: u16 = 0x605;
    const IFLA_IFNAME: u16 = 3;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_INFO_KIND: u16 = 1;
    let attribute = |kind: u16, value: &[u8]| {
        let mut bytes = [(4 + value.len() as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let body = [
        vec![0; 16],
        attribute(IFLA_IFNAME, b"primary\0"),
        attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, b"netkit\0")),
    ]
    .concat();
    let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST_ACK_EXCL_CREATE.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&body);
    // SAFETY: takes three integers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel has just created this fd for us.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut answer = [0_u8; 4096];
    // SAFETY: the message is borrowed for the call, with its own length.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    assert_eq!(usize::try_from(sent), Ok(message.len()), "{}", io::Error::last_os_error());
    // SAFETY: the buffer is borrowed for the call, with its own length.
    let received = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
    assert!(received >= 20, "{}", io::Error::last_os_error());
    // `struct nlmsgerr` follows the header, and begins with the negative errno.
    match i32::from_ne_bytes(answer.get(16..20).unwrap().try_into().unwrap()) {
        0 => Ok(cutaway::interface_index("primary").unwrap()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

/// Sends a packet to this process. Returns true if it arrives.
pub(crate) fn send_to_self() -> bool {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    send_to(&receiver)
}

/// Sends a packet to this socket. Returns true if it arrives.
pub(crate) fn send_to(receiver: &UdpSocket) -> bool {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _ = sender.send_to(b"packet", receiver.local_addr().unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    receiver.recv(&mut [0; 16]).is_ok()
}

/// Returns a socket with SO_REUSEPORT, which std cannot set before bind.
pub(crate) fn bound_in_a_group() -> UdpSocket {
    // SAFETY: takes three integers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just created this fd for us.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let yes: libc::c_int = 1;
    let size = size_of_val(&yes) as libc::socklen_t;
    // SAFETY: reads an integer.
    let answer = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, (&raw const yes).cast(), size) };
    assert_eq!(answer, 0);
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    // SAFETY: reads an address of this size.
    let answer = unsafe { libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t) };
    assert_eq!(answer, 0);
    socket.into()
}
