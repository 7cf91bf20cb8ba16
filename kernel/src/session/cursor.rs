//! What stands around a cursor: code is read up to it, however broken it is.
//!
//! Code that is being written does not parse. So it is cut into tokens, with the brackets that are open
//! at the cursor and the pair of each closed one; a chain such as `run.fork().status` is then read from
//! its end.

/// A piece of code.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Number,
    Text,
    /// `(`, `[`, `{`, `#{` as `#`, and the backtick of a text that goes on.
    Open(char),
    /// With the index of the token that opened it, if there is one.
    Close(Option<usize>),
    Sign(char),
}

/// Where the cursor stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In a remark.
    Remark,
    /// In a text: its content so far, and where that begins.
    Text { content: String, start: usize },
    /// Behind a dot: what stands before it, if that can be read, and the word so far.
    Member { of: Option<Chain>, word: String, start: usize },
    /// Where a key of a map is written.
    Key { word: String, start: usize },
    /// Anywhere else.
    Word { word: String, start: usize },
}

/// A bracket that is open at the cursor.
#[derive(Clone, Debug, PartialEq)]
pub enum Around {
    /// The arguments of a call: what is called, on what, and which argument this is, from 0.
    Call { name: String, of: Option<Chain>, method: bool, argument: usize },
    /// A map: the keys before the cursor, and the one whose value this is.
    Map { keys: Vec<String>, key: Option<String> },
    /// Any other.
    Other,
}

/// One step of a chain of calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// A name: of a variable, or behind a dot of a property.
    Name(String),
    /// A call.
    Call(String),
    /// A value of the language, by its type.
    Value(&'static str),
    /// An element of what stands before.
    Element,
}

/// An expression of names, calls and dots, from its first link on.
pub type Chain = Vec<Link>;

/// Code read up to a cursor.
#[derive(Debug)]
pub struct Read {
    tokens: Vec<(Token, usize)>,
    /// Indices of the open brackets, outermost first.
    open: Vec<usize>,
    /// Where the cursor stands.
    pub place: Place,
}

/// Whether a character can stand in a name.
pub fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads code up to a cursor, a position in characters.
pub fn read(code: &str, cursor: usize) -> Read {
    let chars: Vec<char> = code.chars().take(cursor).collect();
    let mut read = Read {
        tokens: Vec::new(),
        open: Vec::new(),
        place: Place::Word { word: String::new(), start: chars.len() },
    };
    let inside = read.cut(&chars);
    read.place = inside.unwrap_or_else(|| read.at_end(&chars));
    read
}

