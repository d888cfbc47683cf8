//! Messages between `trace` and the holder process over `SOCK_SEQPACKET`: a few bytes, and sometimes an fd.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
    },
};

/// A message.
pub(crate) struct Message {
    pub(crate) word: u32,
    pub(crate) fd: Option<OwnedFd>,
}

/// Creates two connected sockets.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Returns whether this fd is a `SOCK_SEQPACKET` socket of `AF_UNIX`, as those of [`pair`] are.
pub(crate) fn is_seqpacket(socket: impl AsFd) -> bool {
    sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(&socket) == Ok(SocketType::SEQPACKET)
}

/// Returns whether the other end is closed.
pub(crate) fn is_closed(socket: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&socket, PollFlags::empty())];
    let polled = retry_on_intr(|| poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })));
    polled.is_err() || fds.iter().any(|fd| fd.revents().contains(PollFlags::HUP))
}

/// Sends a message, without blocking. Fails with `EAGAIN` if there is no room for it.
pub(crate) fn send(to: impl AsFd, word: u32, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    retry_on_intr(|| sendmsg(&to, &[IoSlice::new(&word.to_ne_bytes())], &mut control, flags)).map(drop)
}

/// Receives a message. Returns `None` if the other end is closed, or if there is no message and `wait` is false.
pub(crate) fn receive(from: impl AsFd, wait: bool) -> Option<Message> {
    let mut word = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let received = retry_on_intr(|| recvmsg(&from, &mut [IoSliceMut::new(&mut word)], &mut control, flags)).ok()?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    (received.bytes == word.len()).then(|| Message { word: u32::from_ne_bytes(word), fd })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sockets_are_not_accepted() {
        assert!(is_seqpacket(pair().unwrap().0));
        assert!(!is_seqpacket(std::os::unix::net::UnixStream::pair().unwrap().0));
        assert!(!is_seqpacket(std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap()));
        assert!(!is_seqpacket(std::fs::File::open("/dev/null").unwrap()));
    }

    #[test]
    fn words_and_fds_arrive() {
        let (one, other) = pair().unwrap();
        assert!(receive(&other, false).is_none());
        let (sent, kept) = pair().unwrap();
        send(&one, 7, Some(sent.as_fd())).unwrap();
        drop(sent);
        let message = receive(&other, true).unwrap();
        assert_eq!(message.word, 7);
        send(message.fd.unwrap(), 8, None).unwrap();
        assert_eq!(receive(&kept, true).unwrap().word, 8);
        // The other end is closed.
        assert!(receive(&kept, true).is_none());
        // Without a reader the socket's buffer becomes full.
        assert!((0..100_000).any(|number| send(&one, number, None).is_err()));
        assert!(!is_closed(&one));
        drop(other);
        assert!(is_closed(&one));
        assert!(send(&one, 1, None).is_err());
    }
}
