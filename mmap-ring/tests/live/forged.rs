//! Tests fds that are not rings: maps of other types that can be mapped, files, programs. Also tests fds whose type the
//! kernel does not disclose.
#![expect(unsafe_code, reason = "makes files in memory, and filters the system calls of one thread")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::thread;

use mmap_ring::{Error, OverwriteRing, Peek, Ring, UserRing};

use crate::harness::{Test, test};
use crate::kernel::insn::{exit, mov_imm};
use crate::kernel::{self, F_MMAPABLE, create_map, create_ring, load_program, lookup_map, update_map};
use crate::{Outcome, PAGE, own_mounts};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(only_a_ring_is_opened_as_a_ring),
        test!(forged_ring_in_an_array_is_refused),
        test!(ring_is_recognized_by_proc_where_bpf_is_refused),
        test!(file_system_mounted_on_proc_is_ignored),
    ]
}

/// Runs `run` on a new thread, which may then change its mounts or its system call filter.
fn on_a_thread(run: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    thread::spawn(run).join().map_err(|_| "it panicked")?
}

/// Opens an fd as a ring, as an overwriting ring, as an observed ring and as a user ring. Returns the error of each.
fn open(fd: &OwnedFd, bytes: u32) -> io::Result<[Option<Error>; 4]> {
    Ok([
        Ring::open(fd.try_clone()?, bytes).err(),
        OverwriteRing::open(fd.try_clone()?, bytes).err(),
        Peek::open(fd, bytes).err(),
        UserRing::open(fd.try_clone()?, bytes).err(),
    ])
}

fn only_a_ring_is_opened_as_a_ring() -> Outcome {
    const RING: u32 = kernel::MAP_TYPE_RINGBUF;
    const USER_RING: u32 = kernel::MAP_TYPE_USER_RINGBUF;
    let ring = open(&create_ring(PAGE)?, PAGE)?;
    assert!(matches!(ring, [None, None, None, Some(Error::WrongType { found: Some(RING), .. })]), "a ring: {ring:?}");
    // Since Linux 6.1.
    if let Ok(map) = create_map(USER_RING, 0, 0, PAGE, 0) {
        let [ring, overwriting, peek, user] = open(&map, PAGE)?;
        for error in [ring, overwriting] {
            assert!(matches!(error, Some(Error::WrongType { found: Some(USER_RING), .. })), "a user ring: {error:?}");
        }
        assert!(peek.is_none() && user.is_none(), "{peek:?} {user:?}");
    }
    // Maps that can be mapped and are large enough, and maps that cannot be mapped.
    let value = 4 * PAGE;
    let maps = [
        create_map(kernel::MAP_TYPE_ARRAY, 4, value, 1, F_MMAPABLE),
        create_map(kernel::MAP_TYPE_ARRAY, 4, 8, PAGE, F_MMAPABLE),
        create_map(kernel::MAP_TYPE_ARRAY, 4, 4, PAGE, 0),
        create_map(kernel::MAP_TYPE_HASH, 4, 4, PAGE, 0),
        // Since Linux 6.9. Its `max_entries` counts pages, and here equals the size of the ring in bytes.
        create_map(kernel::MAP_TYPE_ARENA, 0, 0, PAGE, F_MMAPABLE),
    ];
    for map in maps.into_iter().flatten() {
        for error in open(&map, PAGE)? {
            assert!(matches!(error, Some(Error::WrongType { found: Some(_), .. })), "{error:?}");
        }
    }
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (socket, _other) = std::os::unix::net::UnixStream::pair()?;
    let others = [
        load_program(&[mov_imm(0, 0), exit()]),
        memory(u64::from(value))?.into(),
        null.into(),
        socket.into(),
        File::open("/proc/self/exe")?.into(),
    ];
    for other in others {
        for error in open(&other, PAGE)? {
            assert!(matches!(error, Some(Error::WrongType { found: None, .. })), "{error:?}");
        }
    }
    Ok(())
}

/// Creates a memory file of `bytes` bytes.
fn memory(bytes: u64) -> io::Result<File> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"forged".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this fd for the caller.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(bytes)?;
    Ok(file)
}

