//! Makes the blocks: from files, commands and figures.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{Block, figures::Figures, normalize, page::Maker, schema};
use crate::tools;
use crate::tools::root;

/// The programs of this repository and the figures of the comparison, from which blocks are made.
#[derive(Debug)]
pub struct Workshop {
    /// The directory with `cutaway` and `xtask`.
    programs: PathBuf,
    figures: Figures,
}

impl Workshop {
    /// Builds the programs that the pages run, and reads the figures.
    ///
    /// # Errors
    ///
    /// If the build fails, or the figures cannot be read.
    pub fn open() -> Result<Self, String> {
        tools::programs()?;
        let me = env::current_exe().map_err(|error| format!("cannot find this executable: {error}"))?;
        // The binary of a test is one directory deeper, in `deps`.
        let directory = me.ancestors().skip(1).find(|directory| directory.join("cutaway").is_file());
        let programs = directory.ok_or("cutaway was built into another directory than this program")?.to_owned();
        Ok(Self { programs, figures: Figures::read()? })
    }

    /// Makes the text of a block. It writes the file of a picture and returns the old text.
    pub(super) fn make(&self, block: &Block) -> Result<String, String> {
        match &block.maker {
            Maker::Source { file, items } => source(file, items),
            Maker::Run { any_order, .. } => self.run(&block.text, compare(*any_order)),
            Maker::Picture { command } => {
                let image = block.image().ok_or("no image follows the comment")?;
                let made = self.picture(command)?;
                let file = root().join(&block.page).with_file_name("").join(image);
                // The file is kept if it differs only in values that differ from run to run.
                if !fs::read_to_string(&file).is_ok_and(|kept| normalize::pictures(&kept, &made)) {
                    fs::write(&file, made).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
                }
                Ok(block.text.clone())
            }
            Maker::Table { experiment, title, without } => self.figures.table(experiment, title, without),
            Maker::Quote { experiment } => self.figures.quote(experiment),
            Maker::Answers => self.figures.answers(),
            Maker::Schema { file, form } => schema::table(file, form),
        }
    }

    /// Makes a block and returns how it differs from the page; `None` if it does not.
    ///
    /// # Errors
    ///
    /// If the block cannot be made.
    pub fn differs(&self, block: &Block) -> Result<Option<String>, String> {
        if let Maker::Picture { command } = &block.maker {
            let image = block.image().ok_or("no image follows the comment")?;
            let file = root().join(&block.page).with_file_name("").join(image);
            let kept = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let made = self.picture(command)?;
            return Ok(
                (!normalize::pictures(&kept, &made)).then(|| format!("`{command}` draws another {image}: {made}"))
            );
        }
        let made = self.make(block)?;
        let same = match &block.maker {
            Maker::Run { any_order, .. } => compare(*any_order)(&block.text, &made),
            _ => block.text == made,
        };
        Ok((!same).then(|| format!("--- in the page\n{}--- made now\n{made}", block.text)))
    }

    /// Returns a shell that runs a script, with the programs of this repository first in PATH.
    pub(super) fn shell(&self, script: &str) -> Command {
        let mut shell = Command::new("sh");
        let path = env::var("PATH").unwrap_or_default();
        shell.args(["-c", script]).current_dir(root()).env("PATH", format!("{}:{path}", self.programs.display()));
        for setting in ["COLUMNS", "RUST_LOG", "NO_COLOR"] {
            shell.env_remove(setting);
        }
        shell.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        shell
    }

    /// Runs the commands of a block and returns each with its output. An elided output is kept if it still matches.
    fn run(&self, block: &str, same: fn(&str, &str) -> bool) -> Result<String, String> {
        let mut made = String::new();
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(first) = line.strip_prefix("$ ") else {
                return Err(format!("`{line}` precedes all commands"));
            };
            let mut command = vec![first];
            while continues(&command) {
                match lines.next() {
                    Some(line) => command.push(line),
                    None => return Err(format!("`{first}` does not end")),
                }
            }
            let mut shown = String::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                shown.push_str(line);
                shown.push('\n');
            }
            let command = command.join("\n");
            let printed = self.printed(&command)?;
            made.push_str(&format!("$ {command}\n"));
            if normalize::is_elided(&shown) {
                if !same(&shown, &printed) {
                    return Err(format!("the output of `{command}` has changed; elide it again by hand:\n{printed}"));
                }
                made.push_str(&shown);
            } else {
                made.push_str(if same(&shown, &printed) { &shown } else { &printed });
            }
        }
        Ok(made)
    }

    /// Returns the output of a command on both streams, in order.
    fn printed(&self, command: &str) -> Result<String, String> {
        // Pages show `cargo run` and `cargo xtask`, as typed in a checkout.
        let script = command.replace("cargo run --release -- ", "cutaway ").replace("cargo xtask ", "xtask ");
        let output = self.shell(&format!("{{ {script}\n}} 2>&1")).output();
        let output = output.map_err(|error| format!("cannot run a shell: {error}"))?;
        let text: String =
            String::from_utf8_lossy(&output.stdout).lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
        let text = text.trim_end().to_owned() + "\n";
        if output.status.success() { Ok(text) } else { Err(format!("`{command}`: {}: {text}", output.status)) }
    }

    /// Returns the picture that a command writes to FILE.
    fn picture(&self, command: &str) -> Result<String, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("cannot create a directory: {error}"))?;
        let file = directory.path().join("picture.svg");
        self.printed(&command.replace("FILE", &file.display().to_string()))?;
        fs::read_to_string(&file).map_err(|error| format!("`{command}` has written no picture: {error}"))
    }
}

