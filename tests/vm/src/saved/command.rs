//! `cutaway-vm saved`: lists the saved guests, or removes them.

use std::time::Duration;

use super::prune;
use crate::cache::Cache;
use crate::error::Result;

/// Lists the saved guests, the last used first.
pub(crate) fn list(cache: &Cache) -> Result<String> {
    let all = prune::list(&prune::home(cache)?)?;
    if all.is_empty() {
        return Ok("no saved guests\n".to_owned());
    }
    let mut text = format!("{:<10} {:>8}  {:<10} directory\n", "kernel", "MiB", "last used");
    let mut whole = 0;
    for one in all {
        whole += one.bytes;
        let kernel = one.kernel.unwrap_or_else(|| "(damaged)".to_owned());
        let folder = one.folder.display();
        text.push_str(&format!("{kernel:<10} {:>8}  {:<10} {folder}\n", one.bytes >> 20, ago(one.age)));
    }
    text.push_str(&format!("total: {} MiB\n", whole >> 20));
    Ok(text)
}

/// Removes all saved guests that no run uses.
pub(crate) fn clear(cache: &Cache) -> Result<String> {
    let removed = prune::prune(cache, 0)?;
    let used = prune::list(&prune::home(cache)?)?.len();
    let rest = if used > 0 { format!("; {used} in use stay") } else { String::new() };
    Ok(format!("{removed} saved guests removed{rest}\n"))
}

fn ago(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}
