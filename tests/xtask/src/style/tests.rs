//! Each rule finds a fault that was planted, and leaves right text alone.
use std::collections::BTreeSet;

use super::{
    baseline::Baseline,
    docs::begins_with_verb,
    prose::Form,
    words::{find, rules},
    *,
};

fn rules_of(text: &str) -> Vec<&'static str> {
    find(text, Form::Markdown).into_iter().map(|found| found.rule).collect()
}

/// A wrong sentence for each rule, and right ones.
const SENTENCES: &[(&str, &str, &[&str])] = &[
    (
        "hangs on",
        "The program hangs\non a tracepoint.",
        &["The process hangs. On a signal it ends.", "A guest that hangs."],
    ),
    ("whoever", "Whoever holds the fd closes it.", &["The owner closes the fd."]),
    ("nobody", "The fd is nobody's yet.", &["It runs as nobody.", "The user nobody owns it.", "nobody (65534)"]),
    ("somebody", "Somebody else has read it.", &["Another process has read it."]),
    ("is none", "A header that is none.", &["If there is none, the map is created.", "None is left.", "`is none`"]),
    (
        "stands behind",
        "The record that stands behind it.",
        &["EPERM stands for two reasons.", "It stands in for a kernel.", "The text as it stands."],
    ),
    ("set aside", "The section is set aside.", &["Aside from that it is equal."]),
    (
        "way",
        "One of three ways to send an event.",
        &[
            "A by-way.",
            "It differs in one way.",
            "Either way it fails.",
            "The other way round.",
            "There is no way to ask.",
            "It is in the way.",
            "An event by way of the stack.",
            "The `way` of a record.",
        ],
    ),
    (
        "look",
        "The picture of each look.",
        &[
            "It looks at the ring.",
            "The caller must look again.",
            "Two files that look alike.",
            "This looks like a ring.",
            "docs/look.md and --look",
            "[`take`](look::take)",
        ],
    ),
    (
        "place",
        "A record's place in the ring.",
        &[
            "Written in place.",
            "It takes place before the call.",
            "A complete file takes its place.",
            "The placeholder is replaced.",
            "The loader places globals at the end.",
            "Not in the first place.",
            "A byte out of place.",
        ],
    ),
    ("look", "Looks that were kept.", &["Looks for a record."]),
    ("look", "Line 1 is no look.", &["No caller looks at it."]),
    ("place", "Places in files.", &["Places the globals at the end."]),
    ("told", "Losses are told at the end.", &["Losses are reported at the end."]),
    ("tells of", "The kernel tells of two.", &["The kernel reports two.", "It says so, of course."]),
    ("left out", "Such a program is left out.", &["Its left operand."]),
    ("stays behind", "A program that stays behind.", &["It stays attached."]),
    ("lets go", "The reader lets go of it.", &["It lets the kernel decide."]),
    ("in vain", "It works in vain.", &["Wasted work."]),
    ("for its sake", "For the sake of order.", &["It keeps order."]),
    ("bystander", "A bystander maps it.", &["An observer maps it."]),
    ("folder", "The folder of pins.", &["The directory of pins."]),
    (
        "descriptor",
        "The descriptor of a map.",
        &["Its file descriptor.", "The note's descriptor section.", "The type descriptor."],
    ),
    ("British spelling", "The behaviour of the kernel.", &["The behavior of the kernel."]),
    (
        "What …",
        "It works. What is left stays unread.",
        &["What is left?", "It prints what is left.", "## What is a ring?", "| what | where |", "What"],
    ),
];

#[test]
fn each_word_is_found_and_right_text_is_left_alone() {
    for (rule, wrong, right) in SENTENCES {
        assert_eq!(rules_of(wrong), [*rule], "{wrong}");
        for text in *right {
            assert_eq!(rules_of(text), [""; 0], "{text}");
        }
    }
    let planted: BTreeSet<_> = SENTENCES.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(planted, rules().map(|rule| rule.name).collect());
}

#[test]
fn sentence_may_begin_in_a_list_or_in_bold_letters() {
    for text in
        ["It works.\n\n- What is left.\n", "**What is left.** It works.", "1. What is left.", "Right: What is left."]
    {
        assert_eq!(rules_of(text), ["What …"], "{text}");
    }
    assert_eq!(rules_of("It prints - What? - and waits."), [""; 0]);
}

#[test]
fn pages_are_read_without_code_and_links() {
    let page = "# The folder\n\n```text\na folder\n```\n[a](folder.md) `folder`\n<!-- a folder -->\n| folder | x |\n";
    let found = page_faults("p.md", page);
    assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 8]);
    assert_eq!(found[0].text, "# The folder");
}

