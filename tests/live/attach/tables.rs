//! struct_ops maps: TCP congestion control in BPF.
#![expect(unsafe_code, reason = "sets a socket's congestion control")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
};

use cutaway::{Link, LinkTarget, LinkType, Loaded, Object};

use crate::{
    harness::{Test, older_than, test},
    network, sample, unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(struct_ops_map_is_registered_until_dropped).unless(unsupported::struct_ops),
        test!(struct_ops_map_attaches_with_a_link).unless(unsupported::struct_ops_links),
        test!(struct_ops_link_gets_another_map).unless(unsupported::struct_ops_links),
        test!(struct_ops_map_that_does_not_fit_is_refused).unless(unsupported::struct_ops),
        test!(map_that_is_no_struct_ops_map_is_refused).unless(unsupported::struct_ops),
        test!(program_is_associated_with_a_struct_ops_map).unless(unsupported::struct_ops).since(7, 0, "associations"),
        test!(program_is_not_associated_with_another_map),
    ]
}

/// Returns the object, with the struct_ops map renamed for this process.
fn object(bytes: &[u8]) -> Object {
    Object::parse(&renamed(bytes)).unwrap()
}

fn renamed(bytes: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"cutaway_table";
    let offset = bytes.windows(NAME.len() + 1).position(|window| window == b"cutaway_table\0").unwrap();
    let mut bytes = bytes.to_vec();
    bytes[offset..offset + NAME.len()].copy_from_slice(format!("{:<13.13}", name()).replace(' ', "_").as_bytes());
    bytes
}

fn name() -> String {
    format!("cut_{:_<9}", std::process::id())
}

const PLAIN: &[u8] = include_bytes!("../../corpus/kinds/struct_ops.o");
const LINKED: &[u8] = include_bytes!("../../corpus/kinds/struct_ops_link.o");

fn available() -> bool {
    let names = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap();
    names.split_whitespace().any(|known| known == name())
}

/// Sends data by TCP with that congestion control.
fn send() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let name = name();
    // SAFETY: reads the name, with its own length.
    let answer = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            name.as_ptr().cast(),
            name.len() as libc::socklen_t,
        )
    };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    client.write_all(&[7; 1000]).unwrap();
    let mut received = [0; 1000];
    listener.accept().unwrap().0.read_exact(&mut received).unwrap();
    assert_eq!(received, [7; 1000]);
}

/// Returns the number of runs of `init`.
fn calls(loaded: &Loaded) -> u64 {
    let value = loaded.map(".bss").unwrap().lookup(&0_u32.to_ne_bytes()).unwrap().unwrap();
    u64::from_ne_bytes(value.try_into().unwrap())
}

fn struct_ops_map_is_registered_until_dropped() {
    network::leave();
    let loaded = object(PLAIN).load().unwrap();
    assert!(loaded.program("unused").is_err(), "no struct_ops map uses it");
    assert!(loaded.map("unwanted").is_err());
    assert!(!available());
    let links = loaded.attach().unwrap();
    assert_eq!(links.iter().count(), 1, "the link is of the struct_ops map, not of its programs");
    assert!(available());
    send();
    assert_eq!(calls(&loaded), 1);
    let line = loaded.map("table").unwrap().attach().unwrap_err().to_string();
    assert!(line.contains("register the struct_ops map `table`: EBUSY"), "{line}");
    let line = links.iter().next().unwrap().pin("/sys/fs/bpf/never").unwrap_err().to_string();
    assert!(line.contains("the kernel has no link for it"), "{line}");
    drop(links);
    assert!(!available());
}

fn struct_ops_map_attaches_with_a_link() {
    network::leave();
    let loaded = object(LINKED).load().unwrap();
    for round in 1..=2 {
        let link = loaded.map("table").unwrap().attach().unwrap();
        assert!(link.as_link_fd().is_some());
        assert!(available());
        send();
        assert_eq!(calls(&loaded), round);
        drop(link);
        assert!(!available());
    }
    let line = loaded.program("init").unwrap().attach().unwrap_err().to_string();
    assert!(line.contains("it is part of a struct_ops map"), "{line}");
}

