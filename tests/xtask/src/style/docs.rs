//! Doc comments of functions: their first word is a verb in the third person.

use crate::source::{Kind, Text, Token, Tokens, group_end};

/// A function and its doc comment.
pub(super) struct Function<'a> {
    pub(super) line: usize,
    pub(super) name: &'a str,
    pub(super) docs: Option<&'a Text>,
    /// Whether it is a test: its name is the sentence, its doc comment gives the reason.
    pub(super) is_test: bool,
}

/// Finds the functions of a file. In a file of tests, a function without return value is a test.
pub(super) fn functions<'a>(tokens: &'a Tokens<'a>, file_of_tests: bool) -> Vec<Function<'a>> {
    let mut functions = Vec::new();
    // The docs of the next item, and whether an attribute makes it a test.
    let (mut docs, mut test) = (None, false);
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        let next = |ahead: usize| tokens.get(at + ahead).map(|(_, token)| token);
        match token {
            Token::Comment(Kind::Outer, text) => docs = Some(text),
            Token::Comment(..) => {}
            Token::Sign('#') if next(1) == Some(&Token::Sign('[')) => {
                let end = group_end(tokens, at + 1);
                let attribute = tokens.get(at..end).unwrap_or_default();
                test |= attribute.iter().any(|(_, token)| *token == Token::Word("test")) && !is_cfg(attribute);
                at = end;
                continue;
            }
            Token::Word("fn") => {
                if let Some(Token::Word(name)) = next(1) {
                    let end = if next(2) == Some(&Token::Sign('(')) { group_end(tokens, at + 2) } else { at };
                    let returns_nothing = tokens.get(end).is_some_and(|(_, token)| *token == Token::Sign('{'));
                    let is_test = test || (file_of_tests && returns_nothing);
                    functions.push(Function { line: *line, name, docs, is_test });
                }
                (docs, test) = (None, false);
            }
            // `pub(in crate::a) const async unsafe extern "C" fn`
            Token::Word(
                "pub" | "crate" | "super" | "self" | "in" | "const" | "async" | "unsafe" | "extern" | "default",
            )
            | Token::Sign('(' | ')' | ':')
            | Token::String(_) => {}
            _ => (docs, test) = (None, false),
        }
        at += 1;
    }
    functions
}

fn is_cfg(attribute: &[(usize, Token<'_>)]) -> bool {
    attribute.get(2).is_some_and(|(_, token)| matches!(token, Token::Word("cfg" | "cfg_attr")))
}

/// Returns whether a doc comment begins with a verb in the third person.
///
/// A word in `-s` is a verb unless it is on a list of other words, or the next word shows that it is a noun in the
/// plural: `Bytes of`, `Records that`. An adverb may precede it: `Atomically adds`. A comment without a
/// capital and a period is code, such as `dst = src`, and right. So is one that refers to another function.
pub(super) fn begins_with_verb(docs: &str) -> bool {
    const NO_VERBS: &[&str] = &[
        "Its",
        "This",
        "As",
        "Always",
        "Others",
        "Thus",
        "Plus",
        "Perhaps",
        "Sometimes",
        "Whereas",
        "Unless",
        "Less",
        "Us",
        "Yes",
        "Status",
        "Access",
        "Success",
        "Class",
        "Alias",
        "Address",
        "Addresses",
        "Arguments",
        "Bits",
        "Bytes",
        "Cells",
        "Columns",
        "Compilers",
        "CPUs",
        "Errors",
        "Events",
        "Externs",
        "Fds",
        "Fields",
        "Files",
        "Functions",
        "Headers",
        "Instructions",
        "Kernels",
        "Keys",
        "Lines",
        "Losses",
        "Microseconds",
        "Milliseconds",
        "Nanoseconds",
        "Pages",
        "Payloads",
        "Process",
        "Processes",
        "Producers",
        "Programs",
        "Readers",
        "Sections",
        "Sentences",
        "Slots",
        "Structs",
        "Structures",
        "Symbols",
        "Thousands",
        "Threads",
        "Values",
        "Variables",
    ];
    const AFTER_NOUNS: &[&str] = &["of", "that", "which", "whose", "who", "are", "were", "have"];
    // Verbs before these words: `Checks that`, `Warns of`.
    const VERBS: &[&str] = &[
        "Asserts", "Becomes", "Checks", "Consists", "Decides", "Disposes", "Ensures", "Explains", "Finds", "Logs",
        "Needs", "Notes", "Prints", "Reports", "Requires", "Returns", "Says", "Shows", "States", "Tells", "Tests",
        "Verifies", "Warns",
    ];
    let mut words = docs.split_whitespace();
    let first = words.next().unwrap_or_default();
    if !first.starts_with(char::is_uppercase) {
        let prose: String = docs.split('`').step_by(2).collect();
        let is_code = !docs.is_empty() && !docs.trim_end().ends_with('.');
        return is_code && (!first.starts_with('`') || !prose.contains(char::is_alphabetic));
    }
    let (verb, next) = match first.strip_suffix("ly") {
        Some(_) => (words.next().unwrap_or_default(), words.next()),
        None => (first, words.next()),
    };
    let next = next.unwrap_or_default().trim_end_matches(['.', ',', ':']);
    let verb = verb.trim_end_matches([',', ';']);
    if first == "As" && next.starts_with('[') || first == "Errors" && ["if", "unless"].contains(&next) {
        return true;
    }
    if verb == "Does" {
        return ["not", "nothing", "what", "so", "the", "this"].contains(&next);
    }
    let starts = verb.chars().all(|c| c.is_alphabetic() || c == '-');
    let noun = AFTER_NOUNS.contains(&next) && !VERBS.contains(&verb);
    starts && verb.ends_with('s') && !verb.ends_with("ss") && !NO_VERBS.contains(&verb) && !noun
}
