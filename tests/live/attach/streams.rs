//! The streams that programs write to.

use cutaway::{Loaded, Object, Stream, TestRun};

use crate::{
    harness::{Test, older_than, test},
    sample,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(text_of_a_program_is_read_once).unless(no_memory),
        test!(long_text_is_read_whole).unless(no_memory),
        test!(fault_of_a_program_is_reported).unless(no_memory),
        test!(stream_of_a_silent_program_is_empty).since(6, 17, "program streams"),
        test!(missing_streams_are_one_sentence).unless(streams),
    ]
}

fn streams() -> Option<String> {
    older_than(6, 17, "").is_none().then(|| "this kernel has program streams".to_owned())
}

/// Returns the reason if the kernel has no streams, or cannot allocate their memory: it does so without locks
/// (`kmalloc_nolock`), which not every kernel can.
fn no_memory() -> Option<String> {
    older_than(6, 18, "`bpf_stream_vprintk_impl`").or_else(|| {
        let outcome = load().program("say").unwrap().test_run(&TestRun::new().context_of(&0_u64)).unwrap();
        let fails = outcome.value.cast_signed() == -libc::ENOMEM;
        fails.then(|| "this kernel cannot allocate memory for streams: `bpf_stream_vprintk` returns ENOMEM".to_owned())
    })
}

fn load() -> Loaded {
    Object::parse(include_bytes!("streams.o")).unwrap().load().unwrap()
}

fn text_of_a_program_is_read_once() {
    let loaded = load();
    let program = loaded.program("say").unwrap();
    assert_eq!(program.read_stream(Stream::Stdout).unwrap(), b"");
    for number in [1_u64, u64::MAX] {
        program.test_run(&TestRun::new().context_of(&number)).unwrap();
    }
    assert_eq!(program.read_stream(Stream::Stderr).unwrap(), b"");
    let text = program.read_stream(Stream::Stdout).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "1 and 7\n18446744073709551615 and 7\n");
    assert_eq!(program.read_stream(Stream::Stdout).unwrap(), b"", "what was read is gone");
    // Each program has its own.
    assert_eq!(loaded.program("spin").unwrap().read_stream(Stream::Stdout).unwrap(), b"");
}

/// More than one read returns.
fn long_text_is_read_whole() {
    let loaded = load();
    let program = loaded.program("say").unwrap();
    let mut expected = String::new();
    for number in 0..3000_u64 {
        program.test_run(&TestRun::new().context_of(&number)).unwrap();
        expected.push_str(&format!("{number} and 7\n"));
    }
    assert_eq!(String::from_utf8(program.read_stream(Stream::Stdout).unwrap()).unwrap(), expected);
}

fn fault_of_a_program_is_reported() {
    let loaded = load();
    let program = loaded.program("spin").unwrap();
    assert_eq!(program.test_run(&TestRun::new()).unwrap().value, 3);
    let report = String::from_utf8(program.read_stream(Stream::Stderr).unwrap()).unwrap();
    assert!(report.contains("Timeout") && report.contains("spin"), "{report}");
}

fn stream_of_a_silent_program_is_empty() {
    let loaded = sample::load("xdp");
    for stream in [Stream::Stdout, Stream::Stderr] {
        assert_eq!(loaded.program("count").unwrap().read_stream(stream).unwrap(), b"");
    }
}

fn missing_streams_are_one_sentence() {
    let loaded = sample::load("xdp");
    let line = loaded.program("count").unwrap().read_stream(Stream::Stdout).unwrap_err().to_string();
    assert!(line.contains("read the stream of the program `count`: EINVAL"), "{line}");
    assert!(line.contains("since Linux 6.17"), "{line}");
}
