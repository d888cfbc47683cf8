//! Kernel modules in the guest.

use std::fs;
use std::path::PathBuf;

use cutaway_vm::kernel::{Request, obtain};
use cutaway_vm::{Arch, Cache};
use libtest_mimic::Failed;

use super::{KERNEL, Ran, on, run};

/// Runs the guest's test of its modules on a kernel.
fn loaded(options: &[&str], expected: &str) -> Ran {
    let environment = format!("EXPECT_MODULES={expected}");
    let options = [options, &["--env", &environment]].concat();
    let done = run(&options, &std::env::current_exe()?, &["--exact", "modules"])?;
    done.left(0)?;
    done.says("test boot modules ... ok")
}

/// Checks modules of the kernel's package: `nf_tables` depends on two others, `dummy` takes a parameter, and `unix` is
/// built in.
pub(super) fn of_the_package() -> Ran {
    let names = ["--module", "nf-tables", "--module", "veth", "--module", "unix"];
    loaded(&[&["--kernel", KERNEL][..], &names].concat(), "nf_tables,nfnetlink,libcrc32c,veth")?;
    let devices = ["--kernel", KERNEL, "--module", "dummy numdummies=3", "--bring", "ls"];
    let done = run(&devices, "ls".as_ref(), &["/sys/class/net"])?;
    done.left(0)?;
    done.says("dummy0\ndummy1\ndummy2\n")
}

/// Checks a compressed module: Debian compresses its modules since 6.12.
pub(super) fn compressed() -> Ran {
    loaded(&["--kernel", "6.12", "--module", "veth"], "veth")
}

fn image() -> Result<PathBuf, Failed> {
    let request: Request = KERNEL.parse().map_err(Failed::from)?;
    Ok(obtain(&request, Arch::OWN, &Cache::open()?, false)?.image)
}

pub(super) fn of_a_given_image() -> Ran {
    // The modules of the package are in the cache from now on.
    loaded(&["--kernel", KERNEL, "--module", "veth"], "veth")?;
    let image = image()?;
    let modules = image.with_file_name("modules");
    let (image, modules) = (image.display().to_string(), modules.display().to_string());
    loaded(&["--image", &image, "--modules", &modules, "--module", "veth"], "veth")?;
    let done = run(&["--image", &image, "--module", "veth"], "true".as_ref(), &[])?;
    done.left(1)?;
    done.says("the directory of its modules is not known: pass it with --modules DIR")?;
    let empty = tempfile::tempdir()?;
    let empty_path = empty.path().display().to_string();
    let done = run(&["--image", &image, "--modules", &empty_path, "--module", "veth"], "true".as_ref(), &[])?;
    done.left(1)?;
    done.says("there is no kernel module (.ko) in this directory")?;
    fs::write(empty.path().join("veth.ko"), "text")?;
    let done = run(&["--image", &image, "--modules", &empty_path, "--module", "veth"], "true".as_ref(), &[])?;
    done.left(1)?;
    done.says("veth.ko: not a kernel module")
}

pub(super) fn unusable() -> Ran {
    let done = on(KERNEL, &["--module", "vethh"], &["--exact", "loopback"])?;
    done.left(1)?;
    done.says("no kernel module vethh in ")?;
    done.says("similar names: veth")?;
    // The kernel refuses the parameter.
    let done = on(KERNEL, &["--module", "dummy numdummies=many"], &["--exact", "loopback"])?;
    done.left(1)?;
    done.says("the kernel module dummy was not loaded: Invalid argument")?;
    done.says("the kernel printed: dummy: `many' invalid for parameter `numdummies'")?;
    done.says("vm result: FAILED")
}
