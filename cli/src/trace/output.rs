//! Prints events as lines: columns for people, JSON for programs.

use std::{
    ffi::CStr,
    io::{self, BufWriter, IsTerminal, Write},
    time::{Duration, SystemTime},
};

use cutaway_programs::getaddrinfo::{Address, DecodedEvent, Text, Transport};
use cutaway_sys::clock::monotonic_ns;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::origin::Origin;
use crate::{
    args::Format,
    columns::{cut, left},
    outlet::{self, Standard},
    terminal,
};

/// The output for events: stdout, in the chosen format.
pub(crate) struct Output {
    to: BufWriter<Standard>,
    format: Format,
    clock: Clock,
    /// Whether the table has columns for the container and library.
    containers: bool,
    has_header: bool,
    colored: bool,
}

impl Output {
    pub(crate) fn new(format: Format, containers: bool) -> Self {
        let colored = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            to: BufWriter::new(outlet::stdout()),
            format,
            clock: Clock::new(),
            containers,
            has_header: false,
            colored,
        }
    }

    /// Writes the line of an event into the buffer. [`Output::flush`] writes the buffer to stdout.
    pub(crate) fn event(&mut self, event: &DecodedEvent<'_>, transport: Transport, origin: Origin) -> io::Result<()> {
        match self.format {
            Format::Table => self.row(event, &origin),
            Format::Json => {
                terminal::write_json(&mut self.to, &Json::new(event, transport, origin))?;
                self.to.write_all(b"\n")
            }
        }
    }

    /// Returns whether the output shows the origin of a call.
    pub(crate) fn shows_origin(&self) -> bool {
        self.containers || self.format == Format::Json
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn row(&mut self, event: &DecodedEvent<'_>, origin: &Origin) -> io::Result<()> {
        let (bold, red, plain) = if self.colored { ("\x1b[1m", "\x1b[31m", "\x1b[0m") } else { ("", "", "") };
        if !self.has_header {
            self.has_header = true;
            let more = if self.containers { "  CONTAINER     LIBRARY" } else { "" };
            writeln!(
                self.to,
                "{bold}{:<12} {:>7} {:<15} {:<28} {:<8} {:<13} {:>10}{more}  ADDRESSES{plain}",
                "TIME", "PID", "COMMAND", "HOST", "SERVICE", "RESULT", "LATENCY"
            )?;
        }
        let call = &event.call;
        let color = if call.ret == 0 { "" } else { red };
        writeln!(
            self.to,
            "{:<12} {:>7} {} {color}{:<13}{plain_end} {:>10}{}  {}",
            self.clock.local(call.time_ns),
            call.pid,
            string_columns(event.comm, event.node, event.service),
            result(call.ret),
            latency(call.latency_ns),
            if self.containers { location(origin) } else { String::new() },
            addresses(event),
            plain_end = if color.is_empty() { "" } else { plain },
        )
    }
}

/// Converts `CLOCK_MONOTONIC` to the time of day.
struct Clock {
    /// The time of day at 0 of the monotonic clock.
    zero: SystemTime,
    zone: TimeZone,
}

impl Clock {
    fn new() -> Self {
        let now = Duration::from_nanos(monotonic_ns());
        let zero = SystemTime::now().checked_sub(now).unwrap_or(SystemTime::UNIX_EPOCH);
        Self { zero, zone: TimeZone::system() }
    }

    fn local(&self, time_ns: u64) -> String {
        let time = self.zero.checked_add(Duration::from_nanos(time_ns)).and_then(|time| Timestamp::try_from(time).ok());
        time.map_or_else(|| "?".to_owned(), |time| self.zone.to_datetime(time).strftime("%H:%M:%S%.3f").to_string())
    }
}

/// Formats the strings of a row, each in its column.
fn string_columns(comm: &[u8], node: Text<'_>, service: Text<'_>) -> String {
    let [comm, node, service] = [Text::Whole(comm), node, service].map(shown);
    format!("{} {} {}", left(&comm, 15), left(&node, 28), left(&service, 8))
}

