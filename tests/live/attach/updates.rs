//! Links that get another program, lose their target, or are pinned elsewhere.

use std::{
    fs::{self, File},
    io::{Read, Write},
};

use cutaway::{Cgroup, Link, LinkTarget, Loaded, Netns, PerfEvent, Program, Sockmap, Tcx, Uprobe, Xdp, XdpMode};

use crate::{
    cgroups,
    harness::{Test, test},
    kernel::{read, writing},
    link_info::program_id,
    network::{self, LO},
    own_mounts::Mounted,
    pins,
    sample::{self, runs},
    sockets::{pair, put, with_sockets},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(xdp_link_is_updated_and_detached),
        test!(tcx_link_is_updated_and_detached).unless(unsupported::tcx),
        test!(cgroup_link_is_updated_and_detached).unless(unsupported::cgroups),
        test!(namespace_link_is_updated_and_detached).unless(unsupported::sk_lookup),
        test!(socket_map_link_is_updated_and_detached).since(6, 10, "links on socket maps"),
        test!(iterator_link_is_updated).unless(unsupported::iterators),
        test!(xdp_program_without_a_link_is_replaced),
        test!(socket_map_program_without_a_link_is_replaced),
        test!(link_that_cannot_be_updated_is_refused),
        test!(pin_is_found_by_its_directory).since(6, 5, "pins by a directory's fd"),
        test!(missing_pins_by_directory_are_named).unless(pins_by_directory),
        test!(pin_of_the_link_is_removed),
    ]
}

fn count(loaded: &Loaded) -> &Program {
    loaded.program("count").unwrap()
}

/// Updates the link of `old` with `new`, then checks that only the expected program is replaced.
fn update(link: &mut Link, old: &Program, new: &Program) {
    let line = link.update_if(new, new).unwrap_err().to_string();
    assert!(line.contains("EPERM"), "{line}");
    let id = program_id(old);
    assert!(line.ends_with(&format!("the link runs the program with the id {id}, not the expected one")), "{line}");
    assert_eq!(link.info().unwrap().program, Some(id));
    link.update_if(new, old).unwrap();
    assert_eq!(link.info().unwrap().program, Some(program_id(new)));
    link.update(old).unwrap();
    assert_eq!(link.info().unwrap().program, Some(id));
    link.update(new).unwrap();
}

/// Detaches the link, and checks that it is reported as defunct.
fn detach(link: &mut Link, new: &Program) -> LinkTarget {
    link.detach().unwrap();
    let line = link.update(new).unwrap_err().to_string();
    assert!(line.contains("ENOLINK") && line.contains("the link is defunct"), "{line}");
    link.info().unwrap().target
}

fn xdp_link_is_updated_and_detached() {
    network::leave();
    let (passing, dropping) = (sample::answering("xdp", 2).unwrap(), sample::answering("xdp", 1).unwrap());
    let mut link = Xdp::new(LO).attach(count(&passing)).unwrap();
    assert!(network::send_to_self());
    update(&mut link, count(&passing), count(&dropping));
    assert!(!network::send_to_self());
    // The pin and this value still hold the link.
    let target = detach(&mut link, count(&passing));
    assert!(matches!(target, LinkTarget::Xdp { ifindex: None, .. }), "{target:?}");
    assert!(network::send_to_self());
    let again = Xdp::new(LO).attach(count(&dropping)).unwrap();
    drop(link);
    assert!(!network::send_to_self(), "dropping the defunct link detaches nothing");
    drop(again);
}

fn tcx_link_is_updated_and_detached() {
    network::leave();
    let (passing, dropping) = (sample::answering("tcx/ingress", 0).unwrap(), sample::answering("tc", 2).unwrap());
    let mut link = Tcx::ingress(LO).attach(count(&passing)).unwrap();
    update(&mut link, count(&passing), count(&dropping));
    assert!(!network::send_to_self());
    let target = detach(&mut link, count(&passing));
    assert!(matches!(target, LinkTarget::Tcx { ifindex: None, .. }), "{target:?}");
    assert!(network::send_to_self());
    drop(link);
}

fn cgroup_link_is_updated_and_detached() {
    network::leave();
    let own = cgroups::Own::new();
    let section = "cgroup_skb/egress";
    let (passing, dropping) = (sample::answering(section, 1).unwrap(), sample::answering(section, 0).unwrap());
    let mut link = Cgroup::new(&own.open()).attach(count(&passing)).unwrap();
    update(&mut link, count(&passing), count(&dropping));
    assert!(!network::send_to_self());
    let target = detach(&mut link, count(&passing));
    assert!(matches!(target, LinkTarget::Cgroup { cgroup: None, .. }), "{target:?}");
    assert!(network::send_to_self());
    drop(link);
}