#[test]
fn comments_strings_and_names_of_tests_are_read() {
    let source = "\
//! A folder.
fn a() {
    // one
    // folder
    let folder = \"folder.o\";
    f(\"FOLDER\");
    panic!(\"no such \\
            folder {folder}\");
}
#[test]
fn a_test_of_the_folder_fails() {}
";
    let found = source_faults("f.rs", source);
    assert_eq!(
        found.iter().map(|finding| (finding.rule, finding.line)).collect::<Vec<_>>(),
        [("folder", 1), ("folder", 4), ("folder", 6), ("folder", 8), ("folder", 11),]
    );
}

#[test]
fn wide_comments_are_found() {
    let (wide, code) = ("x".repeat(117), "y".repeat(121));
    let source = format!("/// {wide}\n// {wide}\nconst A: &str = \"{code}\";\n// {code} https://a.b\n");
    let found = source_faults("f.rs", &source);
    assert_eq!(found.iter().map(|finding| (finding.rule, finding.line)).collect::<Vec<_>>(), [(WIDTH, 1)]);
}

#[test]
fn verbs_are_told_from_nouns() {
    for verb in [
        "Returns the map.",
        "Maps the ring.",
        "Checks that it is a ring.",
        "Does nothing.",
        "Atomically adds one.",
        "Waits for a record.",
        "Re-reads it.",
        "Returns whose it is.",
        "Errors if it is no ring.",
        "As [`run`].",
        "dst = src",
        "`CONSTANT`, `[REGISTER]`",
    ] {
        assert!(begins_with_verb(verb), "{verb}");
    }
    for noun in [
        "The map.",
        "Bytes of the ring.",
        "Records that wait.",
        "Return the map.",
        "Its name.",
        "As a map.",
        "`quick` skips it",
        "`quick` skips it.",
        "Whether it is a ring.",
        "What is left.",
        "",
    ] {
        assert!(!begins_with_verb(noun), "{noun}");
    }
}

#[test]
fn functions_are_found_with_their_docs() {
    let source = "\
/// A type.
struct A;
impl A {
    /// The name.
    #[must_use]
    pub(crate) const unsafe extern \"C\" fn name(&self) -> u8 { 0 }
    /// Returns it.
    fn right(&self) {}
    fn without(&self) { let f: fn(u8) = g; }
}
/// A reason.
#[test]
fn a_test() {}
/// Only here.
#[cfg(test)]
fn helper() {}
";
    let found = source_faults("f.rs", source);
    let lines: Vec<_> = found.iter().map(|finding| (finding.line, finding.text.as_str())).collect();
    assert_eq!(lines, [(4, "`name`: The name."), (14, "`helper`: Only here.")]);
    // In a file of tests, a function that returns nothing is one.
    let source = "/// A reason.\nfn works(a: u8) {}\n/// A map.\nfn map(a: u8) -> u8 { a }\n";
    assert_eq!(source_faults("tests/live/a.rs", source).len(), 1);
}

#[test]
fn help_of_subcommands_is_read() {
    let mut findings = Vec::new();
    let wide = "x".repeat(81);
    let mut print = |arguments: &[&str]| {
        Ok(match arguments {
            ["-h" | "--help"] => "A tool\n\nCommands:\n  trace  Traces\n  help   Prints this\n\nOptions:\n".to_owned(),
            ["trace", "-h"] => format!("Traces\n{wide}\n"),
            ["trace", "--help"] => "x".repeat(80),
            other => return Err(format!("{other:?}")),
        })
    };
    help::read("tool", &mut Vec::new(), &mut print, &mut findings).unwrap();
    assert_eq!(
        findings.iter().map(|finding| (finding.file.as_str(), finding.line)).collect::<Vec<_>>(),
        [("tool trace -h", 2)]
    );
}

#[test]
fn counts_may_only_fall() {
    let finding = |file: &str| Finding { rule: "way", file: file.to_owned(), line: 1, text: String::new() };
    let two = Baseline::of(&[finding("a.rs"), finding("a.rs")]);
    assert_eq!(Baseline::parse(&two.to_text()).unwrap(), two);
    let none = Baseline::of(&[]);
    let (higher, lower) = none.against(&two);
    assert!(higher.is_empty() && lower[0].found == 0 && lower[0].accepted == 2);
    let (higher, lower) = two.against(&none);
    assert!(lower.is_empty() && higher[0].is_of(&finding("a.rs")));
    assert_eq!(two.higher_totals(&none), ["way: 2, accepted are 0"]);
    // A renamed file is no rise of the total.
    let renamed = Baseline::of(&[finding("b.rs"), finding("a.rs")]);
    assert!(renamed.higher_totals(&two).is_empty() && !renamed.against(&two).0.is_empty());
}
