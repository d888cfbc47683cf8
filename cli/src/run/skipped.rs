//! Reports the programs that do not run: one reason a line, equal ones once, all of bounded length.

use std::collections::BTreeMap;

use cutaway::{Error, FailedProgram, Loaded, Object};

use super::record_type::abbreviated;
use crate::{diagnostics, error::CliError};

/// Maximum number of lines for one object.
const MOST_LINES: usize = 20;
/// Maximum number of characters of one reason.
const LONGEST: usize = 400;

/// A program that does not run.
#[derive(Debug)]
struct SkippedProgram {
    name: String,
    why: String,
    /// Where the verifier stopped. Printed only if no other program is refused for the same reason.
    at: Option<String>,
}

impl SkippedProgram {
    fn new(name: String, why: String) -> Self {
        Self { name, why, at: None }
    }

    /// Splits a refusal into reason and instruction, so that equal reasons of several programs are found.
    fn refused(refused: FailedProgram) -> Self {
        match refused.why {
            Error::Verifier { sentence, at, .. } => {
                // The license is the object's, so the instruction that first needs another license does not matter.
                let at = at.filter(|_| !sentence.contains("GPL-restricted"));
                Self { name: refused.name, why: format!("the verifier refuses it: {sentence}"), at }
            }
            why => Self::new(refused.name, why.to_string()),
        }
    }

    /// Returns the reason with the instruction.
    fn full_reason(&self) -> String {
        match &self.at {
            Some(at) => format!("{} ({at})", self.why),
            None => self.why.clone(),
        }
    }
}

/// All programs that do not run.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    programs: Vec<SkippedProgram>,
    /// The verifier's log of the first program that it refuses.
    details: Option<String>,
    /// The object has programs whose section begins with `?`.
    optional: bool,
}

impl Skipped {
    /// Collects the programs that were not loaded, each with the reason. With `--program`, only those that it selects.
    pub(crate) fn of(loaded: &Loaded, refused: Vec<FailedProgram>, chosen: &[String]) -> Self {
        let mut all = Self::default();
        let is_refused = |name: &str| refused.iter().any(|refused| refused.name == name);
        let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
        for skipped in loaded.skipped() {
            if is_refused(&skipped.name) || !is_chosen(&skipped.name) {
                continue;
            }
            // The program was not selected, so the reason does not matter.
            let unselected = chosen.is_empty() && skipped.section_name.starts_with('?');
            if unselected || skipped.is_optional() {
                all.optional |= !skipped.section_name.is_empty();
            } else {
                // The loader advises a function; here it is an option.
                let why = skipped.why.replace("`Object::set_program_type`", "--section 'NAME=SECTION'");
                all.programs.push(SkippedProgram::new(skipped.name.clone(), why));
            }
        }
        for refused in refused {
            all.details = all.details.take().or_else(|| refused.why.verifier_log().map(str::to_owned));
            all.programs.push(SkippedProgram::refused(refused));
        }
        all
    }