fn namespace_link_is_updated_and_detached() {
    network::leave();
    let (passing, dropping) = (sample::answering("sk_lookup", 1).unwrap(), sample::answering("sk_lookup", 0).unwrap());
    let namespace = File::open("/proc/thread-self/ns/net").unwrap();
    let mut link = Netns::new(&namespace).attach(count(&passing)).unwrap();
    update(&mut link, count(&passing), count(&dropping));
    assert!(!network::send_to_self());
    let target = detach(&mut link, count(&passing));
    assert!(matches!(target, LinkTarget::Netns { inode: None, .. }), "{target:?}");
    assert!(network::send_to_self());
    drop(link);
}

/// Sends data through a socket of the map.
fn send(loaded: &Loaded) {
    let (mut near, mut far) = pair();
    put(loaded, &near);
    near.write_all(b"words").unwrap();
    far.read_exact(&mut [0; 5]).unwrap();
}

fn socket_map_link_is_updated_and_detached() {
    network::leave();
    let (first, second) = (with_sockets("sk_msg", 1), with_sockets("sk_msg", 1));
    let sockets = first.map("sockets").unwrap();
    let mut link = Sockmap::new(sockets).attach(count(&first)).unwrap();
    assert!(link.as_link_fd().is_some());
    let line = Sockmap::new(sockets).attach(count(&second)).unwrap_err().to_string();
    assert!(line.contains("EBUSY") && line.contains("`Link::update`"), "{line}");
    send(&first);
    let before = runs(&first);
    assert!(before > 0);
    update(&mut link, count(&first), count(&second));
    send(&first);
    assert_eq!(runs(&first), before);
    assert!(runs(&second) > 0);
    let before = runs(&second);
    let target = detach(&mut link, count(&first));
    assert!(matches!(target, LinkTarget::Sockmap { map: None, .. }), "{target:?}");
    send(&first);
    assert_eq!(runs(&second), before);
    drop(link);
}

fn iterator_link_is_updated() {
    let (first, second) = (writing("iter/task"), writing("iter/task"));
    let mut links = first.attach().unwrap();
    let link = links.iter_mut().next().unwrap();
    assert!(read(link) > 0);
    update(link, first.program("write").unwrap(), second.program("write").unwrap());
    assert!(read(link) > 0);
    let line = link.detach().unwrap_err().to_string();
    assert!(line.contains("a link of the type ITER cannot be detached"), "{line}");
}

fn xdp_program_without_a_link_is_replaced() {
    network::leave();
    let (passing, dropping) = (sample::answering("xdp", 2).unwrap(), sample::answering("xdp", 1).unwrap());
    let generic = Xdp::new(LO).mode(XdpMode::Generic).by_netlink();
    let line = generic.replace(count(&passing), count(&dropping)).unwrap_err().to_string();
    assert!(line.contains("the device does not run the program `count` in this mode"), "{line}");
    assert!(network::send_to_self());
    let mut link = generic.attach(count(&passing)).unwrap();
    let line = link.update_if(count(&dropping), count(&dropping)).unwrap_err().to_string();
    assert!(line.contains("EEXIST") && line.contains("another program is attached"), "{line}");
    assert!(network::send_to_self());
    link.update_if(count(&dropping), count(&passing)).unwrap();
    assert!(!network::send_to_self());
    link.update(count(&passing)).unwrap();
    assert!(network::send_to_self());
    let replacing = generic.replace(count(&dropping), count(&passing)).unwrap();
    // The replaced program's value detaches nothing.
    drop(link);
    assert!(!network::send_to_self());
    drop(replacing);
    assert!(network::send_to_self());
    let line = generic.attach(count(&passing)).unwrap().detach().unwrap_err().to_string();
    assert!(line.contains("drop it, which detaches the program"), "{line}");
    let by_link = Xdp::new(LO).mode(XdpMode::Generic).attach(count(&passing)).unwrap();
    let line = generic.replace(count(&dropping), count(&passing)).unwrap_err().to_string();
    assert!(line.contains("by a link: use `Link::update`"), "{line}");
    drop(by_link);
}

fn socket_map_program_without_a_link_is_replaced() {
    network::leave();
    let (first, second) = (with_sockets("sk_msg", 1), with_sockets("sk_msg", 1));
    let sockets = first.map("sockets").unwrap();
    let mut link = Sockmap::new(sockets).without_link().attach(count(&first)).unwrap();
    assert!(link.as_link_fd().is_none());
    let line = link.update_if(count(&second), count(&first)).unwrap_err().to_string();
    assert!(line.contains("cannot replace it in one step"), "{line}");
    link.update(count(&second)).unwrap();
    send(&first);
    assert_eq!(runs(&first), 0);
    let before = runs(&second);
    assert!(before > 0);
    drop(link);
    send(&first);
    assert_eq!(runs(&second), before);
}

