//! Calls aya-obj and makes its panics errors.

use std::{
    cell::Cell,
    io,
    panic::{self, AssertUnwindSafe},
    thread,
};

use crate::Error;

thread_local! {
    /// Whether this thread is inside a call of aya-obj.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether this thread is inside a call of aya-obj.
pub(crate) fn is_catching_panics() -> bool {
    INSIDE.get()
}

/// The maximum depth of nested calls that aya-obj links on the caller's stack.
const FEW: usize = 64;
/// The stack in bytes for each level of recursion. A build without optimization takes less than 1 KiB, as measured; a
/// sanitizer takes more.
const STACK: usize = 8192;

/// Calls aya-obj. `depth` is the number of levels that the call may recurse. Above [`FEW`] it runs on a thread of its
/// own, with the stack that it needs.
///
/// # Errors
///
/// [`Error::Object`] if it panics, or if there is no thread with such a stack.
pub(crate) fn guarded<T: Send>(attempt: &str, depth: usize, call: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let inside = || {
        let before = INSIDE.replace(true);
        // After a panic the caller drops the values that the call was changing: they are not seen in a broken state.
        let result = panic::catch_unwind(AssertUnwindSafe(call));
        INSIDE.set(before);
        result
    };
    let result = if depth <= FEW {
        inside()
    } else {
        let stack = (1 << 20) + depth.saturating_mul(STACK);
        let joined = thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(stack).spawn_scoped(scope, inside)?;
            Ok(thread.join().and_then(|result| result))
        });
        joined.map_err(|error: io::Error| Error::Object {
            why: format!("no thread with {stack} bytes of stack can be started to {attempt}: {error}"),
        })?
    };
    result.map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        let said = said.lines().next().unwrap_or_default();
        Error::Object { why: format!("aya-obj cannot {attempt}: it panics ({})", short(said)) }
    })
}

/// The maximum number of characters of a message; the rest is cut.
const LONGEST: usize = 400;

/// Returns a message of aya-obj in a form that is safe to print: short, and without control characters. The message can
/// quote any bytes of the file.
fn short(said: &str) -> String {
    let mut text: String =
        said.chars().take(LONGEST).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
    if said.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

/// Returns an error with its sources, each after a colon, in a form that is safe to print.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        // Some errors print their source, too.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = source.source();
    }
    short(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_on_either_stack() {
        for depth in [0, FEW + 1] {
            assert_eq!(guarded("count", depth, || 1).unwrap(), 1);
            let error = guarded("count", depth, || -> u32 { panic!("no {}", "number") }).unwrap_err();
            assert!(error.to_string().ends_with("aya-obj cannot count: it panics (no number)"), "{error}");
        }
        // The message can quote the file.
        let error =
            guarded("read", 0, || -> u32 { panic!("{}\n\x1b[2J", "\x1b]0;title\x07".repeat(1000)) }).unwrap_err();
        let line = error.to_string();
        assert!(!line.contains(char::is_control) && line.len() < 2000, "{line:?}");
        let error = std::io::Error::other("\x1b[31m\n".repeat(1000));
        assert!(!chain(&error).contains(char::is_control) && chain(&error).chars().count() <= LONGEST + 1);
        assert!(!is_catching_panics());
        assert!(guarded("ask", 0, is_catching_panics).unwrap());
    }
}
