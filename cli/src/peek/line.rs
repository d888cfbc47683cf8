//! Lines that rings and perf buffers have in common.

use std::{fmt::Write as _, fs};

use crate::terminal;

/// Formats how full a buffer of `bytes` bytes is: a bar of `width` columns, percent, bytes.
pub(super) fn bar(filled: u64, bytes: u64, width: usize) -> String {
    let part = filled as f64 / bytes.max(1) as f64;
    let columns = (part * width as f64).ceil() as usize;
    let bar: String = (0..width).map(|column| if column < columns { '█' } else { '·' }).collect();
    format!("{bar} {:.1} %, {filled} bytes", part * 100.0)
}

/// Explains why a snapshot may be incomplete: a line for each reason.
pub(super) fn doubts(released_meanwhile: u64, corrupt: Option<&str>) -> String {
    let mut text = String::new();
    if released_meanwhile > 0 {
        let _ = writeln!(text, "  moving         {released_meanwhile} bytes were released during the snapshot");
    }
    if let Some(corrupt) = corrupt {
        let _ = writeln!(text, "  corrupt        {}", terminal::one_line(corrupt));
    }
    text
}

/// Returns the state of a process as the kernel names it (`/proc/PID/status`); `gone` if there is no such process,
/// `unknown` if the file cannot be read.
pub(super) fn process_state(pid: u32) -> String {
    // The name in this file may have any bytes.
    let status = match fs::read(format!("/proc/{pid}/status")) {
        Ok(status) => status,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => return "gone".to_owned(),
        Err(_) => return "unknown".to_owned(),
    };
    let status = String::from_utf8_lossy(&status);
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    let word = state.and_then(|state| state.split(['(', ')']).nth(1));
    word.unwrap_or("unknown").to_owned()
}