fn link_that_cannot_be_updated_is_refused() {
    let (first, second) = (sample::load("raw_tp/sys_enter"), sample::load("raw_tp/sys_enter"));
    let mut link = count(&first).attach().unwrap();
    let line = link.update(count(&second)).unwrap_err().to_string();
    assert!(
        line.contains("replace the program of the link of `count` on the raw tracepoint sys_enter by `count`: EINVAL")
            && line.contains("a link of the type RAW_TRACEPOINT cannot be updated"),
        "{line}"
    );
    let line = link.detach().unwrap_err().to_string();
    assert!(line.contains("EOPNOTSUPP") && line.contains("a link of the type RAW_TRACEPOINT cannot be"), "{line}");
    assert!(!line.contains('\n'), "{line}");
    let (clock, other) = (sample::load("perf_event"), sample::load("perf_event"));
    let mut link = PerfEvent::cpu_clock().frequency(1).attach(count(&clock)).unwrap();
    let line = link.update(count(&other)).unwrap_err().to_string();
    assert!(line.contains("attached to several sites"), "{line}");
    let line = link.detach().unwrap_err().to_string();
    assert!(line.contains("drop it, which detaches the program"), "{line}");
    let (probe, other) = (sample::load("uprobe"), sample::load("uprobe"));
    let mut link = Uprobe::new("libc.so.6", "a64l").attach(count(&probe)).unwrap();
    let line = link.update(count(&other)).unwrap_err().to_string();
    assert!(
        line.contains("a link of the type PERF_EVENT cannot be updated")
            || line.contains("a program on a perf event cannot be replaced"),
        "{line}"
    );
    // The new program must fit, where a link can be updated.
    network::leave();
    let xdp = sample::answering("xdp", 2).unwrap();
    let mut link = Xdp::new(LO).attach(count(&xdp)).unwrap();
    let line = link.update(count(&first)).unwrap_err().to_string();
    assert!(line.contains("the new program must be of the same type"), "{line}");
    assert_eq!(link.info().unwrap().program, Some(program_id(count(&xdp))));
    drop(link);
}

fn pins_by_directory() -> Option<String> {
    crate::harness::older_than(6, 5, "pins").is_none().then(|| "this kernel has pins by a directory's fd".to_owned())
}

fn pin_is_found_by_its_directory() {
    let loaded = sample::load("raw_tp/sys_enter");
    let link = count(&loaded).attach().unwrap();
    let mounted = Mounted::new("bpf").unwrap();
    let directory = File::open(mounted.path()).unwrap();
    link.pin_at(&directory, "here").unwrap();
    assert!(mounted.path().join("here").exists());
    let opened = Link::from_pin_at(&directory, "here").unwrap();
    assert_eq!(opened.info().unwrap(), link.info().unwrap());
    let line = link.pin_at(&directory, "here").unwrap_err().to_string();
    assert!(line.contains("at here: EEXIST"), "{line}");
    let elsewhere = File::open("/tmp").unwrap();
    let line = link.pin_at(&elsewhere, "cutaway-no-bpf").unwrap_err().to_string();
    assert!(line.contains("BPF file system"), "{line}");
    let line = Link::from_pin_at(&directory, "nothing").unwrap_err().to_string();
    assert!(line.contains("ENOENT"), "{line}");
}

fn missing_pins_by_directory_are_named() {
    let loaded = sample::load("raw_tp/sys_enter");
    let link = count(&loaded).attach().unwrap();
    let directory = File::open(pins::file_system()).unwrap();
    let line = link.pin_at(&directory, "never").unwrap_err().to_string();
    assert!(line.contains("EINVAL") && line.contains("needs Linux 6.5"), "{line}");
}

fn pin_of_the_link_is_removed() {
    // Before Linux 6.3 a program cannot be attached twice to one raw tracepoint.
    let (loaded, another) = (sample::load("raw_tp/sys_enter"), sample::load("raw_tp/sys_enter"));
    let (link, other) = (count(&loaded).attach().unwrap(), count(&another).attach().unwrap());
    let mounted = Mounted::new("bpf").unwrap();
    let path = mounted.path().join("link");
    link.pin(&path).unwrap();
    let line = other.unpin(&path).unwrap_err().to_string();
    assert!(line.contains("another link is pinned there"), "{line}");
    assert!(path.exists());
    let program = mounted.path().join("program");
    count(&loaded).pin(&program).unwrap();
    let line = link.unpin(&program).unwrap_err().to_string();
    assert!(line.contains("not a link") && program.exists(), "{line}");
    link.unpin(&path).unwrap();
    assert!(!path.exists());
    let line = link.unpin(&path).unwrap_err().to_string();
    assert!(line.contains("ENOENT"), "{line}");
    assert_eq!(link.info().unwrap().program, Some(program_id(count(&loaded))), "it is still attached");
    fs::remove_file(program).unwrap();
}
