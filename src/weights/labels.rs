//! Files of class names as other programs write them.
//!
//! *Lines*: one name a line, with or without a first line for the background. *Numbered lines*: `0 person`, counted
//! from 0, with gaps. *Label maps* of TensorFlow's detection API, in protobuf's text form: `item { id: 1 name: "person"
//! }`, where id 0 is the background and `display_name` comes before `name`.

use std::collections::BTreeMap;

/// The name of a column that stands for nothing.
pub const PLACEHOLDER: &str = "???";

/// The most bytes that a file of class names may have.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// The most classes that a file may name, and the longest name in bytes.
const MAX_CLASSES: usize = 10_000;
const MAX_NAME: usize = 500;

/// The names of a file in the order of their numbers, [`PLACEHOLDER`] where a number has none.
///
/// # Errors
/// A sentence about what was found, if the text is not a list of names.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("bytes that are not UTF-8 at {}", e.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(c) = text.chars().find(|c| c.is_control() && !c.is_whitespace()) {
        return Err(format!("the control character {:?}", c));
    }
    let names = match label_map(text)? {
        Some(names) => names,
        None => lines(text)?,
    };
    match names.iter().find(|name| name.len() > MAX_NAME) {
        Some(name) => Err(format!("a name of {} bytes", name.len())),
        None if names.is_empty() => Err("no name".into()),
        None => Ok(names),
    }
}

/// True if a name is what files call the background, or a column without a meaning.
pub(super) fn is_background(name: &str) -> bool {
    let name = name.trim_matches('_').to_ascii_lowercase();
    [PLACEHOLDER, "background", "bg", "none"].contains(&name.as_str())
}

/// The names of `classes` classes out of a file's, its background line left out; `None` where the counts differ.
pub(super) fn fit(mut names: Vec<String>, classes: usize) -> Option<Vec<String>> {
    if names.len() == classes + 1 && is_background(&names[0]) {
        names.remove(0);
    }
    (names.len() == classes).then_some(names)
}

/// How many classes the names are for, the background not counted.
pub(super) fn count(names: &[String]) -> usize {
    names.len() - usize::from(names.first().is_some_and(|name| is_background(name)))
}

fn lines(text: &str) -> Result<Vec<String>, String> {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    if lines.len() > MAX_CLASSES {
        return Err(format!("{} lines, more than {MAX_CLASSES}", lines.len()));
    }
    let numbered = |line: &&str| {
        let (number, name) = line.split_once(char::is_whitespace)?;
        Some((number.trim_end_matches([':', ',']).parse().ok()?, name.trim().to_string()))
    };
    let used: Vec<&str> = lines.iter().copied().filter(|line| !line.is_empty()).collect();
    let numbers: Vec<(usize, String)> = used.iter().filter_map(numbered).collect();
    // A single line such as "7 segments" is a name.
    if numbers.len() == used.len() && numbers.len() > 1 {
        return by_number(numbers);
    }
    match lines.iter().position(|line| line.is_empty()) {
        Some(at) => Err(format!("an empty line {}", at + 1)),
        None => Ok(lines.into_iter().map(str::to_string).collect()),
    }
}

fn by_number(numbers: Vec<(usize, String)>) -> Result<Vec<String>, String> {
    let mut named = BTreeMap::new();
    for (number, name) in numbers {
        if number > MAX_CLASSES {
            return Err(format!("class number {number}, more than {MAX_CLASSES}"));
        }
        if let Some(other) = named.insert(number, name.clone()) {
            return Err(format!("two names of class {number}, {other:?} and {name:?}"));
        }
    }
    let last = named.keys().next_back().copied().unwrap_or(0);
    Ok((0..=last).map(|i| named.remove(&i).unwrap_or_else(|| PLACEHOLDER.into())).collect())
}

/// A token of protobuf's text form.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
}

/// The names of a label map; `None` for a text that is none.
fn label_map(text: &str) -> Result<Option<Vec<String>>, String> {
    let Some(tokens) = tokens(text) else { return Ok(None) };
    let is_map = matches!(&tokens[..], [Token::Word(item), Token::Open, ..] if item == "item");
    if !is_map {
        return Ok(None);
    }
    let (mut items, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match &tokens[at..] {
            [Token::Word(item), Token::Open, ..] if item == "item" => at += 2,
            _ => return Err(format!("something other than an item after item {}", items.len())),
        }
        let end = end_of(&tokens[at..]).ok_or_else(|| format!("no end of item {}", items.len() + 1))?;
        items.push(item(&tokens[at..at + end]).ok_or_else(|| format!("no id in item {}", items.len() + 1))?);
        at += end + 1;
    }
    by_number(items).map(Some)
}

