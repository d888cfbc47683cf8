//! Files that are not objects get an error of one sentence and status 1; wrong usage exits with status 2.

use std::{fs, path::PathBuf};

use crate::{
    corpus,
    harness::{Test, test},
    inspect,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(garbage_gets_one_clear_sentence),
        test!(truncated_object_gets_one_sentence),
        test!(wrong_usage_of_inspect_ends_with_status_2),
    ]
}

fn garbage_gets_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let object = corpus("kinds/one_ring.o");
    // Longer than the limit for input from a pipe, and a sparse file.
    let long = file("long", b"");
    fs::File::options().write(true).open(&long).unwrap().set_len(65 << 20).unwrap();
    let longer = file("longer", b"");
    fs::File::options().write(true).open(&longer).unwrap().set_len((2 << 30) + 1).unwrap();
    for (path, part) in [
        (long, "64-bit ELF"),
        (longer, "2048 MiB"),
        (file("empty", b""), "64-bit ELF"),
        (file("text", b"int main(void) { return 0; }\n"), "64-bit ELF"),
        (std::env::current_exe().unwrap(), "not for BPF"),
        (PathBuf::from("/dev/zero"), "64 MiB"),
        (folder.path().join("absent"), "ENOENT"),
        (folder.path().to_owned(), "EISDIR"),
    ] {
        let ended = inspect([&path]);
        assert!(ended.complaint().contains(part), "{}: {ended:?}", path.display());
        assert_eq!(ended.stdout, "");
    }
    for (arguments, part) in
        [(["--program", "absent"], "has no program `absent`"), (["--btf", "/dev/null"], "cannot read BTF from")]
    {
        let ended = inspect(arguments.map(std::path::PathBuf::from).iter().chain([&object]));
        assert!(ended.complaint().contains(part), "{ended:?}");
    }
}

fn truncated_object_gets_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(corpus("kinds/one_ring.o")).unwrap();
    let path = folder.path().join("cut.o");
    for length in (0..whole.len()).step_by(whole.len() / 20) {
        fs::write(&path, &whole[..length]).unwrap();
        let ended = inspect([&path]);
        let complaint = ended.complaint();
        assert!(complaint.starts_with("cannot read `") && complaint.contains("truncated"), "{length}: {complaint}");
    }
}

fn wrong_usage_of_inspect_ends_with_status_2() {
    let without = inspect([""; 0]);
    assert!(without.stderr.contains("cutaway inspect --built-in ring"), "{without:?}");
    for words in ["", "object.o --built-in ring", "--built-in paper", "--built-in ring --format xml"] {
        let ended = inspect(words.split_whitespace());
        assert_eq!(ended.status.code(), Some(2), "{words}: {ended:?}");
        assert_eq!(ended.stdout, "", "{words}");
    }
}
