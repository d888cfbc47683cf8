use super::*;

fn listed(source: &str) -> Vec<(usize, &'static str, String)> {
    messages(source).into_iter().map(|message| (message.line, message.kind, message.text)).collect()
}

fn kinds(source: &str) -> Vec<&'static str> {
    listed(source).into_iter().map(|(_, kind, _)| kind).collect()
}

#[test]
fn each_kind_is_found() {
    for (kind, source) in [
        ("error", "#[error(\"no ring\")] Ring,"),
        ("error", "fn f() { Err(io::Error::other(format!(\"no {ring}\"))) }"),
        ("error", "fn f() { Error::Invalid { operation: \"open\".to_owned() } }"),
        ("error", "fn f() { MyError::new(&[\"a b\"]) }"),
        ("log", "fn f() { log::warn!(target: \"syscall\", value; concat(a)) }"),
        ("print", "fn f() { println!(\"{} lost\", 1) }"),
        ("panic", "fn f() { a.expect(\"a ring\") }"),
        ("panic", "fn f() { debug_assert!(a == 1, \"one\") }"),
        ("lint", "#[must_use = \"it closes when dropped\"] fn f() {}"),
        ("help", "#[command(about = \"Traces\")] struct A;"),
        ("file", "const A: &str = include_str!(\"page.html\");"),
        ("text", "const A: [&str; 1] = [\"one ring\"];"),
        ("text", "fn f() { match a { A => \"one ring\", B => 1 } }"),
        ("text", "fn f() { write!(f, \"{a} of {b}\") }"),
        ("word", "fn f() { f.write_str(\"ring\") }"),
        ("word", "const HEAD: &str = \"PID\";"),
        ("word", "#[serde(rename = \"type\")] struct A;"),
    ] {
        assert_eq!(kinds(source), [kind], "{source}");
    }
}

#[test]
fn what_no_user_sees_is_not_listed() {
    for source in [
        "#[doc(alias = \"BPF_MAP_CREATE\")] fn f() {}",
        "#[expect(unused, reason = \"a reason\")] fn f() {}",
        "fn f() { match a { \"one ring\" | \"two rings\" => 1, _ => 2 } }",
        "fn f() { a == \"ring\" || \"ring\" != b }",
        "fn f() { a.strip_prefix(\"no such\"); env!(\"CARGO\"); matches!(a, \"a b\") }",
        "fn f() { format!(\"{a}: {b:?}\") }",
        "#[cfg(test)] mod tests { fn f() { println!(\"a\") } }",
        "#[test] fn f() { println!(\"a\") }",
        "/// Not a command.\nstruct A;",
    ] {
        assert_eq!(kinds(source), [""; 0], "{source}");
    }
}

#[test]
fn docs_of_commands_are_help() {
    let source = "\
/// Traces
/// calls
///
/// More.
#[derive(Debug, clap::Args)]
struct Arguments {
    /// The process
    #[arg(long, value_name = \"PID\")]
    pid: u32,
}
/// Not help.
fn f() {}
";
    let expected = [(1, "help", "Traces calls ⏎ More."), (7, "help", "The process"), (8, "help", "PID")];
    assert_eq!(listed(source), expected.map(|(line, kind, text)| (line, kind, text.to_owned())));
}

#[test]
fn modules_of_tests_are_skipped() {
    let source = "#[cfg(test)]\nmod fake;\nmod ring;\n#[cfg(test)]\npub(crate) mod tests { }\n";
    assert_eq!(modules_of_tests("a/src/lib.rs", source), ["a/src/fake", "a/src/tests"]);
    assert_eq!(modules_of_tests("a/src/ring.rs", source), ["a/src/ring/fake", "a/src/ring/tests"]);
}
