//! `cutaway run --btf` and `cutaway cover --btf`: CO-RE relocations against the types in a file.

use std::{fs, path::Path, thread};

use crate::{
    binary::{self, Ended, Running},
    corpus,
    harness::{Test, test},
    own_mounts,
    requirements::ring,
};

const KERNEL: &str = "/sys/kernel/btf/vmlinux";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(given_btf_replaces_that_of_a_kernel_without).since(5, 4, "BTF of the kernel").needs(ring).needs(no_btf),
        test!(wrong_btf_file_is_refused_with_the_reason),
    ]
}

fn no_btf() -> Option<String> {
    (!Path::new(KERNEL).exists()).then(|| "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)".to_owned())
}

fn given_btf_replaces_that_of_a_kernel_without() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("vmlinux.btf");
    fs::copy(KERNEL, &copy).unwrap();
    let copy = copy.to_str().unwrap();
    let hidden = |words: &'static [&'static str], btf: &[&str]| -> Ended {
        own_mounts::of_this_thread().unwrap();
        own_mounts::mount("tmpfs", Path::new("/sys/kernel/btf"));
        let mut command = binary::command(words.iter().take(1).copied());
        Running::start(command.arg(corpus("kinds/core_reads")).args(&words[1..]).args(btf).args(["--", "true"])).end()
    };
    // Each in a thread of its own, which has its own mounts.
    let ended = |words, btf: &[&str]| thread::scope(|scope| scope.spawn(|| hidden(words, btf)).join().unwrap());
    let complaint = ended(&["run", "--count", "1"], &[]);
    assert!(complaint.complaint().contains("its CO-RE relocations need the kernel's BTF"), "{complaint:?}");
    let run = ended(&["run", "--count", "1"], &["--btf", copy]);
    assert!(run.status.success() && !run.stdout.is_empty(), "{run:?}");
    let cover = ended(&["cover"], &["--btf", copy]);
    assert!(cover.status.success() && cover.stdout.contains("core_reads.c"), "{cover:?}");
}

fn wrong_btf_file_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel.btf");
    for (bytes, reason) in [
        (&b"no BTF at all"[..], "it is neither BTF nor an ELF file"),
        (b"\xfd7zXZ\0", "it is compressed by xz, not BTF: extract the BTF first"),
        (b"\xeb\x9f\x01\0", "it is BTF of the other byte order"),
    ] {
        fs::write(&path, bytes).unwrap();
        let ended =
            Running::start(binary::command(["run"]).arg(corpus("kinds/core_reads")).arg("--btf").arg(&path)).end();
        let complaint = ended.complaint();
        let begins = format!("--btf {}: cannot use these types as the kernel's: ", path.display());
        assert!(complaint.starts_with(&begins) && complaint.contains(reason), "{complaint}");
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    }
    let ended =
        Running::start(binary::command(["run"]).arg(corpus("kinds/core_reads")).args(["--btf", "/absent/vmlinux"]))
            .end();
    assert!(ended.complaint().starts_with("cannot read `/absent/vmlinux`: ENOENT"), "{ended:?}");
}
