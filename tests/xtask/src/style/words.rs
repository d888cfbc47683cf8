//! The forbidden words of `docs/style.md`, and the rules for words that are right where they are.

use super::prose::{Form, Piece, Prose};

/// A forbidden word or phrase.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// The standard word.
    pub(super) instead: &'static str,
    /// The words that begin it.
    first: &'static [&'static str],
    /// Returns whether the word at an index is wrong.
    wrong: fn(&Prose<'_>, usize) -> bool,
}

/// A broken rule, and the byte offset of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) rule: &'static str,
    pub(super) offset: usize,
}

const DETERMINERS: &[&str] = &[
    "a",
    "an",
    "the",
    "each",
    "every",
    "one",
    "another",
    "any",
    "no",
    "its",
    "their",
    "his",
    "our",
    "your",
    "first",
    "second",
    "third",
    "last",
    "next",
    "latest",
    "new",
    "old",
    "older",
    "newer",
    "single",
    "whole",
    "kept",
    "such",
    "same",
    "other",
    "this",
    "own",
    "two",
    "three",
    "four",
    "both",
    "several",
    "many",
    "most",
    "few",
    "all",
    "these",
    "those",
    "some",
    "more",
    "fewer",
    "right",
    "wrong",
    "former",
    "free",
    "empty",
    "different",
    "of",
    "constant",
];