fn struct_ops_link_gets_another_map() {
    network::leave();
    // Both maps have the name of this process: the kernel requires it for congestion control.
    let (first, second) = (object(LINKED).load().unwrap(), object(LINKED).load().unwrap());
    let (old, new) = (first.map("table").unwrap(), second.map("table").unwrap());
    let mut link = old.attach().unwrap();
    let info = link.info().unwrap();
    assert_eq!((info.link_type, info.program), (LinkType::STRUCT_OPS, None));
    let map = |link: &Link| match link.info().unwrap().target {
        LinkTarget::StructOps { map, .. } => map,
        other => panic!("{other:?}"),
    };
    assert_eq!(map(&link), Some(old.id()));
    let line = link.update_map_if(new, new).unwrap_err().to_string();
    assert!(line.contains("EPERM") && line.contains("does not have the expected map"), "{line}");
    link.update_map_if(new, old).unwrap();
    assert_eq!(map(&link), Some(new.id()));
    send();
    assert_eq!((calls(&first), calls(&second)), (0, 1));
    link.update_map(old).unwrap();
    send();
    assert_eq!((calls(&first), calls(&second)), (1, 1));
    let line = link.update_map(first.map(".bss").unwrap()).unwrap_err().to_string();
    assert!(line.contains("not a struct_ops map of the section"), "{line}");
    let line = link.update(first.program("init").unwrap()).unwrap_err().to_string();
    assert!(line.contains("cannot be updated with a program"), "{line}");
    if older_than(6, 10, "detaching struct_ops maps").is_none() {
        link.detach().unwrap();
        assert_eq!(map(&link), None);
        assert!(!available());
    }
    drop(link);
    assert!(!available());
}

fn struct_ops_map_that_does_not_fit_is_refused() {
    let mut object = object(PLAIN);
    object.map_mut("unwanted").unwrap().autocreate = true;
    let line = object.load().unwrap_err().to_string();
    for part in ["create the map `unwanted` (STRUCT_OPS)", "`struct tcp_congestion_ops` has no member `never_was`"] {
        assert!(line.contains(part), "{line}");
    }
    let mut bytes = PLAIN.to_vec();
    const NAME: &[u8] = b"tcp_congestion_ops";
    for offset in 0..bytes.len() - NAME.len() {
        if bytes[offset..].starts_with(NAME) {
            bytes[offset] = b'x';
        }
    }
    let line = Object::parse(&bytes).unwrap().load().unwrap_err().to_string();
    assert!(line.contains("no struct_ops of the type `struct xcp_congestion_ops`"), "{line}");
}

fn map_that_is_no_struct_ops_map_is_refused() {
    let loaded = object(PLAIN).load().unwrap();
    let line = loaded.map(".bss").unwrap().attach().unwrap_err().to_string();
    assert!(line.contains("it is of type ARRAY, not a struct_ops map"), "{line}");
}

fn program_is_associated_with_a_struct_ops_map() {
    let loaded = object(PLAIN).load().unwrap();
    let map = loaded.map("table").unwrap();
    let other = sample::load("syscall");
    let program = other.program("count").unwrap();
    program.associate_struct_ops(map).unwrap();
    program.associate_struct_ops(map).unwrap();
    let second = object(PLAIN).load().unwrap();
    let line = program.associate_struct_ops(second.map("table").unwrap()).unwrap_err().to_string();
    assert!(line.contains("EBUSY") && line.contains("associated with another map"), "{line}");
}

fn program_is_not_associated_with_another_map() {
    let loaded = sample::load("xdp");
    let program = loaded.program("count").unwrap();
    let line = program.associate_struct_ops(loaded.map("seen").unwrap()).unwrap_err().to_string();
    assert!(line.contains("associate the program `count` with the map `seen`: EINVAL"), "{line}");
    assert!(line.contains("Linux 7.0"), "{line}");
}
