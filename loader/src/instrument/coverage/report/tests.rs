use std::{ops::Range, sync::Arc};

use super::*;
use crate::{Instruction, Line};

fn line(slot: usize, file: &str, line: u32) -> Line {
    Line { slot, file: Arc::from(file), line, column: 0, text: Arc::from(format!("text {line}")) }
}

/// `r0 = 0`
const MOVE: Instruction = Instruction::new(0xb7, 0, 0, 0, 0);
const EXIT: Instruction = Instruction::new(0x95, 0, 0, 0, 0);

fn report(name: &str, lines: &[Line], size: usize, blocks: &[(Range<usize>, Option<bool>)]) -> CoverageReport {
    let instructions = vec![MOVE; size];
    CoverageReport::of([FunctionRun { name, lines, instructions: &instructions, blocks }].into_iter())
}

fn lines(report: &CoverageReport, path: &str) -> Vec<(u32, Run)> {
    let file = report.files.iter().find(|file| &*file.path == path).unwrap();
    file.lines.iter().map(|line| (line.line, line.runs)).collect()
}

/// Returns a report of one file `a.c` with these lines.
fn of_lines(lines: &[(u32, Run)]) -> CoverageReport {
    let lines = lines.iter().map(|&(line, runs)| LineCoverage { line, runs, partial: false, text: None }).collect();
    let file = FileCoverage { path: Arc::from("a.c"), lines, functions: Vec::new() };
    CoverageReport { files: vec![file], functions_without_lines: Vec::new(), not_measured: Vec::new() }
}

#[test]
fn line_ran_if_any_of_its_instructions_ran() {
    let all = [line(0, "a.c", 10), line(2, "a.c", 11), line(4, "a.c", 10), line(6, "a.c", 12), line(7, "a.c", 13)];
    let blocks = [(0..2, Some(true)), (2..3, Some(false)), (3..6, Some(false)), (6..7, None), (7..8, Some(false))];
    let report = report("enter", &all, 8, &blocks);
    let expected = [(10, Run::Ran(1)), (11, Run::NotRun), (12, Run::NotMeasured), (13, Run::NotRun)];
    assert_eq!(lines(&report, "a.c"), expected);
    let function = &report.files[0].functions[0];
    assert_eq!((function.name.as_str(), function.line, function.runs), ("enter", Some(10), Run::Ran(1)));
    assert_eq!(report.files[0].lines[0].text.as_deref(), Some("text 10"));
}

#[test]
fn line_with_an_unmeasured_part_is_not_called_not_run() {
    let blocks = [(0..1, Some(false)), (1..2, None)];
    assert_eq!(lines(&report("f", &[line(0, "a.c", 1)], 2, &blocks), "a.c"), [(1, Run::NotMeasured)]);
    let gap = [(0..1, Some(false))];
    assert_eq!(lines(&report("f", &[line(0, "a.c", 1)], 2, &gap), "a.c"), [(1, Run::NotMeasured)]);
    let ran = [(0..1, Some(true)), (1..2, None)];
    assert_eq!(lines(&report("f", &[line(0, "a.c", 1)], 2, &ran), "a.c"), [(1, Run::Ran(1))]);
}

/// LLVM gives no line to `r1 = 2` at the beginning of a block: the record of line 1 extends to it.
#[test]
fn line_does_not_extend_to_code_behind_a_jump() {
    let instructions = [MOVE, EXIT, MOVE, MOVE];
    let lines_of = |first, second| {
        let blocks = [(0..2, first), (2..4, second)];
        let all = [line(0, "a.c", 1), line(3, "a.c", 2)];
        let function = FunctionRun { name: "f", lines: &all, instructions: &instructions, blocks: &blocks };
        lines(&CoverageReport::of([function].into_iter()), "a.c")
    };
    assert_eq!(lines_of(Some(false), Some(true)), [(1, Run::NotRun), (2, Run::Ran(1))]);
    assert_eq!(lines_of(Some(true), Some(false)), [(1, Run::Ran(1)), (2, Run::NotRun)]);
    assert_eq!(lines_of(None, Some(true)), [(1, Run::NotMeasured), (2, Run::Ran(1))]);
}

