//! `--filter EXPRESSION`: selects records by their decoded members.
//!
//! ```text
//!     tokens.rs       text ──▶ tokens, each with its column
//!     parser.rs       tokens ──▶ tree, with C's precedence
//!     tree.rs         the tree, and its operators
//!     operand.rs      values during evaluation: numbers, text, parts of a record
//!     evaluate.rs     tree × decoded record ──▶ number or text
//!     enumerators.rs  the values of names such as EPERM, from BTF
//!     wrong.rs        the error, with its column
//! ```
//!
//! The grammar, lowest precedence first. All binary operators associate to the left, as in C:
//!
//! ```text
//!     ||   &&   |   ^   &   == !=   < <= > >=   << >>   + -   * / %   - ! ~ (unary)   .member [index]
//!     42  0x2a  052  0b101  1.5  'x'  "text"  true  false  member  ENUMERATOR  ( … )
//! ```
//!
//! Numbers are compared by value: -1 is less than 1u, unlike in C. Integers have 128 bits. An operation without a
//! result (a division by 0, a member that the record is too short for, an index beyond the end) has no value; a
//! condition that depends on it is unknown, and the record is not printed.

mod enumerators;
mod evaluate;
mod operand;
mod parser;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;
mod wrong;

use cutaway::btf::Value;

pub(super) use self::{enumerators::Enumerators, wrong::Wrong};
use self::{evaluate::Evaluation, operand::Operand, tree::Node};

/// A parsed expression.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    root: Node,
}

/// The result for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Matches,
    Differs,
    /// The condition depends on a value that the record does not have.
    Unknown,
}

impl Filter {
    /// Parses an expression. The error names the column.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parser::parse(text).map(|root| Self { root }).map_err(|wrong| wrong.to_string())
    }

    /// Checks the names and the types of operands against a record of the same type, whose bytes may all be 0.
    pub(super) fn check(&self, record: &Value<'_>, enumerators: &Enumerators) -> Result<(), Wrong> {
        Evaluation { record, enumerators }.check_condition(&self.root)
    }

    /// Evaluates the expression for a record.
    pub(super) fn verdict(&self, record: &Value<'_>, enumerators: &Enumerators) -> Verdict {
        let result = Evaluation { record, enumerators }.value(&self.root);
        match result.ok().as_ref().and_then(Operand::truth) {
            Some(true) => Verdict::Matches,
            Some(false) => Verdict::Differs,
            None => Verdict::Unknown,
        }
    }
}
