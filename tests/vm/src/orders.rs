//! The orders of a guest: what the host sends over the result channel, in the other direction.
//!
//! ```text
//!   guest                              host
//!   ready  ──────────────────────────>
//!          <──────────────────────────  work CRC ORDERS
//!   hello, started, output, …  ──────>
//! ```
//!
//! A guest that was saved has sent its `ready` before it was saved. After the restore, the first byte may be lost. So
//! the host sends `ping` until the guest answers `ready` once more. A line that is not understood is ignored, and
//! damaged orders are answered by `ready`, upon which the host repeats them.

use std::io::{self, BufRead, Read as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::shard::Shard;
use crate::shell::{self, Shell, Typed};

/// The longest line, in bytes: a plan of a thousand binaries has a tenth of that.
const LINE_LIMIT: u64 = 8 << 20;
/// The line that asks whether the guest listens. It begins with a line end, which ends what a restore has cut.
pub(crate) const PING: &[u8] = b"\nping\n";

/// The part of a plan that a guest executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// All tests of a shard.
    Run(Shard),
    /// None: it lists the tests. A binary that runs once is listed as one test with an empty name.
    List,
    /// One test.
    One {
        /// The index of the binary.
        binary: usize,
        /// The test's name; empty for a binary that runs once.
        test: String,
    },
    /// None: a shell.
    Shell(Shell),
}

/// The work of a guest, and what a guest that was saved earlier needs before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) plan: Plan,
    pub(crate) task: Task,
    /// The wall-clock time, since the epoch.
    pub(crate) seconds: u64,
    pub(crate) nanoseconds: u32,
    /// The seed for the kernel's random numbers: guests restored from one file would have the same ones.
    pub(crate) random: Vec<u8>,
}

impl Orders {
    /// Makes orders to be sent now.
    pub(crate) fn now(plan: &Plan, task: &Task) -> io::Result<Self> {
        let mut random = vec![0; 64];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            plan: plan.clone(),
            task: task.clone(),
            seconds: since.as_secs(),
            nanoseconds: since.subsec_nanos(),
            random,
        })
    }

    /// Returns the line that carries the orders.
    pub(crate) fn line(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_string(self)?;
        Ok(format!("\nwork {:08x} {text}\n", crc32fast::hash(text.as_bytes())).into_bytes())
    }
}

/// A line from the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// `ping`, or orders that arrived damaged: both are answered by `ready`.
    Ping,
    /// Orders.
    Work(Box<Orders>),
    /// Input for a shell.
    Typed(Typed),
    /// The rest of a line whose beginning is lost, or an empty line.
    Noise,
}

/// Reads a line; `None` at the end of the channel.
pub(crate) fn read(channel: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    if channel.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    if text == b"ping" {
        return Ok(Some(Line::Ping));
    }
    let Some(rest) = text.strip_prefix(b"work ") else {
        return Ok(Some(shell::parse(text).map_or(Line::Noise, Line::Typed)));
    };
    Ok(Some(checked(rest).map_or(Line::Ping, |orders| Line::Work(Box::new(orders)))))
}

fn checked(text: &[u8]) -> Option<Orders> {
    let (sum, text) = text.split_at_checked(9)?;
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    if crc32fast::hash(text) == sum { serde_json::from_slice(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_a_lost_byte_and_damage_is_noticed() {
        let plan = Plan { test_seconds: 7, ..Plan::default() };
        let orders = Orders::now(&plan, &Task::One { binary: 3, test: "a\nb".into() }).unwrap();
        let mut sent = PING.to_vec();
        sent.extend(orders.line().unwrap());
        let mut whole = sent.get(1..).unwrap();
        assert_eq!(read(&mut whole).unwrap(), Some(Line::Ping));
        assert_eq!(read(&mut whole).unwrap(), Some(Line::Noise), "the empty line before the orders");
        assert_eq!(read(&mut whole).unwrap(), Some(Line::Work(Box::new(orders.clone()))));
        assert_eq!(read(&mut whole).unwrap(), None);
        let mut damaged = orders.line().unwrap().split_off(1);
        *damaged.get_mut(40).unwrap() ^= 1;
        assert_eq!(read(&mut damaged.as_slice()).unwrap(), Some(Line::Ping), "the guest asks for them again");
        assert_eq!(read(&mut &b"ing\n"[..]).unwrap(), Some(Line::Noise));
        let other = Orders::now(&plan, &Task::List).unwrap();
        assert_ne!(orders.random, other.random);
    }
}
