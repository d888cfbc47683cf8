//! A text that a program has printed, and its line on stdout.

use serde_json::json;

use super::trace_line::TraceLine;
use crate::{
    error::CliError,
    run::{
        Format,
        timestamps::{Clock, Time},
    },
    terminal,
};

/// A text that a program has printed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::run) enum Print {
    /// A line of the kernel's trace.
    Trace(TraceLine),
    /// Texts that the trace of a CPU had no room for; `None` if their number is unknown.
    Lost { cpu: u32, lost: Option<u64> },
    /// A line of a program's stream.
    Stream { program: String, stream: &'static str, text: String },
}

impl Print {
    /// Formats it as a line: in JSON with the key `print`, otherwise after the word `print`.
    pub(in crate::run) fn line(&self, format: Format, clock: Option<&Clock>) -> Result<String, CliError> {
        let time = clock.map(|clock| clock.time(self.time_ns()));
        if format != Format::Json {
            let time = clock.zip(time).map_or_else(String::new, |(clock, time)| clock.local(time) + "  ");
            return Ok(terminal::one_line(&format!("{time}{}", self.text())));
        }
        let mut line = match self {
            Self::Trace(TraceLine { text, process: Some(process) }) => json!({
                "print": text, "by": "bpf_trace_printk", "comm": process.comm, "tid": process.tid,
                "cpu": process.cpu, "time_ns": process.time_ns,
            }),
            Self::Trace(TraceLine { text, process: None }) => json!({ "print": text, "by": "bpf_trace_printk" }),
            Self::Lost { cpu, lost } => json!({ "print": null, "by": "bpf_trace_printk", "lost": lost, "cpu": cpu }),
            Self::Stream { program, stream, text } => json!({ "print": text, "by": program, "stream": stream }),
        };
        if let (Some(time), Some(keys)) = (time, line.as_object_mut()) {
            keys.insert("time".to_owned(), Time::rfc3339(time).into());
            keys.insert("time_is".to_owned(), time.source().into());
        }
        terminal::json(&line)
    }

    fn time_ns(&self) -> Option<u64> {
        match self {
            Self::Trace(TraceLine { process: Some(process), .. }) => process.time_ns,
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Trace(TraceLine { text, process: Some(process) }) => {
                format!("print  {}-{}  CPU {}  {text}", process.comm, process.tid, process.cpu)
            }
            Self::Trace(TraceLine { text, process: None }) => format!("print  {text}"),
            Self::Lost { cpu, lost: Some(lost) } => format!("print  lost: {lost} events on CPU {cpu}"),
            Self::Lost { cpu, lost: None } => format!("print  lost: some events on CPU {cpu}"),
            Self::Stream { program, stream, text } => format!("print  {program} ({stream})  {text}"),
        }
    }
}
