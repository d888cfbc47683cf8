//! "needs 5.15": the words with which a test requires a newer kernel, and the check that they are true.
//!
//! A test that cannot run on this kernel reports that in one of two forms:
//! - it is *ignored* with a reason that begins with `needs X.Y` (`#[ignore = "needs 5.15: perf links"]`, or
//!   `Completion::ignored_with("needs 5.15: perf links")` under libtest-mimic, decided at run time);
//! - it *fails*, and its panic message begins with `needs X.Y` (`panic!("needs 5.15: perf links")`). A plain `#[test]`
//!   can decide that at run time. Under plain `cargo test` it stays a failure: the test never passes silently.
//!
//! Either is a skip on a kernel older than X.Y. On any other kernel it is a failure: the feature is present, and the
//! test's claim is wrong.

use crate::version::Version;

/// Returns the version that a test requires: that of `needs X.Y`, `None` if `reason` does not begin so.
///
/// Case does not matter, and `kernel` or `Linux` may precede the version (`needs Linux 5.15`).
#[must_use]
pub fn needed_version(reason: &str) -> Option<Version> {
    let mut words = reason.split_whitespace();
    if !words.next()?.eq_ignore_ascii_case("needs") {
        return None;
    }
    let number =
        words.by_ref().find(|word| !word.eq_ignore_ascii_case("linux") && !word.eq_ignore_ascii_case("kernel"))?;
    let (version, rest) = Version::leading(number)?;
    // `6.1x` or `6.1-ish` is not a version; punctuation after a version is allowed.
    let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '-');
    ends.then_some(version)
}

/// Returns the message that requires a newer kernel, if the test `name` failed because of it: it must be the last panic
/// in the output, and the test's own. A panic that the test caught, or that killed another thread of the test, does not
/// explain a later failure.
///
/// The message is the line after `thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:`, where Rust has printed it since
/// 1.73.
#[must_use]
pub fn confessed<'t>(output: &'t str, name: &str) -> Option<&'t str> {
    const PANICKED: &str = " panicked at ";
    let (before, after) = output.rsplit_once(PANICKED)?;
    // libtest runs a test on a thread with the test's name, or on the main thread; libtest-mimic on an unnamed one.
    let thread = before.lines().next_back()?.rsplit_once("thread '")?.1;
    let own = [name, "main", "<unnamed>"]
        .iter()
        .any(|own| thread.strip_prefix(own).is_some_and(|rest| rest.starts_with('\'')));
    let message = after.lines().nth(1)?.trim();
    (own && needed_version(message).is_some()).then_some(message)
}

/// Checks whether a test with this `reason` may be skipped on a kernel of version `kernel`. `Err` has the objection.
///
/// Reasons that do not begin with `needs X.Y` do not depend on the kernel and are always allowed here. A test that no
/// kernel of a matrix ran is detected elsewhere.
///
/// # Errors
/// The sentence to print, if the kernel is at least as new as the test requires.
pub fn judge(reason: &str, kernel: Version) -> Result<(), String> {
    match needed_version(reason) {
        Some(needed) if kernel.reaches(needed) => {
            Err(format!("skipped with the reason \"{reason}\", but this kernel is {kernel}, which is new enough"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(reason: &str) -> Option<String> {
        needed_version(reason).map(|version| version.to_string())
    }

    #[test]
    fn version_is_parsed() {
        assert_eq!(needed("needs 5.8").as_deref(), Some("5.8"));
        assert_eq!(needed("needs 6.19: overwrite mode").as_deref(), Some("6.19"));
        assert_eq!(needed("Needs Linux kernel 6.12.3, or so").as_deref(), Some("6.12.3"));
        assert_eq!(needed("needs root"), None);
        assert_eq!(needed("needs root and 5.8").as_deref(), None);
        assert_eq!(needed("slow"), None);
        assert_eq!(needed("needs 5.8x"), None);
        assert_eq!(needed(""), None);
    }

    #[test]
    fn skip_is_judged_by_the_kernel() {
        let old = "5.10".parse().unwrap();
        assert!(judge("needs 5.15: perf links", old).is_ok());
        assert!(judge("needs 5.8: the ring", old).unwrap_err().contains("new enough"));
        assert!(judge("needs 5.10", old).is_err());
        assert!(judge("takes an hour", old).is_ok());
    }

    #[test]
    fn requirement_is_found_in_a_panic() {
        let output =
            "running 1 test\n\nthread 'a' (12) panicked at src/lib.rs:3:5:\nneeds 5.15: perf links\nnote: run with\n";
        assert_eq!(confessed(output, "a"), Some("needs 5.15: perf links"));
        assert_eq!(confessed("needs 5.15 said in passing\n", "a"), None);
        assert_eq!(confessed("thread 'a' panicked at x:1:1:\nassertion failed\n", "a"), None);
        let later = format!("{output}thread 'a' (12) panicked at src/lib.rs:9:5:\nassertion failed\n");
        assert_eq!(confessed(&later, "a"), None, "it failed for another reason");
        assert_eq!(confessed(output, "b"), None, "the panic of a thread that the test created and named");
    }
}
