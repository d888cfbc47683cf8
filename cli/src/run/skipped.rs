//! The programs that do not run, each with the reason: one reason a line, equal ones once, all of bounded length.

use std::collections::BTreeMap;

use cutaway::{Error, FailedProgram, Loaded, Object};

use super::record_type::some;
use crate::{diagnostics, error::CliError};

/// Lines that are told of one object.
const MOST_LINES: usize = 20;
/// Characters of one reason.
const LONGEST: usize = 400;

/// A program that does not run.
#[derive(Debug)]
struct One {
    name: String,
    why: String,
    /// Where in it the verifier stopped. Not told of several that are refused for the same reason.
    at: Option<String>,
}

impl One {
    fn new(name: String, why: String) -> Self {
        Self { name, why, at: None }
    }

    /// Takes a refusal apart, so that equal ones of several programs are found.
    fn refused(refused: FailedProgram) -> Self {
        match refused.why {
            Error::Verifier { sentence, at, .. } => {
                // A license is the object's, wherever the first call is that needs another one.
                let at = at.filter(|_| !sentence.contains("GPL-restricted"));
                Self { name: refused.name, why: format!("the verifier refuses it: {sentence}"), at }
            }
            why => Self::new(refused.name, why.to_string()),
        }
    }

    fn whole(&self) -> String {
        match &self.at {
            Some(at) => format!("{} ({at})", self.why),
            None => self.why.clone(),
        }
    }
}

/// What does not run.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    each: Vec<One>,
    /// The verifier's log of the first program that it refuses.
    details: Option<String>,
    /// The object has programs whose section begins with `?`.
    optional: bool,
}

impl Skipped {
    /// Takes the reasons why programs of the object were not loaded, for those that `--program` chooses.
    pub(super) fn of(loaded: &Loaded, refused: Vec<FailedProgram>, chosen: &[String]) -> Self {
        let mut all = Self::default();
        let is_refused = |name: &str| refused.iter().any(|refused| refused.name == name);
        let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
        for skipped in loaded.skipped() {
            if is_refused(&skipped.name) || !is_chosen(&skipped.name) {
                continue;
            }
            // Of whatever kind it is: it was not asked for.
            let unasked = chosen.is_empty() && skipped.section_name.starts_with('?');
            if unasked || skipped.is_optional() {
                all.optional |= !skipped.section_name.is_empty();
            } else {
                // The loader names its function; here is an option for it.
                let why = skipped.why.replace("`Object::set_program_type`", "--section 'NAME=SECTION'");
                all.each.push(One::new(skipped.name.clone(), why));
            }
        }
        for refused in refused {
            all.details = all.details.take().or_else(|| refused.why.verifier_log().map(str::to_owned));
            all.each.push(One::refused(refused));
        }
        all
    }

    /// Adds what cannot be attached.
    pub(super) fn add(&mut self, unattached: Vec<(String, String)>) {
        self.each.extend(unattached.into_iter().map(|(name, why)| One::new(name, why)));
    }

    /// Says all of it; it is a failure if nothing else runs.
    pub(super) fn tell(self, shown: &str, nothing_runs: bool) -> Result<(), CliError> {
        let lines = lines(&self.each);
        if !nothing_runs {
            for line in lines {
                diagnostics::say(&format!("cutaway: skipped {}", CliError::new(line)));
            }
            return Ok(());
        }
        Err(match self.each.as_slice() {
            [] => {
                let failure = CliError::new(format!("`{shown}` has no program to run"));
                if self.optional {
                    failure.advise("one whose section begins with `?` is run if it is named: --program NAME")
                } else {
                    failure
                }
            }
            [one] => CliError::new(format!(
                "the only program of `{shown}`, `{}`, does not run here: {}",
                one.name,
                cut(&one.whole())
            )),
            several => {
                for line in lines {
                    diagnostics::say(&format!("cutaway: skipped {}", CliError::new(line)));
                }
                let failure = CliError::new(format!(
                    "no program of `{shown}` runs here; {} are skipped, see above",
                    several.len()
                ));
                match several.iter().find_map(|one| CliError::hint_of_quoted(&one.why)) {
                    Some(advice) => failure.advise(advice),
                    None => failure,
                }
            }
        }
        .with_details(self.details))
    }
}

/// Why the function of this name is no program, and how to make it one; `None` if there is no such function, or nothing
/// to say.
pub(super) fn why_no_program(object: &Object, name: &str) -> Option<String> {
    let function = object.functions().find(|function| function.name == name)?;
    if !function.global {
        return why_static(object, name);
    }
    Some(format!(
        "its section `{}` names no kind of program; say which with --section '{name}=SECTION', in the words of SEC(\"…\"), e.g. \
         tracepoint/syscalls/sys_enter_openat",
        function.section
    ))
}