/// Either the line continues, or the compiler gave no line to the instructions that ran.
#[test]
fn line_whose_end_alone_ran_is_unknown() {
    let blocks = [(0..1, Some(false)), (1..2, Some(true))];
    assert_eq!(lines(&report("f", &[line(0, "a.c", 1)], 2, &blocks), "a.c"), [(1, Run::NotMeasured)]);
}

/// Returns the lines of `a.c` that ran in part.
fn partial(report: &CoverageReport) -> Vec<u32> {
    report.files[0].lines.iter().filter(|line| line.partial).map(|line| line.line).collect()
}

/// `if (r) { out = 3; return 0; }` has a column for each statement.
#[test]
fn line_of_which_a_statement_did_not_run_ran_in_part() {
    let at = |slot, number, column| Line { column, ..line(slot, "a.c", number) };
    let all = [at(0, 1, 5), at(1, 1, 14), at(2, 2, 5)];
    let of = |inner| report("f", &all, 3, &[(0..1, Some(true)), (1..2, inner), (2..3, Some(true))]);
    assert_eq!(lines(&of(Some(false)), "a.c"), [(1, Run::Ran(1)), (2, Run::Ran(1))]);
    assert_eq!((partial(&of(Some(false))), partial(&of(None))), (vec![1], vec![1]));
    assert_eq!(of(Some(false)).line_totals().ran_in_part, 1);
    assert_eq!(partial(&of(Some(true))), []);
    let none = report("f", &all, 3, &[(0..1, Some(false)), (1..2, Some(false)), (2..3, Some(false))]);
    assert_eq!(partial(&none), []);
}

/// The branch at line 1 leads to a block that the compiler gave no line, or line 0, behind the end of line 2.
#[test]
fn code_without_a_line_is_a_part_of_the_lines_that_lead_to_it() {
    let instructions = [MOVE, Instruction::new(0x15, 0, 0, 2, 0), MOVE, EXIT, MOVE, EXIT];
    let blocks = [(0..2, Some(true)), (2..4, Some(true)), (4..6, Some(false))];
    let partial_of = |all: &[Line], blocks: &[_]| {
        partial(&CoverageReport::of(
            [FunctionRun { name: "f", lines: all, instructions: &instructions, blocks }].into_iter(),
        ))
    };
    let mut all = vec![line(0, "a.c", 9), line(1, "a.c", 1), line(2, "a.c", 2)];
    assert_eq!(partial_of(&all, &blocks), [1], "neither the line behind which it lies, nor line 9");
    all.push(line(4, "a.c", 0));
    assert_eq!(partial_of(&all, &blocks), [1]);
    // Another block without a line is on the way.
    all.pop();
    all.pop();
    let [entry, _, last] = blocks.clone();
    assert_eq!(partial_of(&all, &[entry.clone(), (2..4, Some(true)), last]), [1]);
    let all_ran = [entry, (2..4, Some(true)), (4..6, Some(true))];
    assert_eq!(partial_of(&all, &all_ran), []);
    // A line at its end shows that the block did not run.
    all.push(line(5, "a.c", 3));
    let [entry, second, last] = blocks;
    assert_eq!(partial_of(&all, &[entry, second, last]), []);
}

#[test]
fn copy_in_a_function_that_did_not_run_is_no_part_but_a_closure_is() {
    let at = |column| [Line { column, ..line(0, "a.c", 1) }];
    let (copy, closure) = (at(5), at(20));
    let (ran, not) = ([(0..2, Some(true))], [(0..2, Some(false))]);
    let of = |other: &[Line]| {
        let function = |name, lines, blocks| FunctionRun { name, lines, instructions: &[MOVE, EXIT], blocks };
        CoverageReport::of([function("f", &copy[..], &ran[..]), function("g", other, &not)].into_iter())
    };
    assert_eq!((partial(&of(&copy)), partial(&of(&closure))), (vec![], vec![1]));
}