impl Read {
    /// Cuts code into tokens; gives the place when the code ends in a remark or text.
    fn cut(&mut self, chars: &[char]) -> Option<Place> {
        let mut i = 0;
        while i < chars.len() {
            let (c, next) = (chars[i], chars.get(i + 1).copied());
            if self.is_in_backticks() {
                match (c, next) {
                    ('`', _) => self.close(i),
                    ('$', Some('{')) => {
                        self.opens('{', i);
                        i += 1;
                    }
                    _ => {}
                }
                i += 1;
                continue;
            }
            match (c, next) {
                ('/', Some('/')) => match chars[i..].iter().position(|&c| c == '\n') {
                    Some(length) => i += length,
                    None => return Some(Place::Remark),
                },
                ('/', Some('*')) => match chars[i..].windows(2).position(|two| two == ['*', '/']) {
                    Some(length) => i += length + 2,
                    None => return Some(Place::Remark),
                },
                ('"', _) => match text_end(&chars[i + 1..]) {
                    Some(length) => {
                        self.tokens.push((Token::Text, i));
                        i += length + 2;
                    }
                    None => {
                        let content = chars[i + 1..].iter().collect();
                        return Some(Place::Text { content, start: i + 1 });
                    }
                },
                ('\'', _) => {
                    let near = &chars[i + 1..chars.len().min(i + 12)];
                    i += 1 + near.iter().skip(1).position(|&c| c == '\'').map_or(0, |at| at + 2);
                    self.tokens.push((Token::Text, i));
                }
                ('#', Some('{')) => {
                    self.opens('#', i);
                    i += 2;
                }
                ('(' | '[' | '{' | '`', _) => {
                    self.opens(c, i);
                    i += 1;
                }
                (')' | ']' | '}', _) => {
                    self.close(i);
                    i += 1;
                }
                _ if is_name(c) => {
                    // A number may hold one point: `1.5`, but not the range `1..5` nor a call on it.
                    let fraction = |at: usize| {
                        c.is_ascii_digit()
                            && chars[at] == '.'
                            && chars.get(at + 1).is_some_and(char::is_ascii_digit)
                    };
                    let mut end = i + 1;
                    while end < chars.len() && (is_name(chars[end]) || fraction(end)) {
                        end += 1;
                    }
                    let token = match c.is_ascii_digit() {
                        true => Token::Number,
                        false => Token::Name(chars[i..end].iter().collect()),
                    };
                    self.tokens.push((token, i));
                    i = end;
                }
                _ => {
                    if !c.is_whitespace() {
                        self.tokens.push((Token::Sign(c), i));
                    }
                    i += 1;
                }
            }
        }
        self.is_in_backticks().then(|| {
            let start = self.open.last().map_or(0, |&at| self.tokens[at].1 + 1);
            Place::Text { content: chars[start..].iter().collect(), start }
        })
    }

    fn opens(&mut self, kind: char, at: usize) {
        self.open.push(self.tokens.len());
        self.tokens.push((Token::Open(kind), at));
    }

    fn close(&mut self, at: usize) {
        let pair = self.open.pop();
        self.tokens.push((Token::Close(pair), at));
    }

    fn is_in_backticks(&self) -> bool {
        self.open.last().is_some_and(|&at| self.tokens[at].0 == Token::Open('`'))
    }

    /// The place of a cursor that stands in no remark and no text.
    fn at_end(&mut self, chars: &[char]) -> Place {
        let mut word = String::new();
        let mut start = chars.len();
        if let Some((Token::Name(name), at)) = self.tokens.last()
            && at + name.chars().count() == chars.len()
        {
            (word, start) = (name.clone(), *at);
            self.tokens.pop();
        }
        let end = self.tokens.len();
        let before = |back: usize| end.checked_sub(back).map(|at| &self.tokens[at].0);
        if before(1) == Some(&Token::Sign('.')) && before(2) != Some(&Token::Sign('.')) {
            return Place::Member { of: self.chain(end - 1).map(|(chain, _)| chain), word, start };
        }
        let opened = match self.open.last() {
            Some(&at) if self.tokens[at].0 == Token::Open('#') => at + 1 == end,
            _ => return Place::Word { word, start },
        };
        match opened || before(1) == Some(&Token::Sign(',')) {
            true => Place::Key { word, start },
            false => Place::Word { word, start },
        }
    }

    /// The brackets around the cursor, innermost first.
    pub fn around(&self) -> Vec<Around> {
        self.open.iter().rev().map(|&at| self.bracket(at)).collect()
    }

    fn bracket(&self, at: usize) -> Around {
        let inside: Vec<&Token> = self.inside(at).collect();
        match &self.tokens[at].0 {
            Token::Open('(') => {
                let Some((Token::Name(name), _)) = at.checked_sub(1).map(|i| &self.tokens[i])
                else {
                    return Around::Other;
                };
                let dot = at.checked_sub(2).filter(|&i| self.tokens[i].0 == Token::Sign('.'));
                Around::Call {
                    name: name.clone(),
                    of: dot.and_then(|end| self.chain(end)).map(|(chain, _)| chain),
                    method: dot.is_some(),
                    argument: inside.iter().filter(|t| ***t == Token::Sign(',')).count(),
                }
            }
            Token::Open('#') => {
                let mut keys = Vec::new();
                let mut key = None;
                for pair in inside.windows(2) {
                    match pair {
                        [Token::Name(name), Token::Sign(':')] if key.is_none() => {
                            keys.push(name.clone());
                            key = Some(name.clone());
                        }
                        [_, Token::Sign(',')] => key = None,
                        _ => {}
                    }
                }
                Around::Map { keys, key }
            }
            _ => Around::Other,
        }
    }