/// Tests an array of four pages with the content of a ring that holds one record.
fn forged_ring_in_an_array_is_refused() -> Outcome {
    let page = PAGE as usize;
    let map = create_map(kernel::MAP_TYPE_ARRAY, 4, 4 * PAGE, 1, F_MMAPABLE)?;
    let mut value = vec![0; 4 * page];
    value[page..page + 8].copy_from_slice(&16_u64.to_ne_bytes());
    for view in [2 * page, 3 * page] {
        value[view..view + 4].copy_from_slice(&8_u32.to_ne_bytes());
        value[view + 8..view + 16].copy_from_slice(b"original");
    }
    update_map(map.as_fd(), 0, &value);
    for error in open(&map, PAGE)? {
        assert!(matches!(error, Some(Error::WrongType { found: Some(kernel::MAP_TYPE_ARRAY), .. })), "{error:?}");
    }
    let mut now = vec![1; 4 * page];
    lookup_map(map.as_fd(), 0, &mut now);
    assert!(now == value, "the array was written to");
    Ok(())
}

/// Makes these system calls fail with EPERM on this thread from now on.
fn refuse(calls: &[libc::c_long]) -> io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // The number of the call is the first word of `struct seccomp_data`.
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for call in calls {
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        filter.push(libc::sock_filter { code: equal, jt: 0, jf: 1, k: *call as u32 });
        filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: changes only this thread.
    let alone = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: changes only this thread; `program` and the filter live during the call.
    let filtered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if alone < 0 || filtered < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn ring_is_recognized_by_proc_where_bpf_is_refused() -> Outcome {
    let (ring, array) = (create_ring(PAGE)?, create_map(kernel::MAP_TYPE_ARRAY, 4, 4 * PAGE, 1, F_MMAPABLE)?);
    on_a_thread(move || {
        refuse(&[libc::SYS_bpf])?;
        let opened = open(&ring, PAGE)?;
        assert!(matches!(opened, [None, None, None, Some(Error::WrongType { found: Some(_), .. })]), "{opened:?}");
        assert!(matches!(Ring::open(ring.try_clone()?, 2 * PAGE), Err(Error::SizeMismatch { max_entries: PAGE, .. })));
        for error in open(&array, PAGE)? {
            assert!(matches!(error, Some(Error::WrongType { found: Some(kernel::MAP_TYPE_ARRAY), .. })), "{error:?}");
        }
        let null: OwnedFd = File::open("/dev/null")?.into();
        for error in open(&null, PAGE)? {
            assert!(matches!(error, Some(Error::WrongType { found: None, .. })), "{error:?}");
        }
        // Now neither bpf(2) nor `/proc` can be asked.
        refuse(&[libc::SYS_openat2])?;
        for error in open(&ring, PAGE)? {
            let Some(error @ Error::UnknownType { .. }) = error else { panic!("{error:?}") };
            assert_eq!(error.errno().map(|errno| errno.raw()), Some(libc::EPERM));
            assert!(error.to_string().contains("EPERM"), "{error}");
        }
        Ok(())
    })
}

/// Tests a thread on whose `/proc` a tmpfs with a forged fdinfo is mounted.
fn file_system_mounted_on_proc_is_ignored() -> Outcome {
    let array = create_map(kernel::MAP_TYPE_ARRAY, 4, 4 * PAGE, 1, F_MMAPABLE)?;
    on_a_thread(move || {
        own_mounts::of_this_thread()?;
        own_mounts::try_mount("tmpfs", Path::new("/proc"), "")?;
        std::fs::create_dir_all("/proc/thread-self/fdinfo")?;
        let about = format!("map_type:\t27\nmax_entries:\t{PAGE}\nmap_flags:\t0x0\n");
        std::fs::write(format!("/proc/thread-self/fdinfo/{}", array.as_raw_fd()), about)?;
        refuse(&[libc::SYS_bpf])?;
        for opened in [Ring::open(array.try_clone()?, PAGE).err(), Peek::open(&array, PAGE).err()] {
            let Some(error @ Error::UnknownType { .. }) = opened else { panic!("{opened:?}") };
            assert!(error.to_string().contains("fdinfo with ENODEV"), "{error}");
        }
        Ok(())
    })
}