#[test]
fn merged_line_ran_in_part_if_no_report_ran_all_of_it() {
    let of = |text: &str| CoverageReport::from_lcov(&format!("SF:a.c\n{text}end_of_record\n")).unwrap();
    let part = || of("DA:1,1\nDA:2,1\n# cutaway: lines that ran in part: 1,2,7\n");
    assert_eq!(partial(&part()), [1, 2]);
    for (other, expected) in [
        ("DA:1,1\n", vec![2]),
        ("DA:1,0\n# cutaway: lines not measured: 2\n", vec![1, 2]),
        ("DA:1,1\n# cutaway: lines that ran in part: 1\n", vec![1, 2]),
    ] {
        let [mut one, mut two] = [part(), of(other)];
        one.merge(of(other));
        two.merge(part());
        assert_eq!((partial(&one), one), (expected, two), "{other}");
    }
}

#[test]
fn line_of_a_header_is_joined_over_the_functions_that_inline_it() {
    let inlined = [line(0, "a.c", 5), line(1, "b.h", 7)];
    let (ran, not) = ([(0..2, Some(true))], [(0..2, Some(false))]);
    let function = |name, blocks| FunctionRun { name, lines: &inlined, instructions: &[MOVE, EXIT], blocks };
    let report =
        CoverageReport::of([function("one", &not[..]), function("two", &ran), function("three", &ran)].into_iter());
    assert_eq!(lines(&report, "b.h"), [(7, Run::Ran(1))], "one run counts once");
    let paths: Vec<_> = report.files.iter().map(|file| &*file.path).collect();
    assert_eq!(paths, ["a.c", "b.h"]);
    let functions: Vec<_> = report.files[0].functions.iter().map(|f| (f.name.as_str(), f.runs)).collect();
    assert_eq!(functions, [("one", Run::NotRun), ("three", Run::Ran(1)), ("two", Run::Ran(1))]);
}

#[test]
fn code_without_a_source_line_is_no_line() {
    let made = [line(0, "a.c", 0), line(1, "a.c", 3), line(2, "", 9), line(3, "a.c", 0)];
    let report = report("f", &made, 4, &[(0..4, Some(true))]);
    assert_eq!(lines(&report, "a.c"), [(3, Run::Ran(1))]);
    assert_eq!((report.files.len(), report.files[0].functions[0].line), (1, Some(3)));
}

#[test]
fn function_without_lines_is_reported_apart() {
    let report = report("f", &[], 2, &[(0..2, Some(true))]);
    assert!(report.files.is_empty());
    assert_eq!(report.functions_without_lines[0].runs, Run::Ran(1));
    assert_eq!((report.function_totals().ran, report.line_totals()), (1, Totals::default()));
    assert_eq!(super::tests::report("f", &[], 2, &[]).functions_without_lines[0].runs, Run::NotMeasured);
}

/// Line information and blocks are from a file, so they may be wrong.
#[test]
#[expect(clippy::reversed_empty_ranges, reason = "a malformed range")]
fn records_outside_the_function_are_ignored() {
    let wrong = [line(5, "a.c", 1), line(2, "a.c", 2), line(2, "a.c", 3), line(9, "a.c", 4)];
    let report = report("f", &wrong, 3, &[(2..usize::MAX, Some(true)), (7..8, Some(true)), (usize::MAX..1, None)]);
    assert_eq!(lines(&report, "a.c"), []);
    assert_eq!(report.files[0].functions[0].line, Some(1));
}

#[test]
fn merged_counts_are_added_and_unmeasured_wins_over_not_run() {
    use Run::{NotMeasured, NotRun, Ran};
    let all = [NotRun, NotMeasured, Ran(2)];
    let expected = [[NotRun, NotMeasured, Ran(2)], [NotMeasured, NotMeasured, Ran(2)], [Ran(2), Ran(2), Ran(4)]];
    for (a, row) in all.into_iter().zip(expected) {
        for (b, expected) in all.into_iter().zip(row) {
            let mut merged = of_lines(&[(4, a)]);
            merged.merge(of_lines(&[(4, b), (2, NotRun)]));
            assert_eq!(lines(&merged, "a.c"), [(2, NotRun), (4, expected)], "{a:?} {b:?}");
        }
    }
    let mut most = of_lines(&[(1, Ran(u64::MAX))]);
    most.merge(of_lines(&[(1, Ran(1))]));
    assert_eq!(lines(&most, "a.c"), [(1, Ran(u64::MAX))]);
}

