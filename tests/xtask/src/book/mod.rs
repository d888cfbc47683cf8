//! The book in `docs/`: `cargo xtask book` makes every listing, output, table and picture again.
//!
//! ```text
//!     page.rs       a page: its text, and its blocks
//!     make.rs       makes blocks: a file's lines, a command's output, figures, pictures
//!     figures.rs    tables and quotes of the comparison, from docs/compare/figures.jsonl
//!     schema.rs     tables of docs/json.md, from docs/schema
//!     normalize.rs  compares outputs, except for values that differ from run to run
//!     links.rs      checks links
//!     staged.rs     stages a ring with a record of each kind, for the pictures
//! ```
//!
//! A comment before a block names its source:
//!
//! ```text
//!     <!-- source: FILE -->                the file, without its head comment
//!     <!-- source: FILE | ITEM | … -->     the items whose first lines begin with ITEM
//!     <!-- run: anyone -->                 the commands of the block, and their output
//!     <!-- run: root -->                   the same, for commands that load programs
//!     <!-- run: root | any order -->       the same, where two processes print in any order
//!     <!-- picture: COMMAND -->            the file of the image below; COMMAND writes it to FILE
//!     <!-- table: EXPERIMENT | TITLE | LEAVE OUT … -->
//!     <!-- quote: EXPERIMENT --> and <!-- answers -->
//!     <!-- schema: FILE | FORM -->         the fields of a form of a JSON schema
//! ```
//!
//! The tests of this package make the same blocks and compare them with the pages.

mod figures;
mod links;
mod make;
mod normalize;
mod page;
mod schema;
mod staged;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use self::page::Page;
pub use self::{make::Workshop, page::Block};
use crate::tools::root;

/// The arguments of `cargo xtask book`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Make these pages only, as paths from the repository's root
    pages: Vec<PathBuf>,

    /// Print the differences and write nothing
    #[arg(long)]
    check: bool,

    /// Stage a ring, as root, and write docs/looks/staged.jsonl
    ///
    /// The ring has a record of each kind: committed, discarded, busy.
    #[arg(long)]
    stage: bool,
}

/// The pages with blocks.
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
    "docs/11-instrumentation.md",
    "docs/commands.md",
    "docs/compare.md",
    schema::PAGE,
];

/// Returns a line for each broken link of a page.
///
/// # Errors
///
/// If the page cannot be read.
pub fn broken_links(page: &str) -> Result<Vec<String>, String> {
    links::broken(page)
}

/// Returns the blocks of all pages.
///
/// # Errors
///
/// If a page cannot be read, or the comment of a block is malformed.
pub fn blocks() -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    for page in PAGES {
        blocks.extend(Page::read(page)?.blocks()?);
    }
    Ok(blocks)
}

/// Makes the blocks and writes the changed pages. With `--check`, it returns the differences instead.
///
/// # Errors
///
/// A line for each block that cannot be made or, with `--check`, that differs.
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
        if *name == schema::PAGE {
            failures.extend(schema::missing(&page.text())?);
        }
    }
    if failures.is_empty() { Ok(crate::tools::Outcome::Done) } else { Err(failures.join("\n")) }
}
