//! Merges tracefiles of lcov that the crate `cutaway` has written.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::fmt;

/// The comments for what was not measured.
const LINES_NOT_MEASURED: &str = "# cutaway: lines not measured: ";
const FUNCTION_NOT_MEASURED: &str = "# cutaway: function not measured: ";

/// The comment for lines that ran in part, which is for lines that ran as a whole in no report.
const LINES_IN_PART: &str = "# cutaway: lines that ran in part: ";
/// The comments that are kept as they are: reasons, and texts of lines.
const REASON: &str = "# cutaway: not measured: ";
const TEXT: &str = "# cutaway: text of line ";

/// The number of reports in which a line or function ran. `None` if it was not measured.
type Count = Option<u64>;

/// The merged files of source, by path.
#[derive(Debug, Default)]
pub(super) struct Tracefile {
    files: BTreeMap<String, Source>,
    reasons: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Source {
    lines: BTreeMap<u32, Count>,
    /// The lines of the current report that ran, and those of them that ran as a whole in a report.
    ran: BTreeSet<u32>,
    whole: BTreeSet<u32>,
    texts: BTreeMap<u32, String>,
    /// By name: the first line (0 if unknown), and the count.
    functions: BTreeMap<String, (u32, Count)>,
}

impl Tracefile {
    /// Adds a report. The error names the line.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        let mut path = None;
        // The first lines of functions precede their counts.
        let mut starts = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = || format!("line {number}: {line:?} is not a record that cutaway writes here");
            if let Some(begun) = line.strip_prefix("SF:") {
                starts.clear();
                path = Some(begun.to_owned());
                self.files.entry(begun.to_owned()).or_default();
            } else if line == "end_of_record" {
                let path = path.take().ok_or_else(wrong)?;
                let source = self.files.entry(path).or_default();
                source.whole.append(&mut source.ran);
            } else if line.starts_with(REASON) && path.is_none() {
                self.reasons.insert(line.to_owned());
            } else if !line.starts_with("TN:") {
                let source = path.as_ref().and_then(|path| self.files.get_mut(path)).ok_or_else(wrong)?;
                source.add(line, &mut starts).ok_or_else(wrong)?;
            }
        }
        match path {
            Some(path) => Err(format!("the text ends before the `end_of_record` of {path}")),
            None => Ok(()),
        }
    }
}

impl Source {
    /// Adds a record. `None` if it is unknown.
    fn add<'t>(&mut self, line: &'t str, starts: &mut BTreeMap<&'t str, u32>) -> Option<()> {
        if let Some(list) = line.strip_prefix(LINES_NOT_MEASURED) {
            for line in list.split(',') {
                add(self.lines.entry(line.parse().ok()?), None);
            }
            return Some(());
        }
        if let Some(list) = line.strip_prefix(LINES_IN_PART) {
            for line in list.split(',') {
                self.ran.remove(&line.parse().ok()?);
            }
            return Some(());
        }
        if let Some(text) = line.strip_prefix(TEXT) {
            let (line, text) = text.split_once(": ")?;
            self.texts.insert(line.parse().ok()?, text.to_owned());
            return Some(());
        }
        if let Some(function) = line.strip_prefix(FUNCTION_NOT_MEASURED) {
            let (start, name) = function.split_once(',')?;
            self.add_function(name, start.parse().ok()?, None);
            return Some(());
        }
        match line.split_once(':')? {
            ("DA", rest) => {
                let (line, count) = rest.split_once(',')?;
                let (line, count) = (line.parse().ok()?, count.parse().ok()?);
                if count > 0 {
                    self.ran.insert(line);
                }
                add(self.lines.entry(line), Some(count));
            }
            ("FN", rest) => {
                let (start, name) = rest.split_once(',')?;
                starts.insert(name, start.parse().ok()?);
            }
            ("FNDA", rest) => {
                let (count, name) = rest.split_once(',')?;
                let start = starts.get(name).copied().unwrap_or(0);
                self.add_function(name, start, Some(count.parse().ok()?));
            }
            ("FNF" | "FNH" | "LF" | "LH", _) => {}
            _ => return None,
        }
        Some(())
    }

    fn add_function(&mut self, name: &str, start: u32, count: Count) {
        match self.functions.entry(name.to_owned()) {
            Entry::Vacant(entry) => drop(entry.insert((start, count))),
            Entry::Occupied(mut entry) => {
                let (known, sum) = entry.get_mut();
                *known = if *known == 0 { start } else { (*known).min(start.max(1)) };
                *sum = added(*sum, count);
            }
        }
    }
}

fn add(entry: Entry<'_, u32, Count>, count: Count) {
    entry.and_modify(|sum| *sum = added(*sum, count)).or_insert(count);
}

/// Adds the counts of two reports. A line that ran in one has run. Otherwise, a line that one did not measure is not
/// measured.
fn added(a: Count, b: Count) -> Count {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (Some(count), None) | (None, Some(count)) => Some(count).filter(|&count| count > 0),
        (None, None) => None,
    }
}