#[test]
fn percentages_are_of_measured_lines() {
    let report = of_lines(&[(1, Run::Ran(1)), (2, Run::NotRun), (3, Run::NotMeasured), (4, Run::Ran(7))]);
    let totals = report.line_totals();
    assert_eq!((totals.ran, totals.not_run, totals.not_measured, totals.measured()), (2, 1, 1, 3));
    assert_eq!(totals.percent().map(f64::round), Some(67.0));
    assert_eq!(of_lines(&[(3, Run::NotMeasured)]).line_totals().percent(), None);
}

#[test]
fn lcov_has_each_measured_line_and_function() {
    let all = [line(0, "/src/a.c", 10), line(1, "/src/a.c", 11), line(2, "/src/a.c", 12)];
    let mut of_two = report("enter", &all, 3, &[(0..1, Some(true)), (1..2, Some(false)), (2..3, None)]);
    of_two.merge(report("leave", &[line(0, "/src/a.c", 20)], 1, &[(0..1, None)]));
    of_two.merge(report("unused", &[line(0, "/src/a.c", 30)], 1, &[(0..1, Some(false))]));
    of_two.add_not_measured([NotMeasured::new("leave", "no: room")]);
    let expected = "TN:\n# cutaway: not measured: leave\tno: room\nSF:/src/a.c\nFN:10,enter\nFN:30,unused\nFNDA:1,enter\nFNDA:0,unused\nFNF:2\nFNH:1\nDA:10,1\n\
                    DA:11,0\nDA:30,0\nLF:3\nLH:1\n# cutaway: text of line 10: text 10\n\
                    # cutaway: text of line 11: text 11\n# cutaway: text of line 12: text 12\n\
                    # cutaway: text of line 20: text 20\n# cutaway: text of line 30: text 30\n# cutaway: lines not measured: 12,20\n\
                    # cutaway: function not measured: 20,leave\nend_of_record\n";
    assert_eq!(of_two.to_lcov(), expected);
    let mut read = CoverageReport::from_lcov(expected).unwrap();
    assert_eq!(read, of_two);
    read.merge(of_two);
    assert_eq!(read.files[0].lines[0].runs, Run::Ran(2));
}

#[test]
fn lcov_of_other_tools_is_read() {
    let text = "TN:one\r\nSF:b.c\r\nVER:1\nFN:3,9,main\nFN:12,helper\nFNDA:4,main\nFNF:2\nFNH:1\nBRDA:3,0,0,-\nBRF:1\nBRH:0\n\
                DA:3,4,c2hvcnQ\nDA:4,0\nDA:0,7\nLF:2\nLH:1\nend_of_record\n\n# a comment\nTN:two\nSF:b.c\nFNL:0,20,25\nFNL:1,30\n\
                FNA:0,2,first\nFNA:1,0,second\nDA:4,3\nend_of_record\nSF:a.c\nend_of_record";
    let report = CoverageReport::from_lcov(text).unwrap();
    assert_eq!(lines(&report, "b.c"), [(3, Run::Ran(4)), (4, Run::Ran(3))]);
    assert_eq!(lines(&report, "a.c"), []);
    let functions: Vec<_> = report.files[1].functions.iter().map(|f| (f.name.as_str(), f.line, f.runs)).collect();
    let expected = [
        ("first", Some(20), Run::Ran(2)),
        ("helper", Some(12), Run::NotRun),
        ("main", Some(3), Run::Ran(4)),
        ("second", Some(30), Run::NotRun),
    ];
    assert_eq!(functions, expected);
}

