//! Evaluates an expression for a decoded record.

use cutaway::btf::Value;

use super::{
    enumerators::Enumerators,
    operand::{Fault, Operand, apply},
    tree::{Binary, Node, NodeKind, Unary},
    wrong::Wrong,
};
use crate::error::listed;

/// The name of a record that is not a structure.
const WHOLE: &str = "value";

/// A record, and the names that an expression can use.
pub(super) struct Evaluation<'v> {
    pub(super) record: &'v Value<'v>,
    pub(super) enumerators: &'v Enumerators,
}

impl<'v> Evaluation<'v> {
    /// Checks each part, also those that evaluation would skip.
    pub(super) fn check(&self, node: &Node) -> Result<(), Wrong> {
        match &node.kind {
            NodeKind::Member(inner, _) | NodeKind::Unary(_, inner) => self.check(inner)?,
            NodeKind::Index(left, right) | NodeKind::Binary(_, left, right) => {
                self.check(left)?;
                self.check(right)?;
            }
            _ => {}
        }
        let wrong = match self.value(node) {
            Err(Fault::Wrong(wrong)) => wrong,
            _ => return Ok(()),
        };
        Err(wrong)
    }

    /// Checks that the whole expression is a condition.
    pub(super) fn check_condition(&self, node: &Node) -> Result<(), Wrong> {
        self.check(node)?;
        match self.truth(node) {
            Err(Fault::Wrong(wrong)) => Err(wrong),
            _ => Ok(()),
        }
    }

    /// Evaluates a part.
    pub(super) fn value(&self, node: &Node) -> Result<Operand<'v>, Fault> {
        match &node.kind {
            NodeKind::Integer(number) => Ok(Operand::Integer(*number)),
            NodeKind::Float(number) => Ok(Operand::Float(*number)),
            NodeKind::Character(byte) => Ok(Operand::Character(*byte)),
            NodeKind::Text(text) => Ok(Operand::Text(text.clone().into())),
            NodeKind::Name(name) => self.name(name, node.column),
            NodeKind::Member(inner, name) => self.member(self.value(inner)?, name, node.column),
            NodeKind::Index(inner, index) => self.element(self.value(inner)?, &self.value(index)?, node.column),
            NodeKind::Unary(Unary::Not, inner) => self.truth(inner).map(|truth| Operand::Integer(i128::from(!truth))),
            NodeKind::Unary(operator, inner) => unary(*operator, &self.value(inner)?, node.column),
            NodeKind::Binary(Binary::And, left, right) => self.both(left, right, false),
            NodeKind::Binary(Binary::Or, left, right) => self.both(left, right, true),
            NodeKind::Binary(operator, left, right) => {
                apply(*operator, &self.value(left)?, &self.value(right)?, node.column)
            }
        }
    }

    /// Evaluates `&&` or `||`: `decisive` is the operand that decides the result alone. It does so even if the other
    /// operand has no value.
    fn both(&self, left: &Node, right: &Node, decisive: bool) -> Result<Operand<'v>, Fault> {
        let result = |truth: bool| Ok(Operand::Integer(i128::from(truth)));
        let left = self.truth(left);
        match left {
            Ok(truth) if truth == decisive => return result(decisive),
            Err(fault @ Fault::Wrong(_)) => return Err(fault),
            _ => {}
        }
        let right = self.truth(right)?;
        if right == decisive { result(decisive) } else { left.and_then(result) }
    }

    fn truth(&self, node: &Node) -> Result<bool, Fault> {
        let value = self.value(node)?;
        let wrong = || Wrong::new(node.column, format!("a condition is required, and this is {}", value.kind()));
        value.truth().ok_or_else(|| wrong().into())
    }

    /// Finds a member of the record, or an enumerator.
    fn name(&self, name: &str, column: usize) -> Result<Operand<'v>, Fault> {
        let members = match self.record {
            Value::Struct(fields) => {
                if let Some(value) = field(fields, name) {
                    return Operand::of(value, self.enumerators);
                }
                fields.iter().map(|(name, _)| name.as_ref()).collect()
            }
            whole if name == WHOLE => return Operand::of(whole, self.enumerators),
            _ => vec![WHOLE],
        };
        match (name, self.enumerators.value(name)) {
            ("true", _) => Ok(Operand::Integer(1)),
            ("false", _) => Ok(Operand::Integer(0)),
            (_, Some(Ok(number))) => Ok(Operand::Integer(number)),
            (_, Some(Err(why))) => Err(Wrong::new(column, why).into()),
            (_, None) => {
                let nested = path(self.record, name).map_or_else(String::new, |path| format!(" (`{path}` exists)"));
                let why = format!("unknown name `{name}`{nested}; the members are {}", listed(&members));
                Err(Wrong { unknown_name: true, ..Wrong::new(column, why) }.into())
            }
        }
    }

    fn member(&self, whole: Operand<'v>, name: &str, column: usize) -> Result<Operand<'v>, Fault> {
        let Operand::Part(Value::Struct(fields)) = whole else {
            let why = format!("`.{name}` needs a structure, and this is {}", whole.kind());
            return Err(Wrong::new(column, why).into());
        };
        if let Some(value) = field(fields, name) {
            return Operand::of(value, self.enumerators);
        }
        let members: Vec<_> = fields.iter().map(|(name, _)| name.as_ref()).collect();
        let why = format!("the structure has no member `{name}`; its members are {}", listed(&members));
        Err(Wrong { unknown_name: true, ..Wrong::new(column, why) }.into())
    }

    fn element(&self, whole: Operand<'v>, index: &Operand<'v>, column: usize) -> Result<Operand<'v>, Fault> {
        let Some(number) = index.integer() else {
            return Err(Wrong::new(column, format!("an index must be an integer, and this is {}", index.kind())).into());
        };
        let at = usize::try_from(number).map_err(|_| Fault::Missing);
        match whole {
            Operand::Part(Value::Array(elements)) => {
                Operand::of(elements.get(at?).ok_or(Fault::Missing)?, self.enumerators)
            }
            Operand::Bytes(bytes) => bytes.get(at?).map(|&byte| Operand::Integer(byte.into())).ok_or(Fault::Missing),
            Operand::Text(text) => text.get(at?).map(|&byte| Operand::Character(byte)).ok_or(Fault::Missing),
            other => Err(Wrong::new(column, format!("an index needs an array, and this is {}", other.kind())).into()),
        }
    }
}

