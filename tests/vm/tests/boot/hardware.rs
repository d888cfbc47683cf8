//! The guest's machine.

use super::{KERNEL, Ran, on};

pub(super) fn four_cpus() -> Ran {
    let done = on(KERNEL, &["--cpus", "4", "--bring", "getent", "--env", "EXPECT_CPUS=4"], &[])?;
    done.left(0)?;
    done.says("test boot cpus ... ok")?;
    done.says("test boot hotplug ... ok")
}

pub(super) fn one_cpu_and_little_memory() -> Ran {
    let options = [
        "--bring",
        "getent",
        "--cpus",
        "1",
        "--memory",
        "256",
        "--env",
        "EXPECT_CPUS=1",
        "--env",
        "EXPECT_MEMORY_MIB=256",
    ];
    let done = on(KERNEL, &options, &[])?;
    done.left(0)?;
    done.says("test boot cpus ... ok")?;
    done.says("test boot memory ... ok")?;
    done.says("test boot hotplug ... ignored, needs two CPUs")
}