const RULES: &[Rule] = &[
    Rule {
        name: "hangs on",
        instead: "is attached to; depends on",
        first: &["hang", "hangs", "hung", "hanging"],
        wrong: |text, at| text.is(Some(at + 1), &["on", "from"]),
    },
    Rule { name: "whoever", instead: "the caller; the user; the kernel", first: &["whoever"], wrong: always },
    Rule {
        name: "nobody",
        instead: "no process; no reader; nothing",
        first: &["nobody", "nobody's"],
        // The user of that name: `the user nobody`, `as nobody`, `nobody (65534)`.
        wrong: |text, at| !text.is(at.checked_sub(1), &["user", "as"]) && text.piece(Some(at + 1)) != Piece::Sign('('),
    },
    Rule {
        name: "somebody",
        instead: "another process; another reader",
        first: &["somebody", "somebody's", "someone", "someone's", "anybody", "anybody's"],
        wrong: always,
    },
    Rule {
        name: "is none",
        instead: "is not a; there is no",
        first: &["is", "are", "was", "were"],
        // `if there is none`
        wrong: |text, at| text.is(Some(at + 1), &["none"]) && !text.is(at.checked_sub(1), &["there"]),
    },
    Rule {
        name: "stands behind",
        instead: "follows; precedes; is in; is at",
        first: &["stand", "stands", "standing", "stood"],
        // `stands for`, `stands in for`, `as it stands`
        wrong: |text, at| {
            const WHERE: &[&str] = &[
                "behind", "in", "before", "beside", "above", "below", "beneath", "between", "at", "on", "there",
                "here", "first", "last", "after", "under", "alone",
            ];
            let stands_in_for = text.is(Some(at + 1), &["in"]) && text.is(Some(at + 2), &["for"]);
            text.is(Some(at + 1), WHERE) && !stands_in_for
        },
    },
    Rule {
        name: "set aside",
        instead: "skipped; unsupported; ignored",
        first: &["aside"],
        wrong: |text, at| !text.is(Some(at + 1), &["from"]),
    },
    Rule {
        name: "way",
        instead: "transport; method; path; or say how",
        first: &["way", "ways"],
        // `one way`, `the other way round`, `no way to`, `in the way`, `by way of`. `by-way` is another word.
        wrong: |text, at| {
            const BEFORE: &[&str] = &[
                "one", "either", "this", "that", "same", "other", "any", "by", "half", "under", "no", "long", "both",
                "wrong",
            ];
            let the = text.is(at.checked_sub(1), &["the"]);
            let idiom = the && text.is(at.checked_sub(2), &["in", "on", "by", "all", "of"]);
            !text.is(at.checked_sub(1), BEFORE) && !idiom
        },
    },
    Rule {
        name: "look",
        instead: "snapshot; sample",
        first: &["look", "looks"],
        // The verb is right: `looks at`, `must look`, `that look alike`.
        wrong: |text, at| {
            let before = at.checked_sub(1);
            let plural = text.is(Some(at), &["looks"]);
            let verb = !plural && text.is(before, &["this", "all", "both", "few", "most", "these", "those", "of"]);
            let third =
                plural && text.is(before, &["this", "each", "one", "other", "another", "first", "last", "next"]);
            let verb_after = text.is(Some(at + 1), &["at", "for", "up", "like", "into"]);
            let counted = text.is(before, &["a", "the", "another", "its"]);
            let title = plural && text.is(Some(at + 1), &["that", "of"]) && text.begins_sentence(at);
            let noun = text.is(before, DETERMINERS) || is_number(text.piece(before));
            title || (noun && !verb && !third && (!verb_after || counted))
        },
    },
    Rule {
        name: "place",
        instead: "index; offset; slot; position",
        first: &["place", "places"],
        // `in place`, `takes place`, `takes its place`, `in the first place`, `out of place`, and the verb.
        // `placeholder` is another word.
        wrong: |text, at| {
            let (before, second) = (at.checked_sub(1), at.checked_sub(2));
            let idiom = (text.is(before, &["first"]) && text.is(second, &["the"]))
                || (text.is(before, &["its"]) && text.is(second, &["take", "takes", "taken", "taking", "took"]))
                || (text.is(before, &["of"]) && text.is(second, &["out"]));
            let noun = text.is(before, DETERMINERS) || is_number(text.piece(before)) || ends_in_s(text.piece(before));
            let title = text.is(Some(at), &["places"])
                && text.is(Some(at + 1), &["that", "which", "of", "in", "where"])
                && text.begins_sentence(at);
            (noun || title) && !idiom
        },
    },
    Rule { name: "told", instead: "reported; printed; named", first: &["told"], wrong: always },
    Rule {
        name: "tells of",
        instead: "reports; describes; names",
        first: &["tell", "tells", "telling", "says", "said", "say", "asks", "ask", "asked"],
        wrong: |text, at| text.is(Some(at + 1), &["of"]),
    },
    Rule {
        name: "left out",
        instead: "skipped; disabled; omitted",
        first: &["left", "leave", "leaves", "leaving"],
        wrong: |text, at| text.is(Some(at + 1), &["out"]),
    },
    Rule {
        name: "stays behind",
        instead: "skipped; remains",
        first: &["stay", "stays", "stayed", "staying"],
        wrong: |text, at| text.is(Some(at + 1), &["behind"]),
    },
    Rule {
        name: "lets go",
        instead: "releases; closes",
        first: &["let", "lets", "letting"],
        wrong: |text, at| text.is(Some(at + 1), &["go"]),
    },
    Rule { name: "in vain", instead: "wasted; without effect", first: &["vain"], wrong: always },
    Rule { name: "for its sake", instead: "because; for", first: &["sake"], wrong: always },
    Rule {
        name: "bystander",
        instead: "observer",
        first: &["bystander", "bystanders", "onlooker", "onlookers"],
        wrong: always,
    },
    Rule { name: "folder", instead: "directory", first: &["folder", "folders"], wrong: always },
    Rule {
        name: "descriptor",
        instead: "fd; file descriptor",
        first: &["descriptor", "descriptors"],
        // Other descriptors have their kind before them: of a note, of a section, of a type.
        wrong: |text, at| {
            let before = at.checked_sub(1);
            text.is(before, DETERMINERS) || text.is(before, &["by", "to", "with", "for", "and"])
        },
    },
    Rule {
        name: "British spelling",
        instead: "American spelling",
        first: &[
            "licence",
            "licences",
            "colour",
            "colours",
            "coloured",
            "behaviour",
            "behaviours",
            "neighbour",
            "neighbours",
            "neighbouring",
            "initialise",
            "initialised",
            "initialises",
            "recognise",
            "recognised",
            "recognises",
            "normalise",
            "normalised",
            "normalises",
            "serialise",
            "serialised",
            "cancelled",
            "cancelling",
            "honour",
            "honours",
            "favour",
            "centre",
            "catalogue",
            "organise",
            "organised",
            "summarise",
            "labelled",
            "labelling",
            "analyse",
            "analysed",
            "artefact",
            "artefacts",
            "whilst",
            "amongst",
            "grey",
            "programme",
            "optimise",
            "optimised",
            "optimisation",
            "specialised",
            "generalised",
            "unrecognised",
            "finalise",
            "synchronise",
            "synchronised",
            "sanitise",
            "sanitised",
            "travelled",
            "modelled",
            "fulfil",
        ],
        wrong: always,
    },
    Rule {
        name: "What …",
        instead: "a subject that has a name",
        first: &["what", "of", "whatever"],
        // A question is right, and so are `What's new` and a title of one word.
        wrong: |text, at| {
            let capital = matches!(text.piece(Some(at)), Piece::Word(word) if word.starts_with(['W', 'O']));
            let more = matches!(text.piece(Some(at + 1)), Piece::Word(_) | Piece::Code);
            capital && more && text.begins_sentence(at) && !text.is_question(at)
        },
    },
];

fn always(_: &Prose<'_>, _: usize) -> bool {
    true
}

fn is_number(piece: Piece<'_>) -> bool {
    matches!(piece, Piece::Word(word) if word.starts_with(|c: char| c.is_ascii_digit()))
}

/// Returns whether a word is a genitive: `reader's place`.
fn ends_in_s(piece: Piece<'_>) -> bool {
    matches!(piece, Piece::Word(word) if word.ends_with("'s") || word.ends_with("s'"))
}

/// Returns the rules, for the counts.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter()
}

/// Finds the forbidden words of a text.
pub(super) fn find(text: &str, form: Form) -> Vec<Found> {
    let prose = Prose::new(text, form);
    let mut found = Vec::new();
    for at in 0..prose.len() {
        for rule in RULES {
            if prose.is(Some(at), rule.first) && (rule.wrong)(&prose, at) {
                found.push(Found { rule: rule.name, offset: prose.offset(at) });
            }
        }
    }
    found
}