impl fmt::Display for Tracefile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "TN:")?;
        for reason in &self.reasons {
            writeln!(out, "{reason}")?;
        }
        for (path, source) in &self.files {
            writeln!(out, "SF:{path}\n{source}end_of_record")?;
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = || self.functions.iter().filter_map(|(name, (start, count))| Some((name, start, (*count)?)));
        for (name, start, _) in functions().filter(|(_, start, _)| **start > 0) {
            writeln!(out, "FN:{start},{name}")?;
        }
        for (name, _, count) in functions() {
            writeln!(out, "FNDA:{count},{name}")?;
        }
        writeln!(out, "FNF:{}\nFNH:{}", functions().count(), functions().filter(|(.., count)| *count > 0).count())?;
        let lines = || self.lines.iter().filter_map(|(line, count)| Some((line, (*count)?)));
        for (line, count) in lines() {
            writeln!(out, "DA:{line},{count}")?;
        }
        writeln!(out, "LF:{}\nLH:{}", lines().count(), lines().filter(|(_, count)| *count > 0).count())?;
        for (line, text) in &self.texts {
            writeln!(out, "{TEXT}{line}: {text}")?;
        }
        let partial: Vec<String> = lines()
            .filter(|(line, count)| *count > 0 && !self.whole.contains(line))
            .map(|(line, _)| line.to_string())
            .collect();
        if !partial.is_empty() {
            writeln!(out, "{LINES_IN_PART}{}", partial.join(","))?;
        }
        let missing: Vec<String> =
            self.lines.iter().filter(|(_, count)| count.is_none()).map(|(line, _)| line.to_string()).collect();
        if !missing.is_empty() {
            writeln!(out, "{LINES_NOT_MEASURED}{}", missing.join(","))?;
        }
        for (name, (start, _)) in self.functions.iter().filter(|(_, (_, count))| count.is_none()) {
            writeln!(out, "{FUNCTION_NOT_MEASURED}{start},{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in `loader/src/instrument/coverage/report/lcov.rs`.
    const WRITTEN: &str = "TN:\n# cutaway: not measured: leave\tthere is no free register\nSF:/src/program.bpf.c\nFN:10,enter\nFNDA:1,enter\nFNF:1\nFNH:1\nDA:10,1\nDA:11,0\nLF:2\n\
                           LH:1\n# cutaway: text of line 10: int enter(void *ctx)\n\
                           # cutaway: lines that ran in part: 10\n# cutaway: lines not measured: 12,13\n# cutaway: function not measured: 20,leave\n\
                           end_of_record\n";

    #[test]
    fn report_of_cutaway_is_kept_as_it_is() -> Result<(), String> {
        let mut file = Tracefile::default();
        file.add(WRITTEN)?;
        assert_eq!(file.to_string(), WRITTEN);
        Ok(())
    }

    #[test]
    fn counts_are_added_and_unmeasured_wins_over_not_run() -> Result<(), String> {
        let mut file = Tracefile::default();
        file.add(WRITTEN)?;
        file.add(
            "TN:\nSF:/src/program.bpf.c\nFN:20,leave\nFNDA:0,leave\nFN:9,enter\nFNDA:2,enter\nDA:10,1\nDA:12,0\nDA:13,5\n\
             # cutaway: lines not measured: 11\nend_of_record\nSF:b.c\nDA:1,0\nend_of_record\n",
        )?;
        let expected = "TN:\n# cutaway: not measured: leave\tthere is no free register\nSF:/src/program.bpf.c\nFN:9,enter\nFNDA:3,enter\nFNF:1\nFNH:1\nDA:10,2\nDA:13,5\nLF:2\n\
                        LH:2\n# cutaway: text of line 10: int enter(void *ctx)\n# cutaway: lines not measured: 11,12\n# cutaway: function not measured: 20,leave\n\
                        end_of_record\nSF:b.c\nFNF:0\nFNH:0\nDA:1,0\nLF:1\nLH:0\nend_of_record\n";
        assert_eq!(file.to_string(), expected);
        Ok(())
    }

    #[test]
    fn other_text_is_refused_with_its_line() {
        for (text, why) in [
            ("SF:a.c\nDA:1,1\n", "the text ends"),
            ("TN:\nDA:1,1\n", "line 2: "),
            ("SF:a.c\nDA:1,x\nend_of_record\n", "line 2: "),
            ("SF:a.c\nBRDA:1,0,0,1\nend_of_record\n", "line 2: "),
            ("SF:a.c\n# cutaway: lines not measured: 1-2\n", "line 2: "),
            ("garbage\n", "line 1: "),
        ] {
            let error = Tracefile::default().add(text);
            assert!(error.as_ref().is_err_and(|error| error.contains(why)), "{text:?}: {error:?}");
        }
    }
}