/// Formats a string for the table: `-` for null, `?` for an unreadable one, and `…` after a truncated one.
fn shown(text: Text<'_>) -> String {
    match text {
        Text::Null => "-".to_owned(),
        Text::Unreadable(_) => "?".to_owned(),
        Text::Whole(bytes) => terminal::one_line(&String::from_utf8_lossy(bytes)),
        Text::Cut(_) => shown(Text::Whole(text.bytes().unwrap_or_default())) + "…",
    }
}

/// Formats the container and the library as two columns of the table: `-` for a process in no container, `?` if
/// unknown.
fn location(origin: &Origin) -> String {
    /// Digits of an id that other tools show.
    const SHORT: usize = 12;
    let container = match (&origin.container, &origin.cgroup) {
        (Some(container), _) => cut(&terminal::one_line(container), SHORT),
        (None, Some(_)) => "-".to_owned(),
        (None, None) => "?".to_owned(),
    };
    let library = origin.library.as_deref().map_or_else(|| "?".to_owned(), terminal::one_line);
    format!("  {}  {library}", left(&container, SHORT))
}

/// Returns `ok`, or the error's name in `netdb.h`.
fn result(ret: i32) -> String {
    let name = match ret {
        0 => "ok",
        libc::EAI_AGAIN => "EAI_AGAIN",
        libc::EAI_BADFLAGS => "EAI_BADFLAGS",
        libc::EAI_FAIL => "EAI_FAIL",
        libc::EAI_FAMILY => "EAI_FAMILY",
        libc::EAI_MEMORY => "EAI_MEMORY",
        libc::EAI_NODATA => "EAI_NODATA",
        libc::EAI_NONAME => "EAI_NONAME",
        libc::EAI_OVERFLOW => "EAI_OVERFLOW",
        libc::EAI_SERVICE => "EAI_SERVICE",
        libc::EAI_SOCKTYPE => "EAI_SOCKTYPE",
        libc::EAI_SYSTEM => "EAI_SYSTEM",
        other => return format!("error {other}"),
    };
    name.to_owned()
}

