//! The table: one row for each event.
//!
//! COMMAND, HOST and ADDRESSES share the columns that the others leave. A terminal of less than [`FULL`] columns has no
//! milliseconds, and no column for the service: it follows the host, as in `localhost:80`. With the container and the
//! library, a narrow terminal has no addresses.
//!
//! Only a terminal gets values that are cut. In a pipe or a file a longer value moves the rest of its row.

use std::io::{self, IsTerminal};

use cutaway_programs::getaddrinfo::{DecodedEvent, Text};

use super::{
    super::{
        origin::Origin,
        words::{latency, result, shown},
    },
    clock::Clock,
};
use crate::{
    columns::{cut, cut_left, display_width, left, right},
    terminal,
};

/// The width from which on the table has all columns; with the container and the library.
const FULL: [usize; 2] = [100, 140];

/// Digits of a container's id that other tools show.
const CONTAINER: usize = 12;

/// The columns of the table, and their widths.
pub(super) struct Table {
    /// The time has milliseconds, and the service has a column.
    full: bool,
    /// Values that do not fit their columns are cut.
    cuts: bool,
    colored: bool,
    containers: bool,
    command: usize,
    host: usize,
    result: usize,
    latency: usize,
    library: usize,
    /// 0 if there is no such column.
    addresses: usize,
}

impl Table {
    /// Creates the table for stdout.
    pub(super) fn new(wide: bool, containers: bool) -> Self {
        let cuts = io::stdout().is_terminal();
        let colored = terminal::is_colored();
        if wide { Self::wide(containers, colored) } else { Self::fitted(terminal::width(), containers, cuts, colored) }
    }

    /// Returns the table with all columns, whose values are never cut.
    fn wide(containers: bool, colored: bool) -> Self {
        let (command, host, result, latency) = (15, 28, 13, 10);
        let (library, addresses) = (1, 1);
        Self { full: true, cuts: false, colored, containers, command, host, result, latency, library, addresses }
    }

    /// Returns a table of `width` columns.
    fn fitted(width: usize, containers: bool, cuts: bool, colored: bool) -> Self {
        let [plain, with_containers] = FULL;
        let full = width >= if containers { with_containers } else { plain };
        let (result, latency) = if full { (12, 8) } else { (10, 7) };
        // TIME, PID and, if there is a column, SERVICE, with the spaces after them; the space after each of COMMAND,
        // HOST and RESULT.
        let fixed = if full { 12 + 1 + 7 + 1 + 8 + 1 } else { 8 + 1 + 7 + 1 } + 3 + result + latency;
        let location = if containers { 2 + CONTAINER + 2 } else { 0 };
        let gap = if full || !containers { 2 } else { 0 };
        let shared = width.saturating_sub(fixed + location + gap);
        let share = |percent: usize, least: usize, most: usize| (shared * percent / 100).clamp(least, most);
        let command = share(25, 6, 15);
        let rest = shared.saturating_sub(command);
        let (host, library, addresses) = match (containers, full) {
            (false, _) => {
                let host = (rest * 55 / 100).max(6);
                (host, 0, rest.saturating_sub(host).max(1))
            }
            (true, true) => {
                let host = rest * 40 / 100;
                (host, rest * 30 / 100, rest.saturating_sub(host + rest * 30 / 100).max(1))
            }
            (true, false) => {
                let host = (rest * 50 / 100).max(6);
                (host, rest.saturating_sub(host).max(4), 0)
            }
        };
        Self { full, cuts, colored, containers, command, host, result, latency, library, addresses }
    }

