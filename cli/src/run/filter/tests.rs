use cutaway::btf::Value;
use proptest::prelude::*;

use super::*;

fn record() -> Value<'static> {
    let point = |x: i128| Value::Struct(vec![("x".into(), Value::Signed(x)), ("y".into(), Value::Signed(-x))]);
    Value::Struct(vec![
        ("pid".into(), Value::Unsigned(4138)),
        ("ret".into(), Value::Signed(-2)),
        ("comm".into(), Value::Text(b"ls")),
        ("letter".into(), Value::Text(b"x")),
        ("mac".into(), Value::Bytes(&[0xff, 0, 7])),
        ("ok".into(), Value::Bool(true)),
        ("why".into(), Value::Enum("WRITES".into(), 2)),
        ("error".into(), Value::Enum("EPERM".into(), 0xffff_ffff)),
        ("mode".into(), Value::Flags(vec!["READS".into(), "WRITES".into()], 64)),
        ("at".into(), Value::Pointer(0x1000)),
        ("ratio".into(), Value::Float(1.5)),
        ("nan".into(), Value::Float(f64::NAN)),
        ("from".into(), point(1)),
        ("path".into(), Value::Array(vec![point(5), point(6)])),
        ("late".into(), Value::Missing),
        ("to".into(), Value::Address([127, 0, 0, 1].into())),
        ("big".into(), Value::Unsigned(u64::MAX.into())),
    ])
}

fn enumerators() -> Enumerators {
    Enumerators::from_pairs([("READS", Some(1)), ("WRITES", Some(2)), ("EPERM", Some(-1)), ("TWICE", None)])
}

fn verdict(text: &str) -> Verdict {
    Filter::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).verdict(&record(), &enumerators())
}

/// Returns the error of parsing or checking an expression.
fn wrong(text: &str) -> String {
    match Filter::parse(text) {
        Ok(filter) => {
            filter.check(&record(), &enumerators()).map_or_else(|wrong| wrong.to_string(), |()| text.to_owned())
        }
        Err(why) => why,
    }
}

#[test]
fn members_are_compared_by_value() {
    for text in [
        "comm == \"ls\" && ret < 0",
        "pid == 4138 && pid == 0x102a && pid == 010052 && pid == 0b1000000101010 && pid == 4138UL",
        "ret == -2 && ret < 1u",
        "big > ret && big == 18446744073709551615",
        "letter == 'x' && letter == \"x\" && letter != 'y'",
        "comm[0] == 'l' && comm[1] == 115",
        "mac[0] == 255 && mac == \"\\xff\"",
        "ok && ok == true && !ok == false",
        "why == WRITES && why > READS && why == 2",
        "error == EPERM && error == -1",
        "mode & READS && (mode & 4) == 0 && mode == 67",
        "at == 0x1000",
        "ratio > 1 && ratio * 2 == 3 && ratio < 1.75",
        "nan != nan && !(nan == nan) && !(nan < 1)",
        "from.x == 1 && path[1].x == 6 && path[0].y == -5 && path[from.x].x == 6",
        "comm < \"lt\" && comm > \"l\"",
        "pid",
        "to == \"127.0.0.1\" && to != \"::1\" && to < \"127.0.0.2\"",
        "ret >> 1 == -1 && 1 << 4 == 16 && ~0 == -1 && 7 % 4 == 3 && 7 / 2 == 3 && 6 ^ 3",
    ] {
        assert_eq!(verdict(text), Verdict::Matches, "{text}");
    }
    for text in ["pid == 4139", "!pid", "comm == \"l\"", "comm == \"ls \"", "mac == \"\"", "nan == 1", "0.0", "'\\0'"] {
        assert_eq!(verdict(text), Verdict::Differs, "{text}");
    }
}

#[test]
fn precedence_is_that_of_c() {
    for (text, same) in [
        ("1 + 2 * 3 == 7", "((1 + (2 * 3)) == 7)"),
        ("pid & 2 == 2", "(pid & (2 == 2))"),
        ("1 | 2 ^ 3 & 4", "(1 | (2 ^ (3 & 4)))"),
        ("0 || 1 && 0", "(0 || (1 && 0))"),
        ("1 << 2 + 1 < 9", "((1 << (2 + 1)) < 9)"),
        ("-1 - -1", "((-1) - (-1))"),
        ("!pid == 0", "((!pid) == 0)"),
        ("10 - 3 - 2", "((10 - 3) - 2)"),
        ("-path[1].x", "(-((path[1]).x))"),
        ("3 > 2 > 1", "((3 > 2) > 1)"),
    ] {
        let value = |text: &str| {
            let (record, enumerators, filter) = (record(), enumerators(), Filter::parse(text).unwrap());
            let value = Evaluation { record: &record, enumerators: &enumerators }.value(&filter.root);
            value.unwrap().integer()
        };
        assert_eq!(value(text), value(same), "{text}");
    }
}

