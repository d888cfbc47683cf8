//! `first-event (first | load) OBJECT`: loads an object, attaches it and waits for its first event; or only loads it.

use cutaway::Object;

unsafe extern "C" {
    safe fn getpgid(pid: i32) -> i32;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [what, path] = [1, 2].map(|word| std::env::args().nth(word).expect("first-event (first | load) OBJECT"));
    let loaded = Object::parse(&std::fs::read(path)?)?.load()?;
    if what == "first" {
        let _links = loaded.attach()?;
        let mut ring = loaded.map("events")?.ring()?;
        getpgid(0);
        ring.wait(None)?;
        assert!(ring.batch()?.records().next().is_some());
    }
    // The peak memory (`VmHWM`). Only the process itself can tell it from its parent's.
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default());
    Ok(())
}
