use std::collections::HashSet;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::{Host, range};
use crate::text::Mistake;

/// Deepest nesting of `!` and parentheses.
const MAX_DEPTH: usize = 64;

/// What an expression is made of, in words for a user.
const EXPECTED: &str = "a host like web[01-20]*, a group, or label=value";

/// An expression that selects hosts: names with ranges and globs, groups, `label=value`, joined by `,` (or), `&` (and), `!`
/// (not) and parentheses. `!` binds closest, then `&`, then `,`. `rack=…` is the host's rack, unless it has a label of
/// that name.
#[derive(Debug, Clone)]
pub struct Expr(Node);

#[derive(Debug, Clone)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Is(Atom),
}

/// One condition of an expression.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    /// As the user wrote it.
    pub(super) text: String,
    /// The label that is asked for; without one, the name and the groups are.
    pub(super) label: Option<String>,
    words: HashSet<String>,
    globs: GlobSet,
}

impl Expr {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
        let node = parser.any()?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(Token::Close) => Err(Mistake::new(")", "a `)` without its `(`")),
            Some(other) => Err(Mistake::new(other.text(), format!("`{}` stands alone", other.text()))
                .expected("`,` (or) or `&` (and) between two conditions")),
        }
    }

    /// Whether a host is selected.
    pub fn matches(&self, host: &Host) -> bool {
        self.0.matches(host)
    }

    /// All conditions, in order.
    pub(super) fn atoms(&self) -> Vec<&Atom> {
        let mut found = Vec::new();
        self.0.atoms(&mut found);
        found
    }
}

impl Node {
    fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(host)),
            Self::All(nodes) => nodes.iter().all(|node| node.matches(host)),
            Self::Not(node) => !node.matches(host),
            Self::Is(atom) => atom.matches(host),
        }
    }

    fn atoms<'a>(&'a self, found: &mut Vec<&'a Atom>) {
        match self {
            Self::Any(nodes) | Self::All(nodes) => nodes.iter().for_each(|node| node.atoms(found)),
            Self::Not(node) => node.atoms(found),
            Self::Is(atom) => found.push(atom),
        }
    }
}

impl Atom {
    fn new(text: &str) -> Result<Self, Mistake> {
        let (label, value) = match text.split_once('=') {
            Some((label, value)) => (Some(label.trim().to_owned()), value.trim()),
            None => (None, text),
        };
        if label.as_deref() == Some("") {
            return Err(Mistake::new(text, "no label before the `=`").expected(EXPECTED));
        }
        let mut words = HashSet::new();
        let mut globs = GlobSetBuilder::new();
        for word in names(value)? {
            if word.contains(['*', '?', '{']) || (word.contains('[') && !word.contains(':')) {
                let wrong = |error: globset::Error| Mistake::new(text, format!("`{text}`: {}", error.kind()));
                globs.add(Glob::new(&word).map_err(wrong)?);
            } else {
                words.insert(word);
            }
        }
        let globs =
            globs.build().map_err(|error| Mistake::new(text, format!("`{text}`: {}", error.kind())))?;
        Ok(Self { text: text.to_owned(), label, words, globs })
    }

    /// Whether this is plain words, every one of which should be somewhere.
    pub(super) fn is_plain(&self) -> bool {
        self.globs.is_empty()
    }

    pub(super) fn matches(&self, host: &Host) -> bool {
        match &self.label {
            Some(label) => host.label(label).is_some_and(|value| self.is(value)),
            None => self.is(&host.name) || host.groups.iter().any(|group| self.is(group)),
        }
    }

    fn is(&self, word: &str) -> bool {
        self.words.contains(word) || (!self.globs.is_empty() && self.globs.is_match(word))
    }
}

/// Ranges spread out; brackets that hold no numbers are a glob's class.
fn names(text: &str) -> Result<Vec<String>, Mistake> {
    let parts = range::parse(text, true)?;
    let ranges = parts.iter().any(|part| matches!(part, range::Part::Set(_)));
    if !ranges {
        return Ok(vec![text.to_owned()]);
    }
    Ok(range::spread(&parts))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Or,
    And,
    Not,
    Open,
    Close,
    Word(String),
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Or => ",",
            Self::And => "&",
            Self::Not => "!",
            Self::Open => "(",
            Self::Close => ")",
            Self::Word(word) => word,
        }
    }
}

