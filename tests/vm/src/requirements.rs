//! "needs 5.15": the words by which a test asks for a newer kernel, and the judge of whether they are true.
//!
//! A test that cannot run on this kernel says so in one of two ways:
//! - it is *ignored* with a reason that begins with `needs X.Y` (`#[ignore = "needs 5.15: perf links"]`, or
//!   `Completion::ignored_with("needs 5.15: perf links")` under libtest-mimic, decided at run time);
//! - it *fails*, and its panic message begins with `needs X.Y` (`panic!("needs 5.15: perf links")`), which is how a
//!   plain `#[test]` can decide at run time. Under plain `cargo test` that stays a failure: it never passes silently.
//!
//! Either is a skip on a kernel older than X.Y and a failure on any other: there the feature is present and the
//! test is wrong about it.

use crate::version::Version;

/// What a test's words ask for: the version in `needs X.Y`, `None` if `reason` does not begin so.
///
/// Case does not matter, and `kernel` or `Linux` may stand between (`needs Linux 5.15`).
#[must_use]
pub fn needed_version(reason: &str) -> Option<Version> {
    let mut words = reason.split_whitespace();
    if !words.next()?.eq_ignore_ascii_case("needs") {
        return None;
    }
    let number =
        words.by_ref().find(|word| !word.eq_ignore_ascii_case("linux") && !word.eq_ignore_ascii_case("kernel"))?;
    let (version, rest) = Version::leading(number)?;
    // `6.1x` or `6.1-ish` is not a version; punctuation after one is fine.
    let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '-');
    ends.then_some(version)
}

/// The message that asks for a newer kernel, if that is what the test `name` failed of: the last panic in its output,
/// and its own. One that the test caught, or that a thread of its own died of, explains no failure that came later.
///
/// The message is the line after `thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:`, where Rust has printed it since
/// 1.73.
#[must_use]
pub fn confessed<'t>(output: &'t str, name: &str) -> Option<&'t str> {
    const PANICKED: &str = " panicked at ";
    let (before, after) = output.rsplit_once(PANICKED)?;
    // libtest runs a test on a thread of its name, or on the first one; libtest-mimic on one without.
    let thread = before.lines().next_back()?.rsplit_once("thread '")?.1;
    let own = [name, "main", "<unnamed>"]
        .iter()
        .any(|own| thread.strip_prefix(own).is_some_and(|rest| rest.starts_with('\'')));
    let message = after.lines().nth(1)?.trim();
    (own && needed_version(message).is_some()).then_some(message)
}

/// `Ok` if a test that said `reason` may be skipped on a kernel of version `kernel`; `Err` says why not.
///
/// Reasons that do not begin with `needs X.Y` are no business of the kernel's and always allowed here; a test
/// that no kernel of a matrix ran is found out elsewhere.
///
/// # Errors
/// The sentence to show, if the kernel is new enough for what the test says it needs.
pub fn judge(reason: &str, kernel: Version) -> Result<(), String> {
    match needed_version(reason) {
        Some(needed) if kernel.reaches(needed) => {
            Err(format!("skipped itself saying \"{reason}\", but this kernel is {kernel}, new enough"))
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
    fn hears_the_version() {
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
    fn judges_by_the_kernel() {
        let old = "5.10".parse().unwrap();
        assert!(judge("needs 5.15: perf links", old).is_ok());
        assert!(judge("needs 5.8: the ring", old).unwrap_err().contains("new enough"));
        assert!(judge("needs 5.10", old).is_err());
        assert!(judge("takes an hour", old).is_ok());
    }

    #[test]
    fn finds_the_confession_in_a_panic() {
        let output =
            "running 1 test\n\nthread 'a' (12) panicked at src/lib.rs:3:5:\nneeds 5.15: perf links\nnote: run with\n";
        assert_eq!(confessed(output, "a"), Some("needs 5.15: perf links"));
        assert_eq!(confessed("needs 5.15 said in passing\n", "a"), None);
        assert_eq!(confessed("thread 'a' panicked at x:1:1:\nassertion failed\n", "a"), None);
        let later = format!("{output}thread 'a' (12) panicked at src/lib.rs:9:5:\nassertion failed\n");
        assert_eq!(confessed(&later, "a"), None, "what it failed of is another thing");
        assert_eq!(confessed(output, "b"), None, "a thread that the test made and named");
    }
}
