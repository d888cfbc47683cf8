//! `--summary`: the numbers are those of the events.

use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    binary::{Running, command, trace},
    child::{Job, Question},
    events::{self, Event},
    filters::many_calls,
    harness::{Test, test},
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(percentiles_are_those_of_the_events).needs(root),
        test!(summary_counts_what_the_events_show).needs(root),
        test!(table_of_the_summary_fits_80_columns).needs(root),
        test!(signal_prints_a_summary_and_the_trace_continues).needs(root),
        test!(signal_during_the_start_is_a_request).needs(root),
        test!(intervals_add_up_to_the_trace).needs(root),
        test!(losses_are_part_of_the_summary).needs(root),
        test!(wall_clock_time_is_that_of_the_call).needs(root),
    ]
}

/// Splits stdout into events and summaries.
fn split(stdout: &str) -> (Vec<Event>, Vec<Value>) {
    let (summaries, lines): (Vec<_>, Vec<_>) = stdout.lines().partition(|line| line.starts_with("{\"summary\":"));
    let events = lines.into_iter().map(|line| line.to_owned() + "\n").collect::<String>();
    (events::read(&events), summaries.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn questions() -> Vec<Question> {
    let numeric = |number| Question::new(&format!("127.0.0.{number}")).flags(libc::AI_NUMERICHOST);
    (0..80).map(numeric).chain((0..20).map(|_| Question::hopeless("nothing.invalid"))).collect()
}

/// The percentiles are compared with the exact ones of the same run's events: the nearest rank.
fn percentiles_are_those_of_the_events() {
    let times = many_calls() / 100;
    let job = Job::new(questions()).times(times);
    let words =
        format!("--summary=also --format json --transport perf-heap --buffer {}", (times * 100 * 1024).max(1 << 20));
    let ended = Running::start(&mut trace(&words, job.command_line())).end();
    assert_eq!(ended.success(), (100 * times as u64, 0), "{}", ended.stderr);
    let (events, summaries) = split(&ended.stdout);
    let [summary] = &summaries[..] else { panic!("{summaries:?}") };
    assert_eq!((events.len(), &summary["calls"]), (times * 100, &Value::from(times * 100)));
    let mut exact: Vec<u64> = events.iter().map(|event| event.latency_ns).collect();
    exact.sort_unstable();
    let latency = &summary["latency_ns"];
    for (name, percent) in [("p50", 50), ("p90", 90), ("p99", 99)] {
        let (exact, found) = (exact[(exact.len() * percent).div_ceil(100) - 1], latency[name].as_u64().unwrap());
        assert!(found >= exact && found - exact <= exact / 16, "{name}: {found}, exactly {exact}");
        assert!(found.ilog2() - exact.ilog2() <= 1, "{name}: {found}, exactly {exact}");
    }
    assert_eq!(latency["max"].as_u64(), exact.last().copied());
    for bucket in latency["histogram"].as_array().unwrap() {
        let (from, to) = (bucket["from"].as_u64().unwrap(), bucket["to"].as_u64().unwrap());
        let count = exact.iter().filter(|latency| (from..=to).contains(latency)).count();
        assert_eq!(bucket["calls"], count, "{from} to {to}");
        assert!(from.is_power_of_two() && to == from * 2 - 1);
    }
}

fn summary_counts_what_the_events_show() {
    let job = Job::new(questions()).threads(2);
    let words = "--summary=also --format json --buffer 4M";
    let ended = Running::start(&mut trace(words, job.command_line())).end();
    assert_eq!(ended.success(), (100, 0), "{}", ended.stderr);
    let (events, summaries) = split(&ended.stdout);
    let [summary] = &summaries[..] else { panic!("{summaries:?}") };
    assert_eq!(
        (&summary["summary"], &summary["calls"], &summary["failed"], &summary["lost"]),
        (&"trace".into(), &100.into(), &20.into(), &0.into())
    );
    let error = serde_json::json!({
        "ret": libc::EAI_NONAME, "name": "EAI_NONAME", "error": "Name or service not known", "calls": 20
    });
    assert_eq!(summary["errors"], serde_json::json!([error]));
    let first = &summary["hosts"][0];
    let of_first: Vec<_> = events.iter().filter(|event| event.node.as_deref() == Some("nothing.invalid")).collect();
    let sum: u64 = of_first.iter().map(|event| event.latency_ns).sum();
    assert_eq!(of_first.len(), 20);
    assert_eq!(
        (&first["name"], &first["calls"], &first["failed"]),
        (&"nothing.invalid".into(), &20.into(), &20.into())
    );
    assert_eq!(first["mean_ns"], sum / 20);
    assert_eq!(first["max_ns"].as_u64(), of_first.iter().map(|event| event.latency_ns).max());
    assert_eq!((summary["hosts"].as_array().unwrap().len(), &summary["other_hosts"]), (81, &0.into()));
    let mut commands: Vec<_> = summary["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["name"].clone(), entry["calls"].clone()))
        .collect();
    commands.sort_by_key(|(name, _)| name.to_string());
    assert_eq!(commands, [("asker-0".into(), 50.into()), ("asker-1".into(), 50.into())]);

    // Without events, the same counts.
    let ended = Running::start(&mut trace("--summary --format json --buffer 4M", job.command_line())).end();
    let (events, summaries) = split(&ended.stdout);
    assert_eq!((events.len(), &summaries[0]["calls"], &summaries[0]["failed"]), (0, &100.into(), &20.into()));
}

/// The first map is created long before the probes are attached.
fn signal_during_the_start_is_a_request() {
    let mut command = command(["--explain", "trace", "--summary", "--format", "json", "--duration", "1"]);
    let running = Running::start(&mut command);
    running.stderr_line("the start has begun", |line| line.contains("BPF_MAP_CREATE"));
    running.send(Signal::USR1);
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    let (_, summaries) = split(&ended.stdout);
    assert_eq!(summaries.len(), 2, "one for the signal, one at the end: {ended:?}");
    assert!(summaries.iter().all(|summary| summary["summary"] == "trace"), "{summaries:?}");
}

fn table_of_the_summary_fits_80_columns() {
    let long = format!("{}\u{1b}[2J", "long-".repeat(40));
    let job = Job::new(questions().into_iter().chain([Question::hopeless(&long)]));
    let ended = Running::start(&mut trace("-s --buffer 4M", job.command_line())).end();
    assert_eq!(ended.success(), (101, 0), "{}", ended.stderr);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(
        lines[0].starts_with("101 calls since the start (") && lines[0].ends_with(" s), 21 failed, 0 lost"),
        "{}",
        lines[0]
    );
    assert_eq!(lines[1], "failed   21 EAI_NONAME");
    assert!(lines[2].starts_with("latency  p50 ") && lines[2].contains(", max "), "{}", lines[2]);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'));
    for part in ["LATENCY     CALLS", "  HOST", "  COMMAND", "       20        20 ", "█"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}

fn signal_prints_a_summary_and_the_trace_continues() {
    for transport in ["perf-heap", "auto"] {
        let job = Job::new([Question::hopeless("last")]).wait().beacon(Question::hopeless("beacon"));
        let words = format!("--summary --format json --transport {transport}");
        let mut running = Running::start(&mut trace(&words, job.command_line()));
        job.ready();
        let mut counts = Vec::new();
        for number in 0..3 {
            running.send(Signal::USR1);
            let line = running.stdout_nth("a summary", number);
            let summary: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(summary["summary"], "trace");
            counts.push(summary["calls"].as_u64().unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(counts.is_sorted() && counts[2] > counts[0], "{counts:?}");
        running.go();
        let ended = running.end();
        let (_, summaries) = split(&ended.stdout);
        assert_eq!(summaries.len(), 4, "{}", ended.stdout);
        assert_eq!(ended.success(), (summaries[3]["calls"].as_u64().unwrap(), 0));
        assert!(summaries[3]["hosts"].as_array().unwrap().iter().any(|host| host["name"] == "last"));
    }
}

fn intervals_add_up_to_the_trace() {
    let job = Job::new([]).wait().beacon(Question::hopeless("beacon"));
    let begin = Instant::now();
    let running = Running::start(&mut trace("-s -i 200ms -d 1.1s --format json", job.command_line()));
    // Its stdin stays open: only the limit ends it.
    running.stderr_line("it ends", |line| line.starts_with("received "));
    let ended = running.end();
    let took = begin.elapsed();
    let (_, summaries) = split(&ended.stdout);
    let (trace, intervals) = summaries.split_last().unwrap();
    assert_eq!(trace["summary"], "trace");
    assert!(intervals.iter().all(|summary| summary["summary"] == "interval"), "{}", ended.stdout);
    assert!((1..=5).contains(&intervals.len()), "{} intervals in {took:?}", intervals.len());
    let calls = |summary: &Value| summary["calls"].as_u64().unwrap();
    let (sum, all) = (intervals.iter().map(calls).sum::<u64>(), calls(trace));
    assert!(0 < sum && sum <= all, "{sum} of {all}");
    assert_eq!(ended.success(), (all, 0));
    let seconds = intervals[0]["seconds"].as_f64().unwrap();
    assert!(seconds >= 0.2 && seconds < took.as_secs_f64(), "{seconds}");
}

fn losses_are_part_of_the_summary() {
    let job = Job::new((0..200).map(|number| Question::hopeless(&number.to_string()))).wait().pinned();
    let mut running = Running::start(&mut trace("-s --format json --buffer 4K", job.command_line()));
    job.ready();
    running.stop();
    running.go();
    job.answers();
    running.send(Signal::CONT);
    let ended = running.end();
    let (received, lost) = ended.success();
    let (_, summaries) = split(&ended.stdout);
    assert!(lost > 0);
    assert_eq!((&summaries[0]["calls"], &summaries[0]["lost"]), (&received.into(), &lost.into()));
}

/// The wall-clock time is between the times before and after the trace, and the order of events is the same by both
/// clocks.
fn wall_clock_time_is_that_of_the_call() {
    let date = |time: SystemTime| {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let output = std::process::Command::new("date")
            .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S"])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    };
    let before = date(SystemTime::now());
    let job = Job::new(questions());
    let ended =
        Running::start(command(["trace", "--format", "json", "--buffer", "4M", "--"]).args(job.command_line())).end();
    let after = date(SystemTime::now() + Duration::from_secs(1));
    let mut events = events::read(&ended.stdout);
    assert_eq!(events.len(), 100);
    events.sort_by_key(|event| event.time_ns);
    assert!(events.is_sorted_by_key(|event| &event.time));
    for event in &events {
        assert!(before <= event.time && event.time <= after, "{before} {} {after}", event.time);
        assert!(
            event.time.len() == "2026-01-01T00:00:00.000000000Z".len() && event.time.ends_with('Z'),
            "{}",
            event.time
        );
    }
    let nanoseconds = |event: &Event| event.time[20..29].parse::<u64>().unwrap();
    for pair in events.windows(2) {
        // The difference of the two clocks may be measured again between two events.
        let (by_wall, by_monotonic) = (
            (nanoseconds(&pair[1]) + 1_000_000_000 - nanoseconds(&pair[0])) % 1_000_000_000,
            (pair[1].time_ns - pair[0].time_ns) % 1_000_000_000,
        );
        assert!(by_wall.abs_diff(by_monotonic) < 10_000_000, "{pair:?}");
    }
}
