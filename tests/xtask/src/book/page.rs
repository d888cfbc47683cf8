//! A page of the book: lines, and the blocks among them that something makes.

use std::{fs, ops::Range};

/// A page, line by line.
#[derive(Debug)]
pub(super) struct Page {
    name: String,
    lines: Vec<String>,
}

/// What makes a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Maker {
    /// The lines of a file: all, or those of some items.
    Source { file: String, items: Vec<String> },
    /// The commands in the block itself. As root, if programs are loaded; in any order, if several processes print.
    Run { root: bool, any_order: bool },
    /// A command that writes the picture below.
    Picture { command: String },
    /// A table of an experiment; some columns may be left out.
    Table { experiment: String, title: String, without: Vec<String> },
    /// What an experiment said.
    Quote { experiment: String },
    /// What the comparison came to.
    Answers,
}

/// A block of a page.
#[derive(Debug, Clone)]
pub struct Block {
    pub(super) page: String,
    /// Of the comment in front of it, counted from 1.
    line: usize,
    pub(super) maker: Maker,
    /// What is there now.
    pub(super) text: String,
    /// Where it is, in lines counted from 0.
    place: Range<usize>,
}

impl Page {
    /// Reads a page by its path from the root.
    pub(super) fn read(name: &str) -> Result<Self, String> {
        let text = fs::read_to_string(crate::tools::root().join(name))
            .map_err(|error| format!("cannot read {name}: {error}"))?;
        Ok(Self::new(name, &text))
    }

    fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// The blocks that something makes, in their order.
    pub(super) fn blocks(&self) -> Result<Vec<Block>, String> {
        let mut blocks = Vec::new();
        let mut fenced = false;
        for (index, line) in self.lines.iter().enumerate() {
            if line.starts_with("```") {
                fenced = !fenced;
            }
            let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
            if fenced {
                continue;
            }
            let wrong = |why: &str| format!("{}:{}: {why}", self.name, index + 1);
            let Some(maker) = Maker::read(comment).map_err(|why| wrong(&why))? else { continue };
            let place =
                self.place_of(&maker, index + 1).ok_or_else(|| wrong("there is no block behind the comment"))?;
            let text = self.lines.get(place.clone()).unwrap_or_default();
            let text = text.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            blocks.push(Block { page: self.name.clone(), line: index + 1, maker, text, place });
        }
        Ok(blocks)
    }

    /// The lines of the block that begins here.
    fn place_of(&self, maker: &Maker, from: usize) -> Option<Range<usize>> {
        let rest = self.lines.get(from..)?;
        let (start, end) = match maker {
            Maker::Source { .. } | Maker::Run { .. } => {
                rest.first()?.starts_with("```").then_some(())?;
                (1, 1 + rest.iter().skip(1).position(|line| line.starts_with("```"))?)
            }
            _ => (0, rest.iter().position(String::is_empty).unwrap_or(rest.len())),
        };
        (end > start || matches!(maker, Maker::Source { .. })).then_some(from + start..from + end)
    }

    /// Puts something else in a block's place. From the last block to the first, since lines move.
    pub(super) fn put(&mut self, block: &Block, text: &str) {
        self.lines.splice(block.place.clone(), text.lines().map(str::to_owned));
    }
}

impl Maker {
    /// Reads a comment; `None` if it is one like any other.
    fn read(comment: &str) -> Result<Option<Self>, String> {
        if comment == "answers" {
            return Ok(Some(Self::Answers));
        }
        let Some((kind, rest)) = comment.split_once(": ") else { return Ok(None) };
        let mut parts = rest.split(" | ").map(str::to_owned);
        let first = parts.next().unwrap_or_default();
        Ok(Some(match kind {
            "source" => Self::Source { file: first, items: parts.collect() },
            "run" => {
                let root = match first.as_str() {
                    "anyone" => false,
                    "root" => true,
                    who => return Err(format!("who is `{who}`? `run: anyone` and `run: root` are known")),
                };
                Self::Run { root, any_order: parts.next().is_some_and(|part| part == "any order") }
            }
            "picture" => Self::Picture { command: rest.to_owned() },
            "table" => {
                let title = parts.next().ok_or("a table has a title")?;
                Self::Table { experiment: first, title, without: parts.collect() }
            }
            "quote" => Self::Quote { experiment: first },
            _ => return Ok(None),
        }))
    }
}

impl Block {
    /// Whether it takes a running kernel to make it; then, whether it takes root.
    #[must_use]
    pub fn runs_as_root(&self) -> Option<bool> {
        match self.maker {
            Maker::Run { root, .. } => Some(root),
            _ => None,
        }
    }

    /// What it shows: of commands, them and what they print.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The page that it is in.
    #[must_use]
    pub fn page(&self) -> &str {
        &self.page
    }

    /// The file of the picture below, as the page names it.
    pub(super) fn image(&self) -> Option<&str> {
        let (_, link) = self.text.split_once("](")?;
        link.split_once(')').map(|(link, _)| link)
    }

    /// Where it is, and what it shows.
    #[must_use]
    pub fn name(&self) -> String {
        let what = match &self.maker {
            Maker::Source { file, .. } => format!("source {file}"),
            Maker::Run { .. } => {
                let command = self.text.lines().find_map(|line| line.strip_prefix("$ ")).unwrap_or_default();
                command.chars().take(60).collect()
            }
            Maker::Picture { .. } => format!("picture {}", self.image().unwrap_or_default()),
            Maker::Table { experiment, .. } => format!("table {experiment}"),
            Maker::Quote { experiment } => format!("quote {experiment}"),
            Maker::Answers => "answers".to_owned(),
        };
        format!("{}:{} {what}", self.page, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "text\n<!-- run: anyone -->\n```console\n$ true\n```\n<!-- a note -->\n\n<!-- quote: order -->\n> a\n> b\n\nend\n";

    #[test]
    fn blocks_are_found_and_replaced() {
        let mut page = Page::new("p", PAGE);
        let blocks = page.blocks().unwrap();
        assert_eq!(blocks.iter().map(|block| block.text.as_str()).collect::<Vec<_>>(), ["$ true\n", "> a\n> b\n"]);
        assert_eq!(blocks[0].name(), "p:2 true");
        page.put(&blocks[1], "> c\n");
        page.put(&blocks[0], "$ true\nwell\n");
        assert_eq!(page.text(), PAGE.replace("> a\n> b\n", "> c\n").replace("$ true\n", "$ true\nwell\n"));
    }

    #[test]
    fn a_comment_that_promises_a_block_must_have_one() {
        for text in
            ["<!-- run: anyone -->\ntext\n", "<!-- run: somebody -->\n```\n$ a\n```\n", "<!-- table: order -->\n|\n"]
        {
            assert!(Page::new("p", text).blocks().is_err(), "{text}");
        }
        // What stands in a block is text.
        assert!(Page::new("p", "```\n<!-- run: anyone -->\n```\n").blocks().unwrap().is_empty());
    }
}
