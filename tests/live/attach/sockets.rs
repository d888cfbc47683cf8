//! Sockets, maps of sockets, the network namespace, and netfilter. Each test has a network namespace of its own.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
};

use cutaway::{Loaded, Netfilter, NetfilterHook, Netns, Object, SocketFilter, Sockmap};
use cutaway_programs::prelude::*;

use crate::{
    harness::{Test, test},
    network,
    sample::{self, runs},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(socket_filter_accepts_and_drops),
        test!(reuseport_program_selects_a_socket),
        test!(sk_skb_verdict_sees_received_data).unless(unsupported::verdicts_alone),
        test!(sk_msg_sees_sent_data),
        test!(sk_skb_without_attach_type_is_refused),
        test!(sk_lookup_sees_a_lookup).unless(unsupported::sk_lookup),
        test!(flow_dissector_is_one_a_namespace).unless(unsupported::sk_lookup),
        test!(netfilter_sees_and_drops_packets).unless(unsupported::netfilter),
        test!(fd_that_is_no_socket_is_refused),
    ]
}

fn socket_filter_accepts_and_drops() {
    network::leave();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (all, none) = (sample::answering("socket", -1).unwrap(), sample::answering("socket", 0).unwrap());
    let link = SocketFilter::new(&receiver).attach(all.program("count").unwrap()).unwrap();
    assert!(network::send_to(&receiver));
    assert_eq!(runs(&all), 1);
    drop(link);
    let link = SocketFilter::new(&receiver).attach(none.program("count").unwrap()).unwrap();
    assert!(!network::send_to(&receiver));
    assert_eq!(runs(&none), 1);
    drop(link);
    assert!(network::send_to(&receiver));
    assert_eq!((runs(&all), runs(&none)), (1, 1));
}

fn reuseport_program_selects_a_socket() {
    network::leave();
    let socket = network::bound_in_a_group();
    let loaded = sample::answering("sk_reuseport", 1).unwrap();
    let link = SocketFilter::new(&socket).attach(loaded.program("count").unwrap()).unwrap();
    assert!(network::send_to(&socket));
    assert!(runs(&loaded) > 0);
    drop(link);
    let before = runs(&loaded);
    assert!(network::send_to(&socket));
    assert_eq!(runs(&loaded), before);
}

/// Loads the sample's object with an additional SOCKMAP.
pub(crate) fn with_sockets(section: &str, answer: i32) -> Loaded {
    let mut object = ObjectBuilder::new("GPL");
    let seen = object.map("seen", MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(2));
    object.map("sockets", MapDef::new(MapType::SOCKMAP).key::<u32>().value::<u32>().max_entries(2));
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, seen);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, done);
    asm.mov(R1, 1);
    asm.atomic_add(DW, R0, 0, R1);
    asm.bind(done);
    asm.mov(R0, answer);
    asm.exit();
    object.program(section, "count", asm);
    Object::parse(&object.write().unwrap()).unwrap().load().unwrap()
}

pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

pub(crate) fn put(loaded: &Loaded, socket: &TcpStream) {
    let sockets = loaded.map("sockets").unwrap();
    sockets.update(&0_u32.to_ne_bytes(), &socket.as_raw_fd().to_ne_bytes()).unwrap();
}

pub(crate) const SK_PASS: i32 = 1;

fn sk_skb_verdict_sees_received_data() {
    network::leave();
    let loaded = with_sockets("sk_skb/verdict", SK_PASS);
    let link = Sockmap::new(loaded.map("sockets").unwrap()).attach(loaded.program("count").unwrap()).unwrap();
    let (mut near, mut far) = pair();
    put(&loaded, &far);
    near.write_all(b"words").unwrap();
    let mut words = [0; 5];
    far.read_exact(&mut words).unwrap();
    assert_eq!(&words, b"words");
    assert!(runs(&loaded) > 0);
    drop(link);
    // The program is detached: the map accepts another one.
    let link = Sockmap::new(loaded.map("sockets").unwrap()).attach(loaded.program("count").unwrap()).unwrap();
    drop(link);
}

fn sk_msg_sees_sent_data() {
    network::leave();
    let loaded = with_sockets("sk_msg", SK_PASS);
    let link = Sockmap::new(loaded.map("sockets").unwrap()).attach(loaded.program("count").unwrap()).unwrap();
    let (mut near, mut far) = pair();
    put(&loaded, &near);
    near.write_all(b"words").unwrap();
    let mut words = [0; 5];
    far.read_exact(&mut words).unwrap();
    assert!(runs(&loaded) > 0);
    drop(link);
}

fn sk_skb_without_attach_type_is_refused() {
    let loaded = with_sockets("sk_skb", SK_PASS);
    let answer = Sockmap::new(loaded.map("sockets").unwrap()).attach(loaded.program("count").unwrap());
    let line = answer.unwrap_err().to_string();
    assert!(line.contains("`sk_skb/stream_verdict`"), "{line}");
}

fn namespace() -> File {
    File::open("/proc/thread-self/ns/net").unwrap()
}

fn sk_lookup_sees_a_lookup() {
    network::leave();
    let (passing, dropping) =
        (sample::answering("sk_lookup", SK_PASS).unwrap(), sample::answering("sk_lookup", 0).unwrap());
    let link = Netns::new(&namespace()).attach(passing.program("count").unwrap()).unwrap();
    assert!(network::send_to_self());
    assert!(runs(&passing) > 0);
    drop(link);
    let link = Netns::new(&namespace()).attach(dropping.program("count").unwrap()).unwrap();
    assert!(!network::send_to_self());
    drop(link);
    assert!(network::send_to_self());
}

fn flow_dissector_is_one_a_namespace() {
    network::leave();
    let loaded = sample::answering("flow_dissector", 0).unwrap();
    let link = Netns::new(&namespace()).attach(loaded.program("count").unwrap()).unwrap();
    let line = Netns::new(&namespace()).attach(loaded.program("count").unwrap()).unwrap_err().to_string();
    assert!(line.contains("cannot attach the program `count` to the network namespace"), "{line}");
    drop(link);
    drop(Netns::new(&namespace()).attach(loaded.program("count").unwrap()).unwrap());
}

fn netfilter_sees_and_drops_packets() {
    network::leave();
    let (accepting, dropping) =
        (sample::answering("netfilter", 1).unwrap(), sample::answering("netfilter", 0).unwrap());
    let hook = Netfilter::ipv4(NetfilterHook::LocalIn).priority(-5);
    let link = hook.attach(accepting.program("count").unwrap()).unwrap();
    assert!(network::send_to_self());
    assert!(runs(&accepting) > 0);
    let line = hook.attach(dropping.program("count").unwrap()).unwrap_err().to_string();
    assert!(line.contains("has this priority"), "{line}");
    drop(link);
    let link = hook.attach(dropping.program("count").unwrap()).unwrap();
    assert!(!network::send_to_self());
    drop(link);
    assert!(network::send_to_self());
}

fn fd_that_is_no_socket_is_refused() {
    let loaded = sample::answering("socket", 0).unwrap();
    let file = File::open("/dev/null").unwrap();
    let line = SocketFilter::new(&file).attach(loaded.program("count").unwrap()).unwrap_err().to_string();
    assert!(line.contains("attach the program `count` to the socket"), "{line}");
}
