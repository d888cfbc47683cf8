//! A page of the book: its lines, and the blocks among them that are made.

use std::{fs, ops::Range};

/// A page, line by line.
#[derive(Debug)]
pub(super) struct Page {
    name: String,
    lines: Vec<String>,
}

/// The source of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Maker {
    /// The lines of a file: all, or those of some items.
    Source { file: String, items: Vec<String> },
    /// The commands in the block itself: as root, if they load programs; in any order, if several processes print.
    Run { root: bool, any_order: bool },
    /// A command that writes the picture below.
    Picture { command: String },
    /// A table of an experiment, without some of its columns.
    Table { experiment: String, title: String, without: Vec<String> },
    /// The verdict of an experiment, and its sentence.
    Quote { experiment: String },
    /// The table of likenesses and differences.
    Answers,
    /// The fields of a form of a JSON schema.
    Schema { file: String, form: String },
}

/// A block of a page.
#[derive(Debug, Clone)]
pub struct Block {
    pub(super) page: String,
    /// The line of the comment before it, counted from 1.
    line: usize,
    pub(super) maker: Maker,
    /// The text that is in the page now.
    pub(super) text: String,
    /// The lines of the text, counted from 0.
    lines: Range<usize>,
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

    /// Returns the blocks of the page, in order.
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
            let lines = self.lines_of(&maker, index + 1).ok_or_else(|| wrong("no block follows the comment"))?;
            let text = self.lines.get(lines.clone()).unwrap_or_default();
            let text = text.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            blocks.push(Block { page: self.name.clone(), line: index + 1, maker, text, lines });
        }
        Ok(blocks)
    }

    /// Returns the lines of the block that begins at `from`; `None` if there is no block.
    fn lines_of(&self, maker: &Maker, from: usize) -> Option<Range<usize>> {
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

    /// Replaces the text of a block. Call it from the last block to the first, because the lines after it move.
    pub(super) fn put(&mut self, block: &Block, text: &str) {
        self.lines.splice(block.lines.clone(), text.lines().map(str::to_owned));
    }
}

impl Maker {
    /// Parses a comment; `None` if it does not belong to a block.
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
                    other => return Err(format!("`run: {other}` is unknown; use `run: anyone` or `run: root`")),
                };
                Self::Run { root, any_order: parts.next().is_some_and(|part| part == "any order") }
            }
            "picture" => Self::Picture { command: rest.to_owned() },
            "table" => {
                let title = parts.next().ok_or("the table has no title")?;
                Self::Table { experiment: first, title, without: parts.collect() }
            }
            "quote" => Self::Quote { experiment: first },
            "schema" => Self::Schema { file: first, form: parts.next().ok_or("the schema has no form")? },
            _ => return Ok(None),
        }))
    }
}

impl Block {
    /// Returns whether the commands of a block need root; `None` if the block has no commands.
    #[must_use]
    pub fn runs_as_root(&self) -> Option<bool> {
        match self.maker {
            Maker::Run { root, .. } => Some(root),
            _ => None,
        }
    }

    /// Returns the text in the page: of commands, the commands and their output.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the page of the block.
    #[must_use]
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Returns the file of the image below, as the page names it.
    pub(super) fn image(&self) -> Option<&str> {
        let (_, link) = self.text.split_once("](")?;
        link.split_once(')').map(|(link, _)| link)
    }

    /// Returns a name for messages: page, line, and source.
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
            Maker::Schema { file, form } => format!("schema {file} {form}"),
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
    fn comment_of_a_block_without_a_block_is_an_error() {
        for text in
            ["<!-- run: anyone -->\ntext\n", "<!-- run: other -->\n```\n$ a\n```\n", "<!-- table: order -->\n|\n"]
        {
            assert!(Page::new("p", text).blocks().is_err(), "{text}");
        }
        // A comment within a fenced block is text.
        assert!(Page::new("p", "```\n<!-- run: anyone -->\n```\n").blocks().unwrap().is_empty());
    }
}
