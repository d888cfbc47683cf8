//! Records the crate's reports to `log`.

use std::sync::Mutex;

use log::{Level, LevelFilter, Log, Metadata, Record, kv};

/// A report: level, target, message, key-values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
    pub(crate) pairs: Vec<(String, String)>,
}

static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Journal;

impl Log for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut pairs = Pairs(Vec::new());
        record.key_values().visit(&mut pairs).unwrap();
        ENTRIES.lock().unwrap().push(Entry {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.args().to_string(),
            pairs: pairs.0,
        });
    }

    fn flush(&self) {}
}

struct Pairs(Vec<(String, String)>);

impl<'kvs> kv::VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

/// Records everything from now on.
pub(crate) fn start() {
    log::set_logger(&Journal).unwrap();
    log::set_max_level(LevelFilter::Trace);
}

/// Returns the reports of this level, without the system calls.
pub(crate) fn messages(level: Level) -> Vec<String> {
    let entries = ENTRIES.lock().unwrap();
    let fits = |entry: &&Entry| entry.level == level && entry.target != "syscall";
    entries.iter().filter(fits).map(|entry| entry.message.clone()).collect()
}

/// Returns the system calls: the reports of their target.
pub(crate) fn system_calls() -> Vec<Entry> {
    let entries = ENTRIES.lock().unwrap();
    entries.iter().filter(|entry| entry.target == "syscall").cloned().collect()
}
