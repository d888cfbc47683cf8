//! The format of lcov: written, read and merged.

use std::{fs, path::Path};

use crate::{
    Report, branches, cover,
    harness::{Test, test},
    packet,
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(merged_runs_have_the_lines_of_both).needs(ring),
        test!(output_is_the_same_as_the_format_lcov).needs(ring),
        test!(lcov_files_are_merged_without_an_object),
        test!(unmeasured_line_is_merged_as_unmeasured),
        test!(texts_and_lines_in_part_survive_the_merge).needs(ring),
        test!(source_newer_than_results_without_texts_is_named),
        test!(source_that_is_a_fifo_is_not_opened),
        test!(source_that_changed_is_not_shown_for_the_object).needs(ring),
    ]
}

/// Writes the coverage of a packet that begins with this byte.
fn write(first: u8, to: &Path) {
    let words = [branches().into_os_string(), "--output".into(), to.into()];
    let ended = cover(words.into_iter().chain(packet(first).map(Into::into)));
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stdout.contains("/* one */"), "with --output, only numbers are printed: {}", ended.stdout);
}

fn merged_runs_have_the_lines_of_both() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = ["one.info", "two.info"].map(|name| directory.path().join(name));
    write(1, &one);
    write(2, &two);
    let object = [branches().into_os_string(), "--format".into(), "json".into()];
    let merge = ["--merge".into(), one.into_os_string(), two.into_os_string()];
    let report = Report::of(&cover(object.into_iter().chain(packet(1).map(Into::into)).chain(merge)));
    assert_eq!(report.runs("if (first == 1)"), Some(3));
    assert_eq!(report.runs("/* one */"), Some(2));
    assert_eq!(report.runs("/* two */"), Some(1));
    assert_eq!(report.runs("/* other */"), Some(0));
    assert_eq!(report.function("judge"), Some(3));
}

fn output_is_the_same_as_the_format_lcov() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.info");
    write(1, &file);
    let object = [branches().into_os_string(), "--format".into(), "lcov".into()];
    let ended = cover(object.into_iter().chain(packet(1).map(Into::into)));
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, fs::read_to_string(&file).unwrap());
    assert!(ended.stdout.contains("FNDA:1,judge\n") && ended.stdout.contains("FNDA:0,send\n"), "{}", ended.stdout);
}

/// Writes these files of lcov, and returns the lines of `cover --merge`.
fn merged(files: &[&str], format: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut words = vec!["--format".to_owned(), format.to_owned(), "--merge".to_owned()];
    for (index, text) in files.iter().enumerate() {
        let path = directory.path().join(format!("{index}.info"));
        fs::write(&path, text).unwrap();
        words.push(path.to_str().unwrap().to_owned());
    }
    let ended = cover(words);
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout
}

fn lcov_files_are_merged_without_an_object() {
    let [a, b] =
        ["SF:/nonexistent/a.c\nFN:1,f\nFNDA:1,f\nDA:1,1\nDA:2,0\nend_of_record\n", "SF:b.c\nDA:5,4\nend_of_record\n"];
    let expected = "TN:\nSF:/nonexistent/a.c\nFN:1,f\nFNDA:2,f\nFNF:1\nFNH:1\nDA:1,2\nDA:2,0\nLF:2\nLH:1\nend_of_record\n\
                    SF:b.c\nFNF:0\nFNH:0\nDA:5,4\nLF:1\nLH:1\nend_of_record\n";
    assert_eq!(merged(&[a, b, a], "lcov"), expected);
    let table = merged(&[a], "table");
    assert!(table.contains("       1     1\n   #####     2\n"), "{table}");
}

fn unmeasured_line_is_merged_as_unmeasured() {
    let [not_run, not_measured] = [
        "SF:/nonexistent/a.c\nDA:1,0\nend_of_record\n",
        "SF:/nonexistent/a.c\n# cutaway: lines not measured: 1\nend_of_record\nTN:\n",
    ];
    let table = merged(&[not_run, not_measured], "table");
    assert!(table.contains("       ?     1\n"), "{table}");
    let table = merged(&[not_run, not_run], "table");
    assert!(table.contains("   #####     1\n"), "{table}");
}

fn texts_and_lines_in_part_survive_the_merge() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("one.info");
    write(1, &file);
    let file = file.to_str().unwrap();
    let table = cover(["--merge", file, file]).stdout;
    let row = |text: &str| table.lines().find(|line| line.contains(text)).unwrap().trim_start();
    assert!(row("/* one */").starts_with("2 "), "{table}");
    let changed = fs::read_to_string(file).unwrap().replace("/* one */", "/* another */");
    let other = directory.path().join("other.info");
    fs::write(&other, changed).unwrap();
    let ended = cover(["--merge", file, other.to_str().unwrap()]);
    assert!(ended.stderr.contains("has another text there"), "{ended:?}");
    let table =
        merged(&["SF:/nonexistent/a.c\nDA:1,1\n# cutaway: lines that ran in part: 1\nend_of_record\n"], "table");
    assert!(table.contains("      1*     1\n") && table.contains("1 line ran in part"), "{table}");
}

/// Writes a result without texts of this source, and returns the merged table.
fn table_of_source(source: &Path) -> crate::binary::Ended {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("SF:{}\nDA:1,1\nend_of_record\n", source.display())).unwrap();
    cover([Path::new("--merge"), file.path()])
}

fn source_newer_than_results_without_texts_is_named() {
    let source = tempfile::NamedTempFile::new().unwrap();
    fs::write(source.path(), "new text\n").unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    source.as_file().set_modified(later).unwrap();
    assert!(table_of_source(source.path()).stderr.contains("is newer than the results"));
    source.as_file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(table_of_source(source.path()).stderr, "");
}

fn source_that_is_a_fifo_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.c");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let ended = table_of_source(&path);
    assert!(ended.stdout.contains("       1     1\n"), "{ended:?}");
}

/// The text of the lines with code is the object's, whatever the file on this machine has.
fn source_that_changed_is_not_shown_for_the_object() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("branches.c"), "another file\n".repeat(80)).unwrap();
    let mut command = crate::binary::command(["cover"]);
    command.arg(branches()).args(packet(1)).current_dir(directory.path());
    let ended = crate::binary::Running::start(&mut command).end();
    assert!(ended.stdout.contains("/* one */") && !ended.stdout.contains("another file"), "{ended:?}");
    // With the same text, the lines around are shown too.
    let source = branches().with_extension("c");
    fs::copy(source, directory.path().join("branches.c")).unwrap();
    let ended = crate::binary::Running::start(&mut command).end();
    assert!(ended.stdout.lines().any(|line| line.trim_start().starts_with("-    ")), "{ended:?}");
}
