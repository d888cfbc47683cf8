//! Writes Rust in the form that rustfmt gives it by default.
//!
//! Only the forms that the generated code has are known here. Names have at most [`LONGEST`](super::naming::LONGEST)
//! characters, so that nothing else becomes too long for a line.

/// The width of a line, of a call's arguments, and of the fields of a structure's literal on one line (rustfmt's
/// `max_width`, `fn_call_width` and `struct_lit_width`).
const WIDTH: usize = 100;
const CALL: usize = 60;
const LITERAL: usize = 18;

/// Text with an indent.
#[derive(Debug, Default)]
pub(super) struct Out {
    text: String,
    depth: usize,
}

impl Out {
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn indent(&self) -> usize {
        self.depth * 4
    }

    /// Returns whether a line of this text is not too long.
    fn fits(&self, text: &str) -> bool {
        self.indent() + text.chars().count() <= WIDTH
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: &str) {
        if !text.is_empty() {
            self.text.push_str(&" ".repeat(self.indent()));
            self.text.push_str(text);
        }
        self.text.push('\n');
    }

    /// Writes text as it is: its lines have their indents.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Writes a line with an opening bracket at its end; the next lines have one more indent.
    pub(super) fn open(&mut self, text: &str) {
        self.line(text);
        self.depth += 1;
    }

    /// Writes the line with the closing bracket.
    pub(super) fn close(&mut self, text: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.line(text);
    }

    /// Writes a doc comment of one paragraph, and breaks its lines between words.
    pub(super) fn doc(&mut self, text: &str) {
        self.commented("///", text);
    }

    /// Writes a paragraph as lines of comments.
    pub(super) fn commented(&mut self, mark: &str, text: &str) {
        let mut line = mark.to_owned();
        for word in text.split_whitespace() {
            let extended = format!("{line} {word}");
            if line.len() > mark.len() && !self.fits(&extended) {
                self.line(&line);
                line = format!("{mark} {word}");
            } else {
                line = extended;
            }
        }
        self.line(&line);
    }

    /// Writes `head(arguments)tail`, with an argument a line if it is too long for one.
    pub(super) fn call(&mut self, head: &str, arguments: &[&str], tail: &str) {
        let joined = arguments.join(", ");
        let line = format!("{head}({joined}){tail}");
        if joined.chars().count() <= CALL && self.fits(&line) {
            return self.line(&line);
        }
        self.open(&format!("{head}("));
        for argument in arguments {
            self.line(&if let [_] = arguments { (*argument).to_owned() } else { format!("{argument},") });
        }
        self.close(&format!("){tail}"));
    }

    /// Writes `head { fields }tail`.
    pub(super) fn literal(&mut self, head: &str, fields: &[String], tail: &str) {
        let joined = fields.join(", ");
        let line = format!("{head} {{ {joined} }}{tail}");
        if fields.is_empty() {
            return self.line(&format!("{head} {{}}{tail}"));
        }
        if joined.chars().count() <= LITERAL && self.fits(&line) {
            return self.line(&line);
        }
        self.open(&format!("{head} {{"));
        for field in fields {
            self.line(&format!("{field},"));
        }
        self.close(&format!("}}{tail}"));
    }

    /// Begins a function: `pub fn NAME(parameters) -> Result<T, E> {`. `returned` are the parts of the result: a type and
    /// its parameters.
    pub(super) fn function(&mut self, name: &str, parameters: &[&str], returned: &Returned<'_>) {
        let joined = parameters.join(", ");
        let result = returned.on_a_line();
        let line = format!("{name}({joined}){result} {{");
        if self.fits(&line) {
            return self.open(&line);
        }
        self.open(&format!("{name}("));
        for parameter in parameters {
            self.line(&format!("{parameter},"));
        }
        let line = format!("){result} {{");
        self.depth = self.depth.saturating_sub(1);
        match returned {
            Returned::Type(head, types) if !self.fits(&line) && !types.is_empty() => {
                self.open(&format!(") -> {head}<"));
                for ty in *types {
                    self.line(&format!("{ty},"));
                }
                self.depth = self.depth.saturating_sub(1);
                self.open("> {");
            }
            _ => self.open(&line),
        }
    }

    /// Writes `pub name: type,`.
    pub(super) fn field(&mut self, name: &str, ty: &str) {
        let line = format!("pub {name}: {ty},");
        if self.fits(&line) {
            return self.line(&line);
        }
        self.open(&format!("pub {name}:"));
        self.line(&format!("{ty},"));
        self.depth = self.depth.saturating_sub(1);
    }

    /// Writes an arm of a `match`.
    pub(super) fn arm(&mut self, pattern: &str, value: &str) {
        let line = format!("{pattern} => {value},");
        if self.fits(&line) {
            return self.line(&line);
        }
        self.open(&format!("{pattern} => {{"));
        self.line(value);
        self.close("}");
    }
}

/// The result of a function.
#[derive(Debug)]
pub(super) enum Returned<'t> {
    Nothing,
    /// A type and its parameters; none for a type without.
    Type(&'t str, &'t [&'t str]),
}

impl Returned<'_> {
    fn on_a_line(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Type(head, []) => format!(" -> {head}"),
            Self::Type(head, types) => format!(" -> {head}<{}>", types.join(", ")),
        }
    }
}
