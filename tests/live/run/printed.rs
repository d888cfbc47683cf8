//! Maps of every kind, and what programs print.

use serde_json::{Value, json};

use crate::{
    Ran, binary,
    binary::Running,
    corpus,
    everyday::objects,
    harness::{Test, older_than, test},
    kernel_objects::Held,
    own_mounts::Mounted,
    requirements::root,
    run_own,
    sender::Sender,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(elements_are_sorted_by_value).needs(root).since(5, 16, KINDS),
        test!(values_of_cpus_are_added).needs(root).since(5, 16, KINDS),
        test!(arrays_of_buckets_are_drawn).needs(root).since(5, 16, KINDS),
        test!(stacks_have_names_of_functions).needs(root).since(5, 16, KINDS),
        test!(map_without_elements_is_named_with_the_reason).needs(root).since(5, 16, KINDS),
        test!(one_map_is_printed_every_interval).needs(root).since(5, 16, KINDS),
        test!(wrong_name_of_a_map_is_refused),
        test!(texts_of_trace_printk_are_printed).needs(root).since(5, 9, "the trace event of bpf_trace_printk"),
        test!(texts_of_streams_are_printed).needs(root).since(6, 18, "`bpf_stream_vprintk_impl`"),
    ]
}

const KINDS: &str = "Bloom filters";

fn kinds(words: &[&str]) -> Ran {
    run_own("events/kinds", words, 2)
}

/// Returns the table of a map: the lines from its own to that of the next map.
fn table<'l>(ran: &'l Ran, map: &str) -> Vec<&'l str> {
    let lines = ran.ended.stdout.lines().skip_while(|line| !line.starts_with(&format!("{map} (")));
    let rest: Vec<_> = lines.collect();
    let end = rest.iter().skip(1).position(|line| !line.starts_with(' ')).map_or(rest.len(), |end| end + 1);
    rest[..end].to_vec()
}

fn elements_are_sorted_by_value() {
    let ran = kinds(&["--maps", "--format", "table"]);
    assert_eq!(table(&ran, "by_size"), ["by_size (HASH): 3 elements", "  512 = 2048", "  64 = 256", "  8 = 32"]);
    let ran = kinds(&["--maps=by_size"]);
    let expected = [(512, 2048), (64, 256), (8, 32)];
    assert_eq!(ran.lines(), expected.map(|(key, value)| json!({ "map": "by_size", "key": key, "value": value })));
}

fn values_of_cpus_are_added() {
    let ran = kinds(&["--maps=per_cpu"]);
    let lines = ran.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["key"]["pid"], &line["sum"]), (&json!(ran.pid), &json!(10)));
    let sum: u64 = line["values"].as_array().unwrap().iter().map(|value| value["value"].as_u64().unwrap()).sum();
    assert_eq!(sum, 10);
    let ran = kinds(&["--maps=per_cpu", "--format", "table"]);
    let lines = table(&ran, "per_cpu");
    assert!(lines[1].contains("comm: \"counts\"} = 10 (CPU "), "{lines:?}");
}

fn arrays_of_buckets_are_drawn() {
    let ran = kinds(&["--maps", "--format", "table"]);
    let bar = |count: usize| format!("|{:<40}|", "@".repeat(count));
    let log2 = table(&ran, "latency_log2");
    let expected = [
        "latency_log2 (ARRAY): histogram of 20 values, by powers of 2".to_owned(),
        format!("      16 - 31  8 {}", bar(40)),
        format!("      32 - 63  6 {}", bar(30)),
        format!("     64 - 127  4 {}", bar(20)),
        format!("    128 - 255  2 {}", bar(10)),
    ];
    assert_eq!(log2, expected);
    // A per-CPU array has the sum of the CPUs.
    let sizes = table(&ran, "sizes_hist");
    let head = "sizes_hist (PERCPU_ARRAY): histogram of 4 values, by powers of 2 (a guess)";
    assert_eq!(sizes, [head.to_owned(), format!("    8 - 15  4 {}", bar(40))]);
    let shaped = table(&ran, "shaped");
    let head = "  3 = {count: 6}, histogram of 6 values, by powers of 2 (a guess)";
    assert_eq!((shaped[1], shaped.len()), (head, 6), "{shaped:?}");
    assert!(ran.ended.stdout.lines().all(|line| !line.contains('|') || line.len() <= 80), "{:?}", ran.ended);
}

fn stacks_have_names_of_functions() {
    // The process must live while its mappings are read: `own` names it, and the run ends by a signal.
    let mut sender = Sender::start(2);
    let (pid, own) = (sender.pid(), format!("own={}", sender.pid()));
    let mut command = binary::command(["run", "--maps", "--interval", "0.05", "--format", "table", "--set", &own]);
    let running = Running::start(command.arg(corpus("events/kinds")));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    sender.go();
    running.stdout_line("a stack is printed", |line| line.contains("kernel_stack: "));
    sender.end();
    running.send(rustix::process::Signal::INT);
    let ended = running.end();
    ended.received();
    assert!(ended.stdout.contains(&format!("{{pid: {pid}, kernel_stack: ")), "{ended:?}");
    let no_stack = ended.stdout.lines().any(|line| line == "    kernel_stack: no stack: EFAULT (Bad address)");
    // Older kernels give programs of these tracepoints the registers of user space, and find no stack of the kernel.
    assert!(!no_stack || older_than(6, 12, "kernel stacks in tracepoints of system calls").is_some(), "{ended:?}");
    let frames: Vec<_> = ended.stdout.lines().skip_while(|line| *line != "    kernel_stack:").skip(1).collect();
    let of_kernel = frames.iter().take_while(|line| line.starts_with("      "));
    // The names are hidden where kptr_restrict forbids even root to see addresses.
    assert!(no_stack || of_kernel.clone().any(|line| line.contains("+0x")), "{ended:?}");
    assert!(ended.stdout.lines().any(|line| line.starts_with("stacks (STACK_TRACE): ")), "{ended:?}");

    let ran = kinds(&["--maps=stacks"]);
    let lines = ran.lines();
    assert!(!lines.is_empty());
    for line in &lines {
        let frames = line["frames"].as_array().unwrap();
        assert!(frames.iter().all(|frame| frame["address"].as_str().unwrap().starts_with("0x")), "{line}");
    }
    let names = lines.iter().flat_map(|line| line["frames"].as_array().unwrap());
    assert!(no_stack || names.clone().any(|frame| frame["function"].as_str().is_some()), "{lines:?}");
}