/// Index of the bracket that closes what is open before the first of `tokens`.
fn end_of(tokens: &[Token]) -> Option<usize> {
    let mut depth = 1usize;
    tokens.iter().position(|token| {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// Id and name of an item; messages inside it are passed over.
fn item(tokens: &[Token]) -> Option<(usize, String)> {
    let (mut id, mut name, mut display_name, mut at) = (None, None, None, 0);
    while at < tokens.len() {
        at += match &tokens[at..] {
            [Token::Word(_), Token::Open, rest @ ..] => end_of(rest)? + 3,
            [Token::Word(key), Token::Text(text), ..] => {
                match key.as_str() {
                    "name" => name = Some(text.clone()),
                    "display_name" => display_name = Some(text.clone()),
                    _ => {}
                }
                2
            }
            [Token::Word(key), Token::Word(value), ..] => {
                if key == "id" {
                    id = Some(value.parse().ok()?);
                }
                2
            }
            _ => return None,
        };
    }
    let shown = display_name.or(name).map(|n| n.trim().to_string()).filter(|n| !n.is_empty());
    Some((id?, shown.unwrap_or_else(|| PLACEHOLDER.into())))
}

/// The words, strings and brackets of protobuf's text form without comments; `None` where it is something else.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        match c {
            '#' => rest = rest.find('\n').map_or("", |end| &rest[end..]),
            '{' | '}' => {
                all.push(if c == '{' { Token::Open } else { Token::Close });
                rest = &rest[1..];
            }
            '"' | '\'' => {
                let (string, len) = quoted(rest, c)?;
                all.push(Token::Text(string));
                rest = &rest[len..];
            }
            c if c.is_whitespace() || [':', ',', ';'].contains(&c) => rest = &rest[c.len_utf8()..],
            c if c.is_ascii_alphanumeric() || ['_', '-', '.', '+'].contains(&c) => {
                let word = |c: char| c.is_ascii_alphanumeric() || ['_', '-', '.', '+'].contains(&c);
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                all.push(Token::Word(rest[..end].to_string()));
                rest = &rest[end..];
            }
            _ => return None,
        }
    }
    Some(all)
}

/// A string in quotes at the start of `text`, and its length there.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let (mut string, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            c if escaped => {
                string.push(if c == 'n' || c == 't' { ' ' } else { c });
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return Some((string, at + 1)),
            c => string.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    #[test]
    fn lists_are_read_with_and_without_a_background() {
        for text in ["cat\ndog\n", "cat\r\ndog\r\n\r\n", "\u{feff}cat\n dog", "BACKGROUND\ncat\ndog", "???\ncat\ndog\n"]
        {
            assert_eq!(fit(names(text), 2).unwrap(), ["cat", "dog"], "{text:?}");
            assert_eq!(count(&names(text)), 2, "{text:?}");
        }
        assert_eq!(fit(names("cat\ndog"), 3), None);
        // A background where all lines are needed for classes is a class.
        assert_eq!(fit(names("background\ndog"), 2).unwrap(), ["background", "dog"]);
        assert_eq!(names("7 segments"), ["7 segments"]);
    }

    #[test]
    fn numbered_lines_have_gaps() {
        assert_eq!(names("0  person\n1  bicycle\n3  car\n"), ["person", "bicycle", "???", "car"]);
        assert_eq!(names("0: a b\n1: c"), ["a b", "c"]);
    }

    #[test]
    fn label_maps_are_read_as_people_write_them() {
        let map = "# classes\nitem {\n  name: \"/m/01g317\"\n  id: 1\n  display_name: \"Person\"\n}\n\
                   item{id:3,name:'it\\'s a dog' keypoints { id: 7 label: \"nose\" }}";
        assert_eq!(names(map), ["???", "Person", "???", "it's a dog"]);
        assert_eq!(fit(names(map), 3).unwrap(), ["Person", "???", "it's a dog"]);
        for (text, said) in [
            ("item { name: \"cat\" }", "no id in item 1"),
            ("item { id: -3 name: \"cat\" }", "no id in item 1"),
            ("item { id: 1 name: \"cat\"", "no end of item 1"),
            ("item { id: 1 } item { id: 1 }", "two names of class 1"),
            ("item { id: 99999999 name: \"cat\" }", "class number 99999999"),
            ("item { id: 1 } id: 4", "something other than an item after item 1"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for (bytes, said) in [
            (&b""[..], "no name"),
            (b"\xff\xfe", "not UTF-8"),
            (b"a\0b", "control character"),
            (b"cat\n\ndog", "an empty line 2"),
        ] {
            let error = parse(bytes).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(parse("x\n".repeat(10_001).as_bytes()).unwrap_err().contains("10001 lines"));
        assert!(parse("x".repeat(501).as_bytes()).unwrap_err().contains("a name of 501 bytes"));
    }
}
