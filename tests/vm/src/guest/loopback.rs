//! Brings `lo` up: `SIOCGIFFLAGS`, set `IFF_UP`, `SIOCSIFFLAGS` (netdevice(7)). No dependency of this crate wraps this
//! ioctl.
#![expect(unsafe_code, reason = "ioctl(2) is variadic and takes a pointer")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Brings `lo` up. The kernel then assigns 127.0.0.1 and ::1 itself.
pub(super) fn up() -> io::Result<()> {
    // Any internet socket works; an unconnected one needs no address that is up.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let mut request =
        libc::ifreq { ifr_name: [0; libc::IFNAMSIZ], ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 } };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    interface_flags(&socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the successful SIOCGIFFLAGS before stored `ifru_flags`, so that is the live member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::c_short::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    request.ifr_ifru.ifru_flags = flags | up;
    interface_flags(&socket, libc::SIOCSIFFLAGS, &mut request)
}

fn interface_flags(socket: &UdpSocket, operation: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: both operations read and write exactly one `struct ifreq` behind the pointer, which is a live,
    // exclusive, fully initialized one; the fd is open for as long as `socket` is borrowed.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), operation, std::ptr::from_mut(request)) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
