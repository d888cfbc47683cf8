//! Cgroups: each test creates its own, enters it, and leaves and removes it at the end.

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::{Path, PathBuf},
};

use cutaway::{Cgroup, features};

use crate::{
    harness::{Test, test},
    network, own_mounts,
    sample::{self, Also, runs},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(cgroup_skb_program_sees_and_drops_packets).unless(unsupported::cgroups),
        test!(cgroup_sock_program_sees_sockets).unless(unsupported::cgroups),
        test!(cgroup_bind_program_sees_binds).unless(unsupported::cgroups),
        test!(cgroup_sendmsg_program_sees_sends).unless(unsupported::cgroups),
        test!(cgroup_setsockopt_program_sees_options).unless(unsupported::cgroups),
        test!(cgroup_sysctl_program_sees_sysctls).unless(unsupported::cgroups),
        test!(cgroup_dev_program_sees_devices).unless(unsupported::cgroups),
        test!(several_programs_attach_to_a_cgroup).unless(unsupported::cgroups),
        test!(sockops_attaches_to_a_cgroup).unless(unsupported::cgroups),
        test!(path_that_is_no_cgroup_is_refused),
    ]
}

fn cgroup_sock_program_sees_sockets() {
    seen("cgroup/sock_create", 1);
}

fn cgroup_bind_program_sees_binds() {
    seen("cgroup/bind4", 1);
}

fn cgroup_sendmsg_program_sees_sends() {
    seen("cgroup/sendmsg4", 1);
}

fn cgroup_setsockopt_program_sees_options() {
    seen("cgroup/setsockopt", 1);
}

fn cgroup_sysctl_program_sees_sysctls() {
    seen("cgroup/sysctl", 1);
}

fn cgroup_dev_program_sees_devices() {
    seen("cgroup/dev", 1);
}

/// A cgroup with this process in it.
pub(crate) struct Own(PathBuf);

impl Own {
    pub(crate) fn new() -> Self {
        let root = root();
        let own = root.join(format!("cutaway-{}", std::process::id()));
        fs::create_dir(&own).unwrap();
        let own = Self(own);
        fs::write(own.0.join("cgroup.procs"), "0").unwrap();
        own
    }

    pub(crate) fn open(&self) -> File {
        File::open(&self.0).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = fs::write(self.0.parent().unwrap().join("cgroup.procs"), "0");
        // The kernel may need a moment until the cgroup is empty.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Returns the mount point of cgroup v2; a guest has none until the test mounts it.
fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mounted = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (folder, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(folder))
    });
    mounted.unwrap_or_else(|| {
        own_mounts::mount("cgroup2", Path::new("/tmp/cgroup2"));
        PathBuf::from("/tmp/cgroup2")
    })
}

fn cgroup_skb_program_sees_and_drops_packets() {
    network::leave();
    let own = Own::new();
    for section in ["cgroup_skb/egress", "cgroup_skb/ingress"] {
        let (passing, dropping) = (sample::answering(section, 1).unwrap(), sample::answering(section, 0).unwrap());
        let cgroup = own.open();
        let link = Cgroup::new(&cgroup).attach(passing.program("count").unwrap()).unwrap();
        assert_eq!(link.as_link_fd().is_some(), features::cgroup_link().is_yes());
        assert!(network::send_to_self());
        assert!(runs(&passing) > 0);
        let second = Cgroup::new(&cgroup).attach(dropping.program("count").unwrap()).unwrap();
        assert!(!network::send_to_self());
        drop(second);
        assert!(network::send_to_self());
        drop(link);
        let before = runs(&passing);
        assert!(network::send_to_self());
        assert_eq!(runs(&passing), before);
    }
}

/// Triggers each kind of program on cgroups.
fn something() {
    network::send_to_self();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    let _ = fs::read("/proc/sys/kernel/ostype");
    let _ = File::open("/dev/null");
}

fn seen(section: &str, answer: i32) {
    network::leave();
    let own = Own::new();
    let loaded = sample::answering(section, answer).unwrap();
    let link = Cgroup::new(&own.open()).attach(loaded.program("count").unwrap()).unwrap();
    something();
    let during = runs(&loaded);
    assert!(during > 0);
    drop(link);
    something();
    assert_eq!(runs(&loaded), during);
}

fn several_programs_attach_to_a_cgroup() {
    network::leave();
    let own = Own::new();
    let loaded = sample::answering("cgroup/sock_create", 1).unwrap();
    let other = sample::answering("cgroup/sock_create", 1).unwrap();
    let links =
        [&loaded, &other].map(|loaded| Cgroup::new(&own.open()).attach(loaded.program("count").unwrap()).unwrap());
    drop(UdpSocket::bind("127.0.0.1:0").unwrap());
    assert_eq!([runs(&loaded), runs(&other)], [1, 1]);
    let [first, second] = links;
    drop(first);
    drop(UdpSocket::bind("127.0.0.1:0").unwrap());
    assert_eq!([runs(&loaded), runs(&other)], [1, 2]);
    drop(second);
}

fn sockops_attaches_to_a_cgroup() {
    network::leave();
    let own = Own::new();
    let loaded = sample::object("sockops", 1, Also::Nothing).load().unwrap();
    let link = Cgroup::new(&own.open()).attach(loaded.program("count").unwrap()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    drop(connection);
    assert!(runs(&loaded) > 0);
    drop(link);
}

fn path_that_is_no_cgroup_is_refused() {
    let loaded = sample::answering("cgroup_skb/egress", 1).unwrap();
    let folder = File::open("/tmp").unwrap();
    let line = Cgroup::new(&folder).attach(loaded.program("count").unwrap()).unwrap_err().to_string();
    assert!(line.contains("not that of a cgroup of version 2"), "{line}");
    let line = loaded.program("count").unwrap().attach().unwrap_err().to_string();
    assert!(line.contains("by hand, with `Cgroup`"), "{line}");
}