/// Returns the function that compares outputs.
fn compare(any_order: bool) -> fn(&str, &str) -> bool {
    if any_order { normalize::shuffled_outputs } else { normalize::outputs }
}

/// Returns whether a command continues after these lines: a quote is open, or the last line ends in `do`, `|` or `\`.
fn continues(command: &[&str]) -> bool {
    let quotes: usize = command.iter().map(|line| line.matches('\'').count()).sum();
    let ends = |line: &&str| [" do", "|", "\\"].iter().any(|end| line.ends_with(end));
    quotes % 2 == 1 || command.last().is_some_and(ends)
}

/// Returns the text of a file, or of some of its items.
fn source(file: &str, items: &[String]) -> Result<String, String> {
    let text = fs::read_to_string(root().join(file)).map_err(|error| format!("cannot read {file}: {error}"))?;
    if items.is_empty() {
        let lines = text.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
        return Ok(lines.flat_map(|line| [line, "\n"]).collect());
    }
    let made: Result<Vec<_>, _> = items.iter().map(|begin| item(&text, begin).ok_or((file, begin))).collect();
    made.map(|items| concatenated(&items)).map_err(|(file, item)| {
        format!("{file} does not have exactly one item that begins with `{item}`: has it been renamed?")
    })
}

/// Joins items. An empty line precedes each item of several lines.
fn concatenated(items: &[String]) -> String {
    let mut made = String::new();
    for item in items {
        if !made.is_empty() && item.lines().nth(1).is_some() {
            made.push('\n');
        }
        made.push_str(item);
    }
    made
}

/// Returns the one item whose first line begins with `begin`, up to the line that ends it, without the indentation.
fn item(text: &str, begin: &str) -> Option<String> {
    let starts = |line: &str| line.trim_start().starts_with(begin);
    let first = text.lines().position(starts)?;
    if text.lines().filter(|line| starts(line)).count() != 1 {
        return None;
    }
    let head = text.lines().nth(first)?;
    let indentation = head.len() - head.trim_start().len();
    let mut made = String::new();
    for (index, line) in text.lines().skip(first).enumerate() {
        let bare = line.get(indentation..).unwrap_or_default();
        made.push_str(bare);
        made.push('\n');
        // The closing parenthesis of parameters on several lines precedes the body.
        let closes = bare.starts_with(['}', ']', ')']) && index > 0 && !bare.ends_with('{');
        if closes || (index == 0 && bare.trim_end().ends_with([';', '}'])) {
            return Some(made);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{continues, item};

    #[test]
    fn command_continues_as_in_a_shell() {
        for (command, more) in [
            (&["a 'b"][..], true),
            (&["a 'b", "c'"], false),
            (&["a |"], true),
            (&["for a in b; do"], true),
            (&["a"], false),
        ] {
            assert_eq!(continues(command), more, "{command:?}");
        }
    }

    #[test]
    fn item_ends_at_the_bracket_in_its_first_column() {
        let text = "impl A {\n    fn a() {\n        if b {\n        }\n    }\n\n    fn c() {}\n}\nconst B: u8 = \
             1;\nint d(void)\n{\n\treturn 0;\n}\n";
        assert_eq!(item(text, "fn a").unwrap(), "fn a() {\n    if b {\n    }\n}\n");
        assert_eq!(item(text, "fn c").unwrap(), "fn c() {}\n");
        assert_eq!(item(text, "const B").unwrap(), "const B: u8 = 1;\n");
        assert_eq!(item(text, "int d").unwrap(), "int d(void)\n{\n\treturn 0;\n}\n");
        assert_eq!(item("fn e(\n    f: u8,\n) {\n}\n", "fn e").unwrap(), "fn e(\n    f: u8,\n) {\n}\n");
        assert_eq!(item(text, "fn "), None, "there are two");
    }
}