    /// The tokens directly in a bracket, without those of brackets inside it.
    fn inside(&self, at: usize) -> impl Iterator<Item = &Token> {
        let mut depth = 0_usize;
        self.tokens[at + 1..].iter().filter_map(move |(token, _)| {
            match token {
                Token::Open(_) => depth += 1,
                Token::Close(_) => depth = depth.saturating_sub(1),
                token if depth == 0 => return Some(token),
                _ => {}
            }
            // A bracket counts as one token of what is around it.
            (depth == 0).then_some(token)
        })
    }

    /// The chain that ends before a token, and the token it begins with; none when it is something else.
    fn chain(&self, end: usize) -> Option<(Chain, usize)> {
        let mut chain = Vec::new();
        let mut end = end;
        let first = loop {
            let last = end.checked_sub(1)?;
            let mut first = last;
            match &self.tokens[last].0 {
                Token::Name(name) => chain.push(Link::Name(name.clone())),
                Token::Text => chain.push(Link::Value("text")),
                Token::Number => chain.push(Link::Value("number")),
                Token::Close(Some(open)) => {
                    first = *open;
                    let before = open.checked_sub(1).map(|i| &self.tokens[i].0);
                    match (&self.tokens[*open].0, before) {
                        (Token::Open('('), Some(Token::Name(name))) => {
                            chain.push(Link::Call(name.clone()));
                            first = open - 1;
                        }
                        (Token::Open('['), Some(Token::Name(_) | Token::Close(_))) => {
                            chain.push(Link::Element);
                            end = *open;
                            continue;
                        }
                        (Token::Open('['), _) => chain.push(Link::Value("array")),
                        (Token::Open('#'), _) => chain.push(Link::Value("map")),
                        (Token::Open('`'), _) => chain.push(Link::Value("text")),
                        _ => return None,
                    }
                }
                _ => return None,
            }
            match first.checked_sub(1) {
                Some(dot) if self.tokens[dot].0 == Token::Sign('.') => end = dot,
                _ => break first,
            }
        };
        chain.reverse();
        Some((chain, first))
    }