/// Without a value the condition is unknown, and so is its negation, unless the other operand decides.
#[test]
fn missing_value_is_neither_true_nor_false() {
    for text in ["late == 1", "!(late == 1)", "late", "1 / 0", "path[2].x", "path[-1].x", "1 << 200", "comm[9] == 'x'"]
    {
        assert_eq!(verdict(text), Verdict::Unknown, "{text}");
        assert_eq!(verdict(&format!("({text}) || 1")), Verdict::Matches, "{text}");
        assert_eq!(verdict(&format!("0 && ({text})")), Verdict::Differs, "{text}");
        assert_eq!(verdict(&format!("({text}) && 0")), Verdict::Differs, "{text}");
        assert_eq!(verdict(&format!("({text}) && 1")), Verdict::Unknown, "{text}");
        assert_eq!(wrong(text), text);
    }
}

#[test]
fn error_points_at_the_column() {
    for (text, column, part) in [
        ("", 1, "is empty"),
        ("comm = \"ls\"", 6, "compare with `==`"),
        ("größe == 1", 1, "unknown name `größe`; the members are pid, ret, comm,"),
        ("\"größe\" = 1", 9, "compare with"),
        ("con == 1", 1, "unknown name `con`"),
        ("pid == 1 && con", 13, "unknown name"),
        ("0 && con", 6, "unknown name"),
        ("from.z == 1", 6, "its members are x, y"),
        ("pid.x", 5, "needs a structure, and this is a number"),
        ("pid[0]", 4, "needs an array"),
        ("path[\"x\"]", 5, "must be an integer, and this is text"),
        ("x == 5", 1, "unknown name `x` (`from.x` exists)"),
        ("to == \"localhost\"", 4, "write an address as text"),
        ("to == 5", 4, "an address cannot be compared with a number"),
        ("comm == 5", 6, "text cannot be compared with a number"),
        ("from == 5", 6, "compare a member, as in `.x`"),
        ("comm", 1, "a condition is required, and this is text"),
        ("!comm", 2, "a condition is required"),
        ("pid && comm", 8, "a condition is required"),
        ("-comm", 1, "`-` does not apply to text"),
        ("pid + comm", 5, "`+` does not apply to text"),
        ("ratio & 1", 7, "`&` does not apply to a floating-point number"),
        ("TWICE == 1", 1, "different values in different enumerations"),
        ("(pid == 1", 10, "expected `)` for the bracket in column 1, found the end"),
        ("pid == 1)", 9, "expected an operator, found `)`"),
        ("pid ==", 7, "expected a value, found the end"),
        ("pid 5", 5, "expected an operator, found the number 5"),
        ("from.5", 6, "expected the name of a member"),
        ("comm == \"ls", 9, "the closing quote"),
        ("comm == 'ls'", 9, "one byte"),
        ("comm == \"a\\q\"", 11, "unknown escape sequence"),
        ("comm == \"\\x0\"", 10, "two hexadecimal digits"),
        ("pid == 09", 8, "octal"),
        ("pid == 0x", 8, "is not a number"),
        ("pid == 1.2.3", 8, "is not a number"),
        ("pid == 999999999999999999999999999999999999999999", 8, "is too large"),
        ("pid @ 1", 5, "unexpected character '@'"),
    ] {
        let why = wrong(text);
        assert!(why.starts_with(&format!("column {column}: ")) && why.contains(part), "{text}: {why}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    for (text, part) in [
        ("(".repeat(100_000), "nested more than 64 levels"),
        ("-".repeat(100_000), "nested more than 64 levels"),
        ("a[".repeat(100_000), "nested more than 64 levels"),
        ("1+".repeat(100_000) + "1", "more than 1000 parts"),
        ("a".to_owned() + &".a".repeat(100_000), "more than 1000 parts"),
    ] {
        let why = Filter::parse(&text).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn record_that_is_no_structure_is_called_value() {
    let enumerators = enumerators();
    let filter = Filter::parse("value > 41").unwrap();
    assert_eq!(filter.verdict(&Value::Unsigned(42), &enumerators), Verdict::Matches);
    let wrong = Filter::parse("pid > 41").unwrap().check(&Value::Unsigned(42), &enumerators).unwrap_err();
    assert!(wrong.unknown_name && wrong.why.contains("the members are value"), "{wrong}");
}

/// A random expression of integers: as text with all its parentheses, as text with those that C needs, and its value.
#[derive(Debug, Clone)]
struct Sample {
    whole: String,
    short: String,
    /// The binding strength in C, from 1; 12 for a value.
    strength: u32,
    value: Option<i128>,
}

fn samples() -> impl Strategy<Value = Sample> {
    let leaf = (0_i128..20).prop_map(|number| {
        let text = number.to_string();
        Sample { whole: text.clone(), short: text, strength: 12, value: Some(number) }
    });
    leaf.prop_recursive(6, 64, 2, |inner| {
        let operator = prop::sample::select(&OPERATORS[..]);
        (inner.clone(), operator, inner).prop_map(|(left, (sign, strength, apply), right)| {
            let side = |sample: &Sample, least: u32| {
                if sample.strength < least { format!("({})", sample.short) } else { sample.short.clone() }
            };
            Sample {
                whole: format!("({} {sign} {})", left.whole, right.whole),
                short: format!("{} {sign} {}", side(&left, strength), side(&right, strength + 1)),
                strength,
                value: left.value.zip(right.value).and_then(|(left, right)| apply(left, right)),
            }
        })
    })
}

type Operator = (&'static str, u32, fn(i128, i128) -> Option<i128>);

/// C's operators that always evaluate both operands, with their binding strength (ISO C, annex A.2.1).
const OPERATORS: [Operator; 14] = [
    ("|", 3, |left, right| Some(left | right)),
    ("^", 4, |left, right| Some(left ^ right)),
    ("&", 5, |left, right| Some(left & right)),
    ("==", 6, |left, right| Some((left == right).into())),
    ("!=", 6, |left, right| Some((left != right).into())),
    ("<", 7, |left, right| Some((left < right).into())),
    ("<=", 7, |left, right| Some((left <= right).into())),
    (">", 7, |left, right| Some((left > right).into())),
    (">=", 7, |left, right| Some((left >= right).into())),
    ("+", 9, i128::checked_add),
    ("-", 9, i128::checked_sub),
    ("*", 10, i128::checked_mul),
    ("/", 10, i128::checked_div),
    ("%", 10, i128::checked_rem),
];

proptest! {
    #[test]
    fn value_is_that_of_c(sample in samples()) {
        for text in [&sample.whole, &sample.short] {
            let filter = Filter::parse(text).unwrap();
            let (record, enumerators) = (record(), enumerators());
            let value = Evaluation { record: &record, enumerators: &enumerators }.value(&filter.root);
            prop_assert_eq!(value.ok().and_then(|value| value.integer()), sample.value, "{}", text);
        }
    }

    /// Any text is parsed or refused, and the column of an error is in the text or just after it.
    #[test]
    fn any_text_is_parsed_or_refused(text in "[-a-c0-9xu.()\\[\\]\"'\\\\|&^=!<>+*/%~ ßpid]{0,40}") {
        is_parsed_or_refused(&text);
    }

    #[test]
    fn any_sequence_of_tokens_is_parsed_or_refused(words in prop::collection::vec(prop::sample::select(WORDS), 0..12)) {
        is_parsed_or_refused(&words.join(" "));
        is_parsed_or_refused(&words.concat());
    }
}

const WORDS: &[&str] = &[
    "pid", "comm", "path", "from", ".x", "[0]", "[", "]", "(", ")", "==", "&&", "||", "!", "-", "~", "<<", "1", "0x7f",
    "1.5", "\"ls\"", "'l'", "late", "WRITES", "127", "/", "%", "mode", "nan", "big", "*",
];

fn is_parsed_or_refused(text: &str) {
    match Filter::parse(text) {
        Ok(filter) => {
            filter.verdict(&record(), &enumerators());
            if let Err(wrong) = filter.check(&record(), &enumerators()) {
                assert!((1..=text.chars().count()).contains(&wrong.column), "{text}: {wrong}");
            }
        }
        Err(why) => {
            let column = why.strip_prefix("column ").and_then(|rest| rest.split_once(':')).unwrap().0;
            assert!((1..=text.chars().count() + 1).contains(&column.parse().unwrap()), "{text}: {why}");
        }
    }
}