/// Returns the path of a member of a nested structure.
fn path(record: &Value<'_>, name: &str) -> Option<String> {
    let Value::Struct(fields) = record else { return None };
    fields.iter().find_map(|(outer, value)| {
        let Value::Struct(inner) = value else { return None };
        if inner.iter().any(|(known, _)| known == name) {
            return Some(format!("{outer}.{name}"));
        }
        path(value, name).map(|path| format!("{outer}.{path}"))
    })
}

/// Finds a member. Members of a value that were not decoded are missing, not unknown.
fn field<'v>(fields: &'v [(std::borrow::Cow<'v, str>, Value<'v>)], name: &str) -> Option<&'v Value<'v>> {
    let found = fields.iter().find(|(known, _)| known == name);
    found.or_else(|| fields.last().filter(|(_, value)| *value == Value::Omitted)).map(|(_, value)| value)
}

fn unary<'v>(operator: Unary, operand: &Operand<'v>, column: usize) -> Result<Operand<'v>, Fault> {
    let number = match (operator, operand) {
        (Unary::Negate, Operand::Float(number)) => return Ok(Operand::Float(-number)),
        (Unary::Negate, _) => operand.integer().map(i128::checked_neg),
        (_, _) => operand.integer().map(|number| Some(!number)),
    };
    let sign = if operator == Unary::Negate { "-" } else { "~" };
    match number {
        Some(number) => number.map(Operand::Integer).ok_or(Fault::Missing),
        None => Err(Wrong::new(column, format!("`{sign}` does not apply to {}", operand.kind())).into()),
    }
}
