//! A test that prints without end.

use std::fs;
use std::process::Stdio;

use libtest_mimic::Failed;

use super::{KERNEL, Ran, command};

/// The bytes that a run's memory may grow by because of a test's output, in KiB.
const GROWTH_KIB: u64 = 16 << 10;
const LIMIT: u64 = 100_000;
const MIB: u64 = 64;

/// Runs one test, and returns the output and the peak of the command's memory in KiB.
fn peak(test: &str, junit: &str) -> Result<(String, u64), Failed> {
    let limit = LIMIT.to_string();
    let amount = format!("DELUGE_MIB={MIB}");
    let options = ["--kernel", KERNEL, "--no-saved", "--output-limit", &limit, "--env", &amount, "--junit", junit];
    let mut child = command()
        .args(options)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(["--include-ignored", "--exact", test])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        // A process that has just ended has no memory.
        let now = fs::read_to_string(&status).unwrap_or_default();
        let line = now.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok((text, peak)) } else { Err(format!("{}\n{text}", output.status).into()) }
}

pub(crate) fn deluge() -> Ran {
    let folder = tempfile::tempdir()?;
    let junit = folder.path().join("junit.xml");
    let path = junit.display().to_string();
    let (_, usual) = peak("loopback", &path)?;
    let (text, most) = peak("sick::deluge", &path)?;
    assert!(usual > 0 && most < usual + GROWTH_KIB, "{most} KiB instead of {usual}");
    let report = fs::read_to_string(&junit)?;
    let kept = report.matches('d').count() as u64;
    assert!((LIMIT..LIMIT + (20 << 10)).contains(&kept), "{kept} bytes are in the report");
    // The bytes cut out have the same number in the line and in the report.
    let word = |text: &str| -> Option<u64> { text.split_whitespace().next_back()?.parse().ok() };
    let (before, _) = text.split_once(" bytes of output dropped").ok_or_else(|| format!("no number: {text}"))?;
    let dropped = word(before).ok_or("no number")?;
    assert!(dropped + kept >= (MIB << 20), "{dropped} and {kept} bytes");
    assert!(report.contains(&format!("[{dropped} bytes dropped here]")), "{dropped} is not in the report");
    Ok(())
}