/// Signs within brackets and braces belong to the range or glob.
fn tokens(text: &str) -> Result<Vec<Token>, Mistake> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut open: Vec<char> = Vec::new();
    for c in text.chars().chain([',']) {
        match c {
            '[' | '{' => open.push(c),
            ']' | '}' => drop(open.pop()),
            _ => {}
        }
        let sign = match c {
            ',' => Some(Token::Or),
            '&' => Some(Token::And),
            '!' => Some(Token::Not),
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            _ => None,
        };
        match sign.filter(|_| open.is_empty()) {
            None => word.push(c),
            Some(sign) => {
                let whole = std::mem::take(&mut word);
                if !whole.trim().is_empty() {
                    tokens.push(Token::Word(whole.trim().to_owned()));
                }
                tokens.push(sign);
            }
        }
    }
    if let Some(bracket) = open.first() {
        return Err(Mistake::new(*bracket, format!("`{bracket}` is not closed")));
    }
    tokens.pop();
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn any(&mut self) -> Result<Node, Mistake> {
        let mut nodes = vec![self.all()?];
        while self.take(&Token::Or) {
            nodes.push(self.all()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Any(nodes) })
    }

    fn all(&mut self) -> Result<Node, Mistake> {
        let mut nodes = vec![self.one()?];
        while self.take(&Token::And) {
            nodes.push(self.one()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::All(nodes) })
    }

    fn one(&mut self) -> Result<Node, Mistake> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Mistake::new("", "the expression is nested too deeply"));
        }
        let node = match self.peek().cloned() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Node::Is(Atom::new(&word)?)
            }
            Some(Token::Not) => {
                self.at += 1;
                Node::Not(Box::new(self.one()?))
            }
            Some(Token::Open) => {
                self.at += 1;
                let inner = self.any()?;
                if !self.take(&Token::Close) {
                    return Err(Mistake::new("(", "a `(` is not closed").expected("`)`"));
                }
                inner
            }
            Some(sign) => {
                let headline = format!("nothing before the `{}`", sign.text());
                return Err(Mistake::new(sign.text(), headline).expected(EXPECTED));
            }
            None if self.at == 0 => return Err(Mistake::new("", "an empty expression").expected(EXPECTED)),
            None => {
                let last = self.tokens[self.at - 1].text();
                return Err(Mistake::new(last, format!("nothing after the `{last}`")).expected(EXPECTED));
            }
        };
        self.depth -= 1;
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Vec<Host> {
        let host = |name: &str, groups: &[&str], rack: &str, ring: &str| {
            let mut host = Host::new(name);
            host.groups = groups.iter().map(|group| (*group).to_owned()).collect();
            host.rack = (!rack.is_empty()).then(|| rack.to_owned());
            if !ring.is_empty() {
                host.labels.insert("ring".into(), ring.into());
            }
            host
        };
        vec![
            host("web01", &["web"], "r1", "canary"),
            host("web02", &["web"], "r2", ""),
            host("web10.example.com", &["web", "edge"], "r1", "1.10"),
            host("db1", &["db"], "", "canary"),
            host("127.0.0.1:2201", &[], "", ""),
        ]
    }

    #[test]
    fn expressions_select_hosts() {
        for (text, selected) in [
            ("web01", "0"),
            ("web", "0 1 2"),
            ("web[01-05]", "0 1"),
            ("web[01-05],db1", "0 1 3"),
            ("web[01,10]*", "0 2"),
            ("web0?", "0 1"),
            ("*", "0 1 2 3 4"),
            ("web*.example.com", "2"),
            ("web0[!2]", "0"),
            ("{web01,db}*", "0 3"),
            ("ring=canary", "0 3"),
            ("ring=*", "0 2 3"),
            ("ring=1.10", "2"),
            ("rack=r[1-2]", "0 1 2"),
            ("ring=", ""),
            ("web & rack=r1", "0 2"),
            ("web & !ring=canary", "1 2"),
            ("!web", "3 4"),
            ("!!web", "0 1 2"),
            ("db, web & edge", "2 3"),
            ("(db, web) & ring=canary", "0 3"),
            ("!(db,web)", "4"),
            ("127.0.0.1:2201", "4"),
            ("ed*", "2"),
        ] {
            let expr = Expr::parse(text).unwrap();
            let hits: Vec<String> = fleet()
                .iter()
                .enumerate()
                .filter(|(_, h)| expr.matches(h))
                .map(|(i, _)| i.to_string())
                .collect();
            assert_eq!(hits.join(" "), selected, "{text}");
        }
    }

    #[test]
    fn a_wrong_expression_is_named() {
        for (text, part) in [
            ("", ""),
            (" ", ""),
            (",", ","),
            ("web,", ","),
            ("web,,db", ","),
            ("&web", "&"),
            ("web&", "&"),
            ("!", "!"),
            ("(web", "("),
            ("web)", ")"),
            ("()", ")"),
            ("web(db)", "("),
            ("=x", "=x"),
            ("web[01-", "["),
            ("web[9-1]", "9-1"),
            ("web{a", "{"),
        ] {
            assert_eq!(Expr::parse(text).unwrap_err().text(), part, "{text}");
        }
        assert!(Expr::parse(&"(".repeat(100_000)).is_err());
        assert!(Expr::parse(&"!".repeat(100_000)).is_err());
    }
}
