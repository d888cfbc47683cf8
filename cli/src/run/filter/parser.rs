//! Parses an expression by precedence climbing.
//!
//! Depth and number of nodes are bounded, because evaluating and dropping a tree recurses.

use super::{
    tokens::{Token, TokenKind, tokens},
    tree::{LEVELS, Node, NodeKind, Unary},
    wrong::Wrong,
};

/// Maximum nesting of parentheses, indices and unary operators.
const DEEPEST: usize = 64;

/// Maximum number of nodes. A chain such as a+a+a+… makes a tree as deep as it is long.
const MOST_NODES: usize = 1000;

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, nodes: 0 };
    if matches!(parser.peek().kind, TokenKind::End) {
        return Err(Wrong::new(1, "the expression is empty"));
    }
    let root = parser.binary(0)?;
    let token = parser.peek();
    match token.kind {
        TokenKind::End => Ok(root),
        _ => Err(Wrong::new(token.column, format!("expected an operator, found {}", describe(&token.kind)))),
    }
}

struct Parser {
    /// The last one is [`TokenKind::End`].
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    nodes: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.next).cloned().unwrap_or(Token { column: 1, kind: TokenKind::End })
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn take_if(&mut self, sign: &str) -> bool {
        let found = self.peek().kind.is(sign);
        self.next += usize::from(found);
        found
    }

    fn node(&mut self, column: usize, kind: NodeKind) -> Result<Node, Wrong> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Wrong::new(column, format!("the expression has more than {MOST_NODES} parts")));
        }
        Ok(Node { column, kind })
    }

    /// Parses with one more level of nesting.
    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Result<Node, Wrong>) -> Result<Node, Wrong> {
        if self.depth == DEEPEST {
            return Err(Wrong::new(self.peek().column, format!("it is nested more than {DEEPEST} levels deep")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Parses operators of this level of precedence and of higher ones.
    fn binary(&mut self, level: usize) -> Result<Node, Wrong> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let token = self.peek();
            let Some((_, operator)) = operators.iter().find(|(sign, _)| token.kind.is(sign)) else { return Ok(left) };
            self.take();
            let right = self.binary(level + 1)?;
            left = self.node(token.column, NodeKind::Binary(*operator, Box::new(left), Box::new(right)))?;
        }
    }

    fn unary(&mut self) -> Result<Node, Wrong> {
        let token = self.peek();
        let operators = [("-", Unary::Negate), ("!", Unary::Not), ("~", Unary::Complement)];
        let Some((_, operator)) = operators.into_iter().find(|(sign, _)| token.kind.is(sign)) else {
            return self.postfix();
        };
        self.take();
        let operand = self.deeper(Self::unary)?;
        self.node(token.column, NodeKind::Unary(operator, Box::new(operand)))
    }

    fn postfix(&mut self) -> Result<Node, Wrong> {
        let mut whole = self.primary()?;
        loop {
            let column = self.peek().column;
            if self.take_if(".") {
                let token = self.take();
                let TokenKind::Name(name) = token.kind else {
                    let found = describe(&token.kind);
                    return Err(Wrong::new(token.column, format!("expected the name of a member, found {found}")));
                };
                whole = self.node(token.column, NodeKind::Member(Box::new(whole), name))?;
            } else if self.take_if("[") {
                let index = self.deeper(|parser| parser.binary(0))?;
                self.close("]", column)?;
                whole = self.node(column, NodeKind::Index(Box::new(whole), Box::new(index)))?;
            } else {
                return Ok(whole);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Wrong> {
        let token = self.take();
        let kind = match token.kind {
            TokenKind::Integer(number) => NodeKind::Integer(number),
            TokenKind::Float(number) => NodeKind::Float(number),
            TokenKind::Character(byte) => NodeKind::Character(byte),
            TokenKind::Text(text) => NodeKind::Text(text),
            TokenKind::Name(name) => NodeKind::Name(name),
            TokenKind::Sign("(") => {
                let inner = self.deeper(|parser| parser.binary(0))?;
                self.close(")", token.column)?;
                return Ok(inner);
            }
            other => {
                return Err(Wrong::new(token.column, format!("expected a value, found {}", describe(&other))));
            }
        };
        self.node(token.column, kind)
    }

    /// Takes the bracket that closes the one at `opened`.
    fn close(&mut self, sign: &str, opened: usize) -> Result<(), Wrong> {
        if self.take_if(sign) {
            return Ok(());
        }
        let token = self.peek();
        let found = describe(&token.kind);
        Err(Wrong::new(token.column, format!("expected `{sign}` for the bracket in column {opened}, found {found}")))
    }
}

impl TokenKind {
    fn is(&self, sign: &str) -> bool {
        matches!(self, Self::Sign(known) if *known == sign)
    }
}

fn describe(kind: &TokenKind) -> String {
    match kind {
        TokenKind::Integer(number) => format!("the number {number}"),
        TokenKind::Float(number) => format!("the number {number:?}"),
        TokenKind::Character(byte) => format!("the character {:?}", char::from(*byte)),
        TokenKind::Text(text) => format!("the text {:?}", String::from_utf8_lossy(text)),
        TokenKind::Name(name) => format!("the name `{name}`"),
        TokenKind::Sign(sign) => format!("`{sign}`"),
        TokenKind::End => "the end".to_owned(),
    }
}