    /// Returns the names of the programs, each with the reason.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (&str, String)> {
        self.programs.iter().map(|program| (program.name.as_str(), cut(&program.full_reason())))
    }

    /// Adds the programs that cannot be attached, each with the reason.
    pub(crate) fn add(&mut self, unattached: Vec<(String, String)>) {
        self.programs.extend(unattached.into_iter().map(|(name, why)| SkippedProgram::new(name, why)));
    }

    /// Prints the reasons, and returns the error of `--strict`, if a program does not run.
    pub(super) fn refuse(self, shown: &str) -> Result<(), CliError> {
        let count = self.programs.len();
        if count == 0 {
            return Ok(());
        }
        // Without another program, this is the error anyway.
        self.report(shown, false)?;
        let what = if count == 1 { "1 program is skipped".to_owned() } else { format!("{count} programs are skipped") };
        Err(CliError::new(format!(
            "--strict: {what} of `{shown}`, see above; fix them, or select others with --program"
        )))
    }

    /// Prints the reasons. Returns an error if no program runs.
    pub(crate) fn report(self, shown: &str, nothing_runs: bool) -> Result<(), CliError> {
        let lines = lines(&self.programs);
        if !nothing_runs {
            for line in lines {
                diagnostics::say(&format!("cutaway: skipped {}", CliError::new(line)));
            }
            return Ok(());
        }
        Err(match self.programs.as_slice() {
            [] => {
                let failure = CliError::new(format!("`{shown}` has no program to run"));
                if self.optional {
                    failure.advise("select a program whose section begins with `?` with --program NAME")
                } else {
                    failure
                }
            }
            [one] => CliError::new(format!(
                "the only program of `{shown}`, `{}`, does not run here: {}",
                one.name,
                cut(&one.full_reason())
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

/// Returns the reason why a function is not a program, and how to make it one. `None` if there is no such function, or
/// no reason is known.
pub(super) fn why_no_program(object: &Object, name: &str) -> Option<String> {
    let function = object.functions().find(|function| function.name == name)?;
    if !function.global {
        return why_static(object, name);
    }
    Some(format!(
        "its section `{}` names no program type; set it with --section '{name}=SECTION', SECTION as in SEC(\"SECTION\"), \
         e.g. tracepoint/syscalls/sys_enter_openat",
        function.section
    ))
}

/// Returns the reason why a static function is not a program. `None` if the function is not static, or does not exist.
pub(super) fn why_static(object: &Object, name: &str) -> Option<String> {
    object.functions().find(|function| function.name == name && !function.global)?;
    Some("it is static, and programs must be global: drop `static`".to_owned())
}

/// Returns a line for each different reason.
fn lines(programs: &[SkippedProgram]) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, Vec<&SkippedProgram>> = BTreeMap::new();
    for program in programs {
        // A reason may contain the name of its program.
        let reason = program.why.replace(&format!("`{}`", program.name), "`…`");
        let group = groups.entry(reason.clone()).or_insert_with(|| {
            order.push(reason);
            Vec::new()
        });
        group.push(program);
    }
    let line = |reason: &String| match groups.get(reason).map_or(&[][..], Vec::as_slice) {
        [one] => format!("`{}`: {}", one.name, cut(&one.full_reason())),
        several => {
            let names: Vec<String> = several.iter().map(|one| format!("`{}`", one.name)).collect();
            format!("{}: {}", abbreviated(&names, ", "), cut(&plural(reason)))
        }
    };
    let mut lines: Vec<String> = order.iter().take(MOST_LINES).map(line).collect();
    let more = order.len().saturating_sub(MOST_LINES);
    if more > 0 {
        lines.push(format!("others for {more} more reasons; --program NAME prints the reason of one program"));
    }
    lines
}

/// Converts a reason for one program to the plural.
fn plural(reason: &str) -> String {
    let rest = reason.strip_prefix("it is ").map(|rest| format!("they are {rest}"));
    rest.unwrap_or_else(|| reason.replace("; and it is ", "; and they are "))
}

/// Shortens a reason to [`LONGEST`] characters. Keeps its last clause, which says what to do, if it is short.
fn cut(why: &str) -> String {
    let head = |length: usize| why.char_indices().nth(length).map_or(why, |(end, _)| why.get(..end).unwrap_or(why));
    if head(LONGEST).len() == why.len() {
        return why.to_owned();
    }
    let last = why.rsplit_once("; ").map(|(_, last)| (last, last.chars().count()));
    // A semicolon may also be in a quoted line of source.
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
    fn equal_reasons_are_printed_once() {
        let one = |name: &str, why: &str| SkippedProgram::new(name.to_owned(), why.to_owned());
        let each =
            [one("a", "the program `a` is too large"), one("b", "lost"), one("c", "the program `c` is too large")];
        assert_eq!(lines(&each), ["`a`, `c`: the program `…` is too large", "`b`: lost"]);
        let each = ["a", "b"].map(|name| one(name, "it is static"));
        assert_eq!(lines(&each), ["`a`, `b`: they are static"]);
        assert_eq!(lines(&each[..1]), ["`a`: it is static"]);
        let refused = |name: &str, at: &str| SkippedProgram {
            at: Some(at.to_owned()),
            ..one(name, "the verifier refuses it: no")
        };
        let each = [refused("a", "instruction 1"), refused("b", "instruction 2")];
        assert_eq!(lines(&each), ["`a`, `b`: the verifier refuses it: no"]);
        assert_eq!(lines(&each[..1]), ["`a`: the verifier refuses it: no (instruction 1)"]);
    }

    #[test]
    fn long_reason_keeps_its_advice() {
        let long = format!("{}; {}; do that", "é".repeat(LONGEST), "y".repeat(LONGEST));
        let shortened = cut(&long);
        assert!(shortened.starts_with('é') && shortened.ends_with("…; do that"), "{shortened}");
        assert!(shortened.chars().count() < LONGEST + 20, "{shortened}");
        let whole = "x".repeat(LONGEST);
        assert_eq!(cut(&whole), whole);
        assert_eq!(cut(&format!("a; {}", "x".repeat(LONGEST))).chars().count(), LONGEST + 1);
    }

    #[test]
    fn lines_are_bounded_in_number_and_length() {
        let many: Vec<_> =
            (0..1000).map(|n| SkippedProgram::new(format!("p{n}"), format!("{n} {}", "x".repeat(10_000)))).collect();
        let printed = lines(&many);
        assert_eq!(printed.len(), MOST_LINES + 1);
        assert!(printed.iter().all(|line| line.chars().count() < LONGEST + 20), "{printed:?}");
        let same: Vec<_> = (0..1000).map(|n| SkippedProgram::new(format!("p{n}"), "no".to_owned())).collect();
        assert_eq!(lines(&same), ["`p0`, `p1`, `p2`, `p3`, `p4`, `p5`, `p6`, `p7`, 992 more: no"]);
    }
}