/// Why the function of this name is no program if it is static; `None` if it is not, or there is none.
pub(super) fn why_static(object: &Object, name: &str) -> Option<String> {
    object.functions().find(|function| function.name == name && !function.global)?;
    Some("it is static, and programs must be global: drop `static`".to_owned())
}

/// One line for each reason.
fn lines(each: &[One]) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, Vec<&One>> = BTreeMap::new();
    for one in each {
        // Reasons name the program that they are about.
        let reason = one.why.replace(&format!("`{}`", one.name), "`…`");
        let group = groups.entry(reason.clone()).or_insert_with(|| {
            order.push(reason);
            Vec::new()
        });
        group.push(one);
    }
    let line = |reason: &String| match groups.get(reason).map_or(&[][..], Vec::as_slice) {
        [one] => format!("`{}`: {}", one.name, cut(&one.whole())),
        several => {
            let names: Vec<String> = several.iter().map(|one| format!("`{}`", one.name)).collect();
            format!("{}: {}", some(&names, ", "), cut(&of_several(reason)))
        }
    };
    let mut lines: Vec<String> = order.iter().take(MOST_LINES).map(line).collect();
    let more = order.len().saturating_sub(MOST_LINES);
    if more > 0 {
        lines.push(format!("others for {more} more reasons; --program NAME tells that of one"));
    }
    lines
}

/// Puts a reason that is about one program into the plural.
fn of_several(reason: &str) -> String {
    let rest = reason.strip_prefix("it is ").map(|rest| format!("they are {rest}"));
    rest.unwrap_or_else(|| reason.replace("; and it is ", "; and they are "))
}

/// At most so many characters of a reason. Its last clause, which says what to do, is kept if it is short.
fn cut(why: &str) -> String {
    let head = |length: usize| why.char_indices().nth(length).map_or(why, |(end, _)| why.get(..end).unwrap_or(why));
    if head(LONGEST).len() == why.len() {
        return why.to_owned();
    }
    let last = why.rsplit_once("; ").map(|(_, last)| (last, last.chars().count()));
    // A line of source has semicolons, too.
    match last
        .filter(|(last, length)| *length <= LONGEST / 3 && last.starts_with(char::is_alphabetic) && !last.contains('}'))
    {
        Some((last, length)) => format!("{}…; {last}", head(LONGEST.saturating_sub(length))),
        None => format!("{}…", head(LONGEST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reasons_are_told_once() {
        let one = |name: &str, why: &str| One::new(name.to_owned(), why.to_owned());
        let each =
            [one("a", "the program `a` is too large"), one("b", "lost"), one("c", "the program `c` is too large")];
        assert_eq!(lines(&each), ["`a`, `c`: the program `…` is too large", "`b`: lost"]);
        let each = ["a", "b"].map(|name| one(name, "it is static"));
        assert_eq!(lines(&each), ["`a`, `b`: they are static"]);
        assert_eq!(lines(&each[..1]), ["`a`: it is static"]);
        let refused =
            |name: &str, at: &str| One { at: Some(at.to_owned()), ..one(name, "the verifier refuses it: no") };
        let each = [refused("a", "instruction 1"), refused("b", "instruction 2")];
        assert_eq!(lines(&each), ["`a`, `b`: the verifier refuses it: no"]);
        assert_eq!(lines(&each[..1]), ["`a`: the verifier refuses it: no (instruction 1)"]);
    }

    #[test]
    fn long_reason_keeps_its_advice() {
        let long = format!("{}; {}; do that", "é".repeat(LONGEST), "y".repeat(LONGEST));
        let told = cut(&long);
        assert!(told.starts_with('é') && told.ends_with("…; do that"), "{told}");
        assert!(told.chars().count() < LONGEST + 20, "{told}");
        let whole = "x".repeat(LONGEST);
        assert_eq!(cut(&whole), whole);
        assert_eq!(cut(&format!("a; {}", "x".repeat(LONGEST))).chars().count(), LONGEST + 1);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let many: Vec<_> =
            (0..1000).map(|n| One::new(format!("p{n}"), format!("{n} {}", "x".repeat(10_000)))).collect();
        let told = lines(&many);
        assert_eq!(told.len(), MOST_LINES + 1);
        assert!(told.iter().all(|line| line.chars().count() < LONGEST + 20), "{told:?}");
        let same: Vec<_> = (0..1000).map(|n| One::new(format!("p{n}"), "no".to_owned())).collect();
        assert_eq!(lines(&same), ["`p0`, `p1`, `p2`, `p3`, `p4`, `p5`, `p6`, `p7`, 992 more: no"]);
    }
}