    /// Returns the names of the columns.
    pub(super) fn header(&self) -> String {
        let (bold, plain) = if self.colored { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let (time, service) = if self.full { (12, left("SERVICE", 8) + " ") } else { (8, String::new()) };
        let location =
            if self.containers { format!("  CONTAINER     {}", left("LIBRARY", self.library)) } else { String::new() };
        let addresses =
            if self.addresses > 0 { format!("  {}", self.cell("ADDRESSES", self.addresses)) } else { String::new() };
        let line = format!(
            "{:<time$} {:>7} {} {} {service}{} {}{location}{addresses}",
            "TIME",
            "PID",
            self.cell("COMMAND", self.command),
            self.cell("HOST", self.host),
            left("RESULT", self.result),
            right("LATENCY", self.latency),
        );
        format!("{bold}{}{plain}", line.trim_end())
    }

    /// Returns the row of an event.
    pub(super) fn row(&self, event: &DecodedEvent<'_>, origin: &Origin, clock: &Clock) -> String {
        let call = &event.call;
        let (color, plain) = if self.colored && call.ret != 0 { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        let row = format!(
            "{} {:>7} {} {color}{}{plain} {}{}",
            clock.local(call.time_ns, self.full),
            call.pid,
            self.strings(event.comm, event.node, event.service),
            self.cell(&result(call.ret), self.result),
            right(&latency(call.latency_ns), self.latency),
            if self.containers { self.location(origin) } else { String::new() },
        );
        if self.addresses == 0 {
            return row.trim_end().to_owned();
        }
        // The last column needs no padding.
        let addresses = addresses(event);
        format!("{row}  {}", self.cell(&addresses, self.addresses).trim_end())
    }

    /// Formats the strings of a row, each in its column.
    fn strings(&self, comm: &[u8], node: Text<'_>, service: Text<'_>) -> String {
        let comm = self.cell(&shown(Text::Whole(comm)), self.command);
        if self.full {
            let [node, service] = [node, service].map(shown);
            return format!("{comm} {} {}", self.cell(&node, self.host), self.cell(&service, 8));
        }
        let host = match (shown(node), service) {
            (host, Text::Null) => host,
            (host, service) if host.contains(':') => format!("[{host}]:{}", shown(service)),
            (host, service) => format!("{host}:{}", shown(service)),
        };
        format!("{comm} {}", self.cell(&host, self.host))
    }

    /// Formats the container and the library as two columns: `-` for a process in no container, `?` if unknown.
    fn location(&self, origin: &Origin) -> String {
        let container = match (&origin.container, &origin.cgroup) {
            (Some(container), _) => cut(&terminal::one_line(container), CONTAINER),
            (None, Some(_)) => "-".to_owned(),
            (None, None) => "?".to_owned(),
        };
        let library = origin.library.as_deref().map_or_else(|| "?".to_owned(), terminal::one_line);
        // The end of a path says more than its beginning.
        let library = if self.cuts && display_width(&library) > self.library {
            format!("…{}", cut_left(&library, self.library.saturating_sub(1)))
        } else {
            library
        };
        format!("  {}  {}", left(&container, CONTAINER), left(&library, self.library))
    }

    /// Pads a value to its column, and cuts it if the table is fitted to a terminal.
    fn cell(&self, value: &str, width: usize) -> String {
        if self.cuts && display_width(value) > width {
            // A wide letter may leave a column free.
            return left(&(cut(value, width.saturating_sub(1)) + "…"), width);
        }
        left(value, width)
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

#[cfg(test)]
mod tests {
    use cutaway_programs::getaddrinfo::Transport;

    use super::*;

    const HOSTS: [(&str, &str); 4] = [
        ("getent", "localhost"),
        ("漢字", "例え.テスト"),
        ("größe", "e\u{301}.example"),
        ("a-long-name-of-15", "a-host.with-a-long-name.in-a-long-domain.example.com"),
    ];

    fn row(table: &Table, comm: &str, host: &str, service: &str) -> String {
        let record = vec![0; Transport::Ring.event_size()];
        let mut event = Transport::Ring.read(&record).unwrap();
        event.comm = comm.as_bytes();
        event.node = Text::Whole(host.as_bytes());
        event.service = if service.is_empty() { Text::Null } else { Text::Whole(service.as_bytes()) };
        event.call.pid = 4_194_304;
        event.call.ret = libc::EAI_SOCKTYPE;
        event.call.latency_ns = 999_999;
        let id = "0123456789abcdef".repeat(4);
        let origin = Origin {
            library: Some("/usr/lib/x86_64-linux-gnu/libc.so.6".to_owned()),
            cgroup: Some(format!("/docker/{id}")),
            container: Some(id),
        };
        table.row(&event, &origin, &Clock::new())
    }

    #[test]
    fn rows_fit_the_terminal() {
        for containers in [false, true] {
            for width in [60, 80, 99, 100, 120, 139, 140, 200] {
                if containers && width < 80 {
                    continue;
                }
                let table = Table::fitted(width, containers, true, false);
                let mut lines = vec![table.header()];
                lines.extend(HOSTS.map(|(comm, host)| row(&table, comm, host, "https")));
                for line in &lines {
                    assert!(display_width(line) <= width, "{width}: {line}");
                }
                // The last row has `-` for its addresses. With them, it fills the width.
                if table.addresses > 0 {
                    let row = lines.last().map_or(0, |line| display_width(line));
                    assert_eq!(row - 1 + table.addresses, width, "{lines:#?}");
                }
            }
        }
    }

    #[test]
    fn wide_letters_keep_columns_aligned() {
        for table in [Table::wide(false, false), Table::fitted(80, false, true, false)] {
            let mut ends = HOSTS.iter().take(3).map(|(comm, host)| {
                let row = row(&table, comm, host, "");
                display_width(row.split_once("EAI_").unwrap().0)
            });
            let first = ends.next().unwrap();
            assert!(ends.all(|end| end == first));
        }
    }

    #[test]
    fn long_values_are_whole_in_a_pipe() {
        let (comm, host) = HOSTS[3];
        for table in [Table::wide(true, false), Table::fitted(80, true, false, false)] {
            let row = row(&table, comm, host, "https");
            for part in [comm, host, "EAI_SOCKTYPE", "https", "/usr/lib/x86_64-linux-gnu/libc.so.6"] {
                assert!(row.contains(part), "{part}: {row}");
            }
        }
    }

    #[test]
    fn service_follows_the_host_in_a_narrow_table() {
        let table = Table::fitted(80, false, true, false);
        let text = |host, service| table.strings(b"x", host, service).split_whitespace().nth(1).unwrap().to_owned();
        assert_eq!(text(Text::Whole(b"host"), Text::Whole(b"80")), "host:80");
        assert_eq!(text(Text::Whole(b"::1"), Text::Whole(b"80")), "[::1]:80");
        assert_eq!(text(Text::Whole(b"::1"), Text::Null), "::1");
        assert_eq!(text(Text::Null, Text::Whole(b"80")), "-:80");
    }

    #[test]
    fn unknown_location_differs_from_no_container() {
        let table = Table::wide(true, false);
        let known = Origin { library: Some("/l".into()), cgroup: Some("/".into()), container: None };
        assert_eq!(table.location(&known), "  -             /l");
        assert_eq!(table.location(&Origin::default()), "  ?             ?");
        let container = Some("0123456789abcdef".to_owned());
        assert_eq!(table.location(&Origin { container, ..known }), "  0123456789ab  /l");
    }
}