#[test]
fn text_that_is_no_lcov_is_refused_with_the_line() {
    for (text, line, why) in [
        ("", 1, "no record of lcov"),
        ("# cutaway\n", 1, "no record of lcov"),
        ("TN:\nDA:1,1\n", 2, "`SF:` is missing"),
        ("SF:a.c\nDA:1,1\n", 2, "before the `end_of_record` of `a.c`"),
        ("SF:a.c\nSF:b.c\n", 2, "`end_of_record` of `a.c` is missing"),
        ("end_of_record\n", 1, "without `SF:`"),
        ("SF:\n", 1, "no path"),
        ("SF:a.c\nDA:1\n", 2, "two values"),
        ("SF:a.c\nDA:1,-1\n", 2, "a count is"),
        ("SF:a.c\nDA:4294967296,1\n", 2, "a line is"),
        ("SF:a.c\nFN:x,f\n", 2, "a line is"),
        ("SF:a.c\nFNA:x,1,f\n", 2, "the index"),
        ("SF:a.c\n# cutaway: lines not measured: 1-9\n", 2, "a line is"),
        ("# cutaway: not measured: f\n", 1, "the reason"),
        ("SF:a.c\n# cutaway: text of line 1\n", 2, "the text"),
        ("SF:a.c\n# cutaway: lines that ran in part: x\n", 2, "a line is"),
        ("SF:a.c\n# cutaway: function not measured: f\n", 2, "two values"),
        ("TN:\n\u{7f}ELF", 2, "`\u{fffd}ELF` is not a record"),
        ("{\"a\":1}", 1, "is not a record"),
    ] {
        let error = CoverageReport::from_lcov(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.to_string().contains(why), "{text:?}: {error}");
    }
}

#[test]
fn names_cannot_add_records() {
    let evil = "a.c\nDA:9,9";
    let report = report("f\nFNDA:9,f", &[line(0, evil, 1)], 1, &[(0..1, Some(true))]);
    let read = CoverageReport::from_lcov(&report.to_lcov()).unwrap();
    assert_eq!(lines(&read, "a.c\u{fffd}DA:9,9"), [(1, Run::Ran(1))]);
    assert_eq!(read.files[0].functions[0].name, "f\u{fffd}FNDA:9,f");
}

/// Random numbers by xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most
    }

    fn run(&mut self) -> Run {
        match self.below(3) {
            0 => Run::NotRun,
            1 => Run::NotMeasured,
            _ => Run::Ran(1 + self.below(3) as u64),
        }
    }

    fn report(&mut self) -> CoverageReport {
        let text = |line: u32| (!line.is_multiple_of(3)).then(|| Arc::from(format!("}}\t: # {line}")));
        let mut report = CoverageReport::default();
        for _ in 0..self.below(3) {
            let function = ["enter", "", "a::b"][self.below(3)];
            report.add_not_measured([NotMeasured::new(function, ["", "why: that"][self.below(2)])]);
        }
        for _ in 0..self.below(4) {
            let path = Arc::from(["a.c", "b.h", "/usr/include/c d.h", ","][self.below(4)]);
            let line = |random: &mut Self| {
                let line = 1 + random.below(12) as u32;
                let runs = random.run();
                LineCoverage { line, runs, partial: runs.ran() && random.below(2) == 0, text: text(line) }
            };
            let lines = (0..self.below(9)).map(|_| line(self)).collect();
            let function = |random: &mut Self| {
                let name = ["enter", "leave", "", "<a as b>::c::{{closure}}"][random.below(4)].to_owned();
                FunctionCoverage { name, line: Some(1 + random.below(12) as u32), runs: random.run() }
            };
            let functions = (0..self.below(3)).map(|_| function(self)).collect();
            report.files.push(FileCoverage { path, lines, functions });
        }
        report.sort(Run::join);
        report
    }
}

#[test]
fn lcov_keeps_every_report() {
    let mut random = Random(1);
    for _ in 0..5_000 {
        let report = random.report();
        assert_eq!(CoverageReport::from_lcov(&report.to_lcov()), Ok(report));
    }
}

#[test]
fn merging_does_not_depend_on_the_order() {
    let mut random = Random(2);
    for _ in 0..5_000 {
        let (a, b, c) = (random.report(), random.report(), random.report());
        let mut forward = a.clone();
        forward.merge(b.clone());
        forward.merge(c.clone());
        let mut backward = c;
        backward.merge(b);
        backward.merge(a);
        assert_eq!(forward, backward);
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    let mut random = Random(3);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = random.report().to_lcov().into_bytes();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b":,\n#-0"[random.below(6)]),
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match CoverageReport::from_lcov(&text) {
            Ok(report) => {
                read += 1;
                let again = report.to_lcov();
                assert_eq!(CoverageReport::from_lcov(&again).unwrap().to_lcov(), again, "{text:?}");
            }
            Err(error) => {
                refused += 1;
                assert!((1..=text.lines().count()).contains(&error.line), "{text:?}: {error}");
            }
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}