/// Formats a duration with three digits and a unit.
fn latency(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    let (value, unit) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => (value / 1e3, "µs"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    match value {
        ..10.0 => format!("{value:.2} {unit}"),
        ..100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Formats the addresses in the event, and the number of entries of the list if there are more.
fn addresses(event: &DecodedEvent<'_>) -> String {
    if event.call.addresses == 0 {
        return "-".to_owned();
    }
    let known: Vec<_> = event.call.addresses().map(|address| address.to_string()).collect();
    let text = known.join(" ");
    if known.len() == usize::from(event.call.addresses) {
        text
    } else {
        format!("{text} ({} entries)", event.call.addresses)
    }
}

/// An event's fields in JSON, in this order.
#[derive(Serialize)]
struct Json<'a> {
    time_ns: u64,
    cpu: u32,
    pid: u32,
    tid: u32,
    uid: u32,
    comm: String,
    node: Option<String>,
    service: Option<String>,
    ret: i32,
    error: Option<String>,
    latency_ns: u64,
    ai_flags: Option<i32>,
    ai_family: Option<i32>,
    ai_socktype: Option<i32>,
    ai_protocol: Option<i32>,
    ai_addrlen: Option<u32>,
    ai_addr: Option<String>,
    ai_canonname: Option<String>,
    /// The number of entries of the list.
    addresses: u16,
    transport: &'a str,
    /// The first addresses of the list, each once.
    first_addresses: Vec<String>,
    /// The names of fields that are truncated.
    cut: Vec<&'static str>,
    /// The names of fields whose memory could not be read.
    unreadable: Vec<&'static str>,
    /// The path of the library whose function was called, as this process sees it; null if unknown.
    library: Option<String>,
    /// The path of the process's cgroup; null if unknown.
    cgroup: Option<String>,
    /// The container's id or name in that path; null if there is none, or the path is unknown.
    container: Option<String>,
}

impl<'a> Json<'a> {
    fn new(event: &DecodedEvent<'_>, transport: Transport, origin: Origin) -> Self {
        let call = &event.call;
        let found = |value| (call.addresses > 0).then_some(value);
        let addresses: Vec<_> = call.addresses().map(|address: Address| address.to_string()).collect();
        let text = |text: Text<'_>| text.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let names = [("node", event.node), ("service", event.service), ("ai_canonname", event.canonname)];
        let cut = names.iter().filter(|(_, text)| matches!(text, Text::Cut(_))).map(|(name, _)| *name);
        let unreadable = names.iter().filter(|(_, text)| matches!(text, Text::Unreadable(_))).map(|(name, _)| *name);
        let list = (call.cut & cutaway_programs::getaddrinfo::EventHeader::LIST_CUT != 0).then_some("addresses");
        Self {
            time_ns: call.time_ns,
            cpu: call.cpu,
            pid: call.pid,
            tid: call.tid,
            uid: call.uid,
            comm: String::from_utf8_lossy(event.comm).into_owned(),
            node: text(event.node),
            service: text(event.service),
            ret: call.ret,
            error: (call.ret != 0).then(|| gai_strerror(call.ret)),
            latency_ns: call.latency_ns,
            ai_flags: found(call.ai_flags),
            ai_family: found(call.ai_family),
            ai_socktype: found(call.ai_socktype),
            ai_protocol: found(call.ai_protocol),
            ai_addrlen: (call.addresses > 0).then_some(call.ai_addrlen),
            ai_addr: addresses.first().cloned(),
            ai_canonname: text(event.canonname),
            addresses: call.addresses,
            transport: transport.name(),
            first_addresses: addresses,
            cut: cut.chain(list).collect(),
            unreadable: unreadable.collect(),
            library: origin.library,
            cgroup: origin.cgroup,
            container: origin.container,
        }
    }
}

/// Returns the C library's text for an error of `getaddrinfo`.
#[expect(unsafe_code, reason = "a function of the C library")]
fn gai_strerror(error: i32) -> String {
    // SAFETY: takes a number; gives a string that is never freed or changed, or null.
    let text = unsafe { libc::gai_strerror(error) };
    if text.is_null() {
        return format!("error {error}");
    }
    // SAFETY: not null, and a NUL-terminated string that lives as long as the process.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::display_width;

    #[test]
    fn latencies_have_three_digits_and_a_unit() {
        let cases =
            [(999, "999 ns"), (1_234, "1.23 µs"), (56_789, "56.8 µs"), (999_999, "1000 µs"), (5_000_000_000, "5.00 s")];
        for (nanoseconds, text) in cases {
            assert_eq!(latency(nanoseconds), text);
        }
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(shown(Text::Whole(b"a\nb\x1b[2J")), "a\\nb\\u{1b}[2J");
        assert_eq!(shown(Text::Cut(b"long")), "long…");
        assert_eq!(shown(Text::Null), "-");
    }

    #[test]
    fn unknown_location_differs_from_no_container() {
        let known = Origin { library: Some("/l".into()), cgroup: Some("/".into()), container: None };
        assert_eq!(location(&known), "  -             /l");
        assert_eq!(location(&Origin::default()), "  ?             ?");
        let container = Some("0123456789abcdef".to_owned());
        assert_eq!(location(&Origin { container, ..known }), "  0123456789ab  /l");
    }

    #[test]
    fn errors_have_names_and_texts() {
        assert_eq!(result(libc::EAI_NONAME), "EAI_NONAME");
        assert_eq!(result(-4711), "error -4711");
        assert_eq!(gai_strerror(libc::EAI_NONAME), "Name or service not known");
    }

    #[test]
    fn wide_characters_keep_columns_aligned() {
        let row = |comm: &str, host: &str| string_columns(comm.as_bytes(), Text::Whole(host.as_bytes()), Text::Null);
        for (comm, host) in [("getent", "localhost"), ("漢字", "例え.テスト"), ("größe", "e\u{301}.example")] {
            assert_eq!(display_width(&row(comm, host)), 15 + 1 + 28 + 1 + 8, "{comm} {host}");
        }
    }
}
