//! The book in `docs/`, and what it shows: `cargo xtask book` makes every listing, output, table and picture anew.
//!
//! ```text
//!     page.rs       a page: its text, and the blocks in it that something makes
//!     make.rs       what makes them: a file's lines, a command's output, figures, pictures
//!     figures.rs    tables and quotes of the comparison, from the figures that lie beside it
//!     normalize.rs  whether two outputs are equal, but for what differs from run to run
//!     links.rs      whether links lead somewhere
//!     staged.rs     a ring with one of everything in it, to be drawn
//! ```
//!
//! A comment in front of a block says what makes it:
//!
//! ```text
//!     <!-- source: FILE -->                the file, without its head comment
//!     <!-- source: FILE | ITEM | … -->     the items whose first lines begin so
//!     <!-- run: anyone -->                 the commands of the block, and what they print
//!     <!-- run: root -->                   the same, for what loads programs
//!     <!-- run: root | any order -->       the same, where two processes print in any order
//!     <!-- picture: COMMAND -->            the file of the image below; the command writes it to FILE
//!     <!-- table: EXPERIMENT | TITLE | LEAVE OUT … -->
//!     <!-- quote: EXPERIMENT --> and <!-- answers -->
//! ```
//!
//! The tests of this package make the same blocks and compare.

mod figures;
mod links;
mod make;
mod normalize;
mod page;
mod staged;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use self::page::Page;
pub use self::{make::Workshop, page::Block};
use crate::tools::root;

/// What to do.
#[derive(Debug, Args)]
pub struct Arguments {
    /// These pages only, as paths from the repository's root
    pages: Vec<PathBuf>,

    /// Writes nothing: says what differs
    #[arg(long)]
    check: bool,

    /// Takes a new look at a ring with one of everything in it, as root: docs/looks/staged.jsonl
    #[arg(long)]
    stage: bool,
}

/// The pages that have blocks.
pub const PAGES: &[&str] = &[
    "README.md",
    "docs/README.md",
    "docs/1-two-buffers.md",
    "docs/2-ring.md",
    "docs/3-perf.md",
    "docs/4-three-ways.md",
    "docs/5-waking-up.md",
    "docs/6-losses.md",
    "docs/7-loading-by-hand.md",
    "docs/8-testing.md",
    "docs/9-embedding.md",
    "docs/10-two-readers.md",
    "docs/commands.md",
    "docs/compare.md",
];

/// What is wrong with the links of a page: none, or a line for each.
///
/// # Errors
///
/// If it cannot be read.
pub fn broken_links(page: &str) -> Result<Vec<String>, String> {
    links::broken(page)
}

/// The blocks of all pages.
///
/// # Errors
///
/// If a page cannot be read, or one of its comments cannot be understood.
pub fn blocks() -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    for page in PAGES {
        blocks.extend(Page::read(page)?.blocks()?);
    }
    Ok(blocks)
}

/// Makes the blocks, and writes the pages that have changed; or says which have.
///
/// # Errors
///
/// A line for each block that cannot be made, or differs where it is only to be checked.
pub fn write(arguments: &Arguments) -> crate::tools::Result {
    let workshop = Workshop::open()?;
    if arguments.stage {
        staged::record(&workshop)?;
    }
    let mut failures = Vec::new();
    for name in PAGES {
        if !arguments.pages.is_empty() && !arguments.pages.iter().any(|page| page == Path::new(name)) {
            continue;
        }
        let mut page = Page::read(name)?;
        let before = page.text();
        for block in page.blocks()?.into_iter().rev() {
            let made = if arguments.check { workshop.differs(&block) } else { workshop.make(&block).map(Some) };
            match made {
                Ok(Some(difference)) if arguments.check => failures.push(format!("{}: {difference}", block.name())),
                Ok(Some(made)) => page.put(&block, &made),
                Ok(None) => {}
                Err(why) => failures.push(format!("{}: {why}", block.name())),
            }
        }
        if page.text() != before {
            fs::write(root().join(name), page.text()).map_err(|error| format!("cannot write {name}: {error}"))?;
            println!("{name}");
        }
        failures.extend(links::broken(name)?);
    }
    if failures.is_empty() { Ok(crate::tools::Outcome::Done) } else { Err(failures.join("\n")) }
}
