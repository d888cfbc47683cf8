//! Makes every listing, output, table and picture of the book again and compares it with the page. Checks every link.
//! See `src/book/mod.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../live/support/requirements.rs"]
mod requirements;

#[path = "../../live/support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;

use std::{
    process::Command,
    sync::{Arc, PoisonError, RwLock},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use xtask::book::{self, Block, PAGES, Workshop};

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> =
        ["ARCHITECTURE.md", "CHANGELOG.md", "docs/containers.md", "docs/style.md", "docs/vm.md"]
            .iter()
            .chain(PAGES)
            .map(|page| Trial::test(format!("links_of_{page}"), || every_link(page)))
            .collect();
    match blocks() {
        Ok(blocks) => trials.extend(blocks),
        Err(why) => trials.push(Trial::test("book_can_be_read", || Err(why.into()))),
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Held while the command of a block runs: for writing, if no other one may run at the same time.
static TURN: RwLock<()> = RwLock::new(());

fn every_link(page: &str) -> Result<(), Failed> {
    let broken = book::broken_links(page)?;
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

/// Returns a test for each block.
fn blocks() -> Result<Vec<Trial>, String> {
    let workshop = Arc::new(std::sync::OnceLock::new());
    let mut trials = Vec::new();
    for block in book::blocks()? {
        let workshop = Arc::clone(&workshop);
        trials.push(Trial::ignorable_test(block.name(), move || {
            if let Some(why) = block.runs_as_root().and_then(|root| obstacle(root, &block)) {
                return Ok(Completion::ignored_with(why));
            }
            // `run --built-in` counts the calls of all processes, those of other blocks too.
            let (_alone, _with_others);
            if block.text().contains("run --built-in") {
                _alone = TURN.write().unwrap_or_else(PoisonError::into_inner);
            } else {
                _with_others = TURN.read().unwrap_or_else(PoisonError::into_inner);
            }
            let workshop = workshop.get_or_init(Workshop::open).as_ref().map_err(String::clone)?;
            match workshop.differs(&block)? {
                None => Ok(Completion::Completed),
                Some(what) => {
                    Err(format!("if the change is right, run `cargo xtask book {}`\n{what}", block.page()).into())
                }
            }
        }));
    }
    Ok(trials)
}

/// Returns the reason why an output of the book cannot be made here; `None` if it can.
fn obstacle(root: bool, block: &Block) -> Option<String> {
    if root && let Some(why) = requirements::ring() {
        return Some(why);
    }
    if std::env::consts::ARCH != "x86_64" {
        return Some("the book's outputs are those of x86_64".to_owned());
    }
    if !newer_than(6, 10) {
        return Some("needs 6.10: the ring's page shows pending_pos".to_owned());
    }
    let uses = |tool: &str| block.text().split(|c: char| !c.is_alphanumeric()).any(|word| word == tool);
    let tools = ["sh", "getent", "sed", "grep", "fold", "head", "tail", "cut", "seq", "sort", "taskset", "perl"];
    let missing = tools.into_iter().find(|tool| (*tool == "sh" || uses(tool)) && !in_path(tool));
    missing.map(|tool| format!("needs {tool}: the book's commands use it"))
}

fn newer_than(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

fn in_path(tool: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().is_ok_and(|output| output.status.success())
}