fn map_without_elements_is_named_with_the_reason() {
    let ran = kinds(&["--maps", "--format", "table"]);
    for part in ["bloom (BLOOM_FILTER): not shown: ", "tasks (TASK_STORAGE): not shown: the kernel does not list its"] {
        assert!(ran.ended.stdout.lines().any(|line| line.starts_with(part)), "{part}: {:?}", ran.ended);
    }
    let queue = format!("queue (QUEUE): next value = {} (only this one can be read)", ran.pid);
    assert!(ran.ended.stdout.lines().any(|line| line == queue), "{:?}", ran.ended);
    assert!(ran.ended.stdout.lines().any(|line| line == "jumps (PROG_ARRAY): 0 elements"), "{:?}", ran.ended);
    let ran = kinds(&["--maps=bloom"]);
    let reason = "a Bloom filter does not list its values";
    assert_eq!(ran.lines(), [json!({ "map": "bloom", "type": "BLOOM_FILTER", "not_shown": reason })]);
}

fn one_map_is_printed_every_interval() {
    let mut command = binary::command(["run", "--maps=by_size", "--interval", "0.1", "--duration", "0.55"]);
    let ended = Running::start(command.arg(corpus("events/kinds")).args(["--format", "json"])).end();
    ended.received();
    let lines = objects(&ended.stdout);
    let times = lines.iter().filter(|line| line.get("maps_at").is_some()).count();
    // A busy machine may skip some.
    assert!((2..=5).contains(&times), "{ended:?}");
    let ended = Running::start(&mut binary::command(["run", "--interval", "1", "/absent"])).end();
    assert!(ended.status.code() == Some(2) && ended.stderr.contains("--maps"), "{ended:?}");
}

fn wrong_name_of_a_map_is_refused() {
    for (option, part) in [
        ("--maps=absent", "--maps=absent: there is no such map; the maps are by_size, per_cpu, "),
        ("--maps=.rodata", "print them with --variables"),
    ] {
        let ended = Running::start(binary::command(["run", option]).arg(corpus("events/kinds"))).end();
        assert!(ended.complaint().contains(part), "{option}: {ended:?}");
    }
    let ended = Running::start(binary::command(["run", "--maps=events"]).arg(corpus("events/integers"))).end();
    assert!(ended.complaint().contains("a RINGBUF has records, which run prints"), "{ended:?}");
}

fn texts_of_trace_printk_are_printed() {
    let ran = run_own("events/prints", &["--timestamps"], 3);
    // Other programs of the machine may print, too.
    let own = |line: &&Value| line["print"].as_str().is_some_and(|text| text.ends_with(&format!(" of {}", ran.pid)));
    let lines = ran.lines();
    let texts: Vec<_> = lines.iter().filter(own).collect();
    let expected: Vec<_> = (1..=3).map(|call| json!(format!("call {call} of {}", ran.pid))).collect();
    assert_eq!(texts.iter().map(|line| line["print"].clone()).collect::<Vec<_>>(), expected);
    assert!(texts.iter().all(|line| line["tid"] == ran.pid && line["by"] == "bpf_trace_printk"), "{texts:?}");
    assert!(texts.iter().all(|line| line["time_is"] == "stored" && line["time"].is_string()), "{texts:?}");
    let ran = run_own("events/prints", &["--format", "table"], 1);
    let text = format!("  call 1 of {}", ran.pid);
    let printed = |line: &str| line.starts_with("print  ") && line.contains(" CPU ") && line.ends_with(&text);
    assert!(ran.ended.stdout.lines().any(printed), "{:?}", ran.ended);
    // The instance of tracefs is removed.
    let mut command = binary::command(["run"]);
    let running = Running::start(command.arg(corpus("events/prints")));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    let tracefs = Mounted::new("tracefs").unwrap();
    let instance = tracefs.path().join(format!("instances/cutaway-{}", running.pid()));
    assert!(instance.is_dir());
    let held = Held::by(running.pid());
    running.send(rustix::process::Signal::INT);
    running.end().received();
    held.wait_until_gone();
    assert!(!instance.exists());
}

/// Returns the reason if the kernel cannot allocate memory for streams, which not every kernel can without locks.
fn texts_of_streams_are_printed() -> Option<String> {
    let ran = run_own("events/streams", &["--variables"], 2);
    let lines = ran.lines();
    if lines.iter().any(|line| line["variable"] == "result" && line["value"] == -libc::ENOMEM) {
        return Some("this kernel cannot allocate memory for streams: `bpf_stream_vprintk` returns ENOMEM".to_owned());
    }
    let prints: Vec<_> = lines.into_iter().filter(|line| line.get("print").is_some()).collect();
    let expected =
        [1, 2].map(|number| json!({ "print": format!("stream {number}"), "by": "prints", "stream": "stdout" }));
    assert_eq!(prints, expected);
    None
}
