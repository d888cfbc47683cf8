//! A network namespace with this process alone: it has a loopback device and nothing else.
#![expect(unsafe_code, reason = "unshare(2) and an ioctl")]

use std::{
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
