//! `--shell`: a shell in the guest, at the user's terminal.
//!
//! ```text
//!   stdin ──> keyboard.rs ── lines of wire.rs ──> result channel ──> guest/shell.rs ──> pseudo terminal ──> shell
//!   stdout <───────────────────────────────────── output frames <───
//! ```
//!
//! The result channel carries both directions, so a shell needs no device of its own. With a terminal on stdin the
//! guest has a pseudo terminal, whose kernel side turns Ctrl-C into a signal; this machine's terminal passes on every
//! byte. Without one, the shell reads its commands from a pipe.

mod keyboard;
mod program;
mod wire;

pub(crate) use keyboard::{Keyboard, window};
pub(crate) use program::{find, is_busybox};
pub use wire::{Shell, Window};
pub(crate) use wire::{Typed, parse};