    /// The chain that a name was last given in this code: `let run = prune(...);`.
    pub fn given(&self, name: &str) -> Option<Chain> {
        let named = |at: usize| matches!(&self.tokens[at].0, Token::Name(n) if n == name);
        let at = (0..self.tokens.len().saturating_sub(1))
            .rev()
            .find(|&at| named(at) && self.tokens[at + 1].0 == Token::Sign('='))?;
        let mut depth = 0_usize;
        let length = self.tokens[at + 2..].iter().position(|(token, _)| {
            match token {
                Token::Open(_) => depth += 1,
                Token::Close(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && *token == Token::Sign(';')
        })?;
        let (chain, first) = self.chain(at + 2 + length)?;
        (first == at + 2).then_some(chain)
    }

    /// Names that this code declares: of variables, functions and their parameters.
    pub fn declared(&self) -> Vec<&str> {
        let name = |at: usize| match self.tokens.get(at) {
            Some((Token::Name(name), _)) => Some(name.as_str()),
            _ => None,
        };
        let declares = ["let", "const", "for", "fn"];
        let after = |at: &usize| name(*at).is_some_and(|word| declares.contains(&word));
        let mut names: Vec<&str> =
            (0..self.tokens.len()).filter(after).filter_map(|at| name(at + 1)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Where a text between quotes ends; none when the code ends first. A line end ends it too.
fn text_end(chars: &[char]) -> Option<usize> {
    let mut escaped = false;
    chars.iter().position(|&c| {
        let ends = !escaped && (c == '"' || c == '\n');
        escaped = !escaped && c == '\\';
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads code whose cursor is the mark `|`.
    fn at(code: &str) -> Read {
        let (before, after) = code.split_once('¦').unwrap();
        read(&format!("{before}{after}"), before.chars().count())
    }

    fn name(name: &str) -> Link {
        Link::Name(name.into())
    }

    fn call(name: &str) -> Link {
        Link::Call(name.into())
    }

    #[test]
    fn a_chain_before_a_dot_is_read_to_its_beginning() {
        let cases: [(&str, Chain); 8] = [
            ("run.¦", vec![name("run")]),
            ("let a = 1; run.fork().st¦", vec![name("run"), call("fork")]),
            ("print(load_model(\"a)b\").¦", vec![call("load_model")]),
            ("x + f(g(1), [2]).h(3).¦", vec![call("f"), call("h")]),
            ("runs[0].¦", vec![name("runs"), Link::Element]),
            ("\"a\".¦", vec![Link::Value("text")]),
            ("#{a: 1}.¦", vec![Link::Value("map")]),
            ("`a ${b}`.¦", vec![Link::Value("text")]),
        ];
        for (code, chain) in cases {
            let Place::Member { of, .. } = at(code).place else { panic!("{code}") };
            assert_eq!(of, Some(chain), "{code}");
        }
    }

    #[test]
    fn keys_texts_and_remarks_are_told_apart() {
        let place = |code| at(code).place;
        assert_eq!(place("prune(m, #{¦"), Place::Key { word: "".into(), start: 11 });
        assert_eq!(place("f(#{a: 1, st¦"), Place::Key { word: "st".into(), start: 10 });
        assert_eq!(place("f(#{a: st¦"), Place::Word { word: "st".into(), start: 7 });
        assert_eq!(place("f(\"é/b¦"), Place::Text { content: "é/b".into(), start: 3 });
        assert_eq!(place("`a ${x} b¦"), Place::Text { content: "a ${x} b".into(), start: 1 });
        assert_eq!(place("`a ${x¦"), Place::Word { word: "x".into(), start: 5 });
        assert_eq!(place("1; // run.¦"), Place::Remark);
        assert_eq!(place("1; /* run.¦"), Place::Remark);
        assert_eq!(place("0..n¦"), Place::Word { word: "n".into(), start: 3 });
    }

    #[test]
    fn the_brackets_around_a_cursor_say_call_argument_and_keys() {
        let around = at("run.fork().set(1, #{lr: f(2, 3), lora: #{rank: 1, ¦").around();
        let Around::Map { keys, key } = &around[0] else { panic!("{around:?}") };
        assert_eq!((keys.as_slice(), key), (["rank".to_string()].as_slice(), &None));
        let Around::Map { keys, key } = &around[1] else { panic!("{around:?}") };
        assert_eq!(keys, &["lr", "lora"]);
        assert_eq!(key.as_deref(), Some("lora"));
        let Around::Call { name: called, of, method, argument } = &around[2] else { panic!() };
        assert_eq!((called.as_str(), *method, *argument), ("set", true, 1));
        assert_eq!(of, &Some(vec![name("run"), call("fork")]));
    }

    #[test]
    fn a_name_has_what_it_was_given_last() {
        let read = at("let a = 1; let a = prune(m, #{b: 2}).fork(); let c = 1 + f(); a.¦");
        assert_eq!(read.given("a"), Some(vec![call("prune"), call("fork")]));
        assert_eq!(read.given("c"), None);
        assert_eq!(read.declared(), ["a", "c"]);
    }

    #[test]
    fn no_cursor_in_broken_code_is_too_much() {
        let code = "fn f(a { let x = `a ${#{b: [1, \"q\\\"\", 'c'}; /* é */ )]} .. x.y().z[`";
        for cursor in 0..=code.chars().count() + 1 {
            let read = read(code, cursor);
            read.around();
            read.given("x");
            read.declared();
        }
    }
}
