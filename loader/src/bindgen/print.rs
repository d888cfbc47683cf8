//! Writes Rust in the form that rustfmt gives it by default.
//!
//! Only the forms that the generated code has are known here. Names have at most [`LONGEST`](super::naming::LONGEST)
//! characters, so that nothing else becomes too long for a line.

/// The width of a line, of a call's arguments, of a chain of methods, and of the fields of a structure's literal on one
/// line (rustfmt's `max_width`, `fn_call_width`, `chain_width` and `struct_lit_width`).
const WIDTH: usize = 100;
const CALL: usize = 60;
const CHAIN: usize = 60;
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
    pub(super) fn fits(&self, text: &str) -> bool {
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
        // A single argument may be longer.
        let is_short = matches!(arguments, [_]) || joined.chars().count() <= CALL;
        if is_short && self.fits(&line) {
            return self.line(&line);
        }
        self.open(&format!("{head}("));
        for argument in arguments {
            self.line(&if let [_] = arguments { (*argument).to_owned() } else { format!("{argument},") });
        }
        self.close(&format!("){tail}"));
    }

    /// Writes a call of a method with a name in quotes: `before method("name", more)after`. A long name gets a
    /// variable, so that there is no chain to break.
    pub(super) fn by_name(&mut self, before: &str, method: &str, name: &str, more: &[&str], after: &str) {
        let call = |name: &str| {
            let arguments: Vec<&str> = std::iter::once(name).chain(more.iter().copied()).collect();
            format!("{method}({}){after}", arguments.join(", "))
        };
        let quoted = format!("{name:?}");
        let direct = call(&quoted);
        if direct.chars().count() <= CHAIN {
            return self.line(&format!("{before}{direct}"));
        }
        self.assign("let name", &format!("{quoted};"));
        self.line(&format!("{before}{}", call("name")));
    }

    /// Writes `left = right`, with a line each if they are too long for one.
    pub(super) fn assign(&mut self, left: &str, right: &str) {
        let line = format!("{left} = {right}");
        if self.fits(&line) {
            return self.line(&line);
        }
        self.open(&format!("{left} ="));
        self.line(right);
        self.depth = self.depth.saturating_sub(1);
    }

    /// Writes `left = function(argument);`.
    pub(super) fn assign_call(&mut self, left: &str, function: &str, argument: &str) {
        let call = format!("{function}({argument});");
        let is_short = self.fits(&format!("{left} = {call}")) || self.fits(&format!("    {call}"));
        if is_short {
            return self.assign(left, &call);
        }
        self.open(&format!("{left} = {function}("));
        self.line(argument);
        self.close(");");
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

    /// Begins a function: `pub fn NAME(parameters) -> Result<T, E> {`. `returned` are the parts of the result: a type
    /// and its parameters.
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
                    self.parameter(ty);
                }
                self.depth = self.depth.saturating_sub(1);
                self.open("> {");
            }
            _ => self.open(&line),
        }
    }

    /// Writes a type as a parameter, with a line for each of its own parameters if it is too long.
    fn parameter(&mut self, ty: &str) {
        let parts = ty.strip_suffix('>').and_then(|ty| ty.split_once('<'));
        match parts {
            Some((head, parts)) if !self.fits(&format!("{ty},")) => {
                self.open(&format!("{head}<"));
                for part in parts.split(", ") {
                    self.line(&format!("{part},"));
                }
                self.close(">,");
            }
            _ => self.line(&format!("{ty},")),
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
