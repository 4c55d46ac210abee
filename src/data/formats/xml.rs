//! A small XML document as a tree of elements with their text and line: what annotation files need, no more.
//!
//! Comments and processing instructions are skipped; entities are the five of XML and character references.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Deeper nesting is no annotation and would only serve to exhaust the stack on drop.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Default, PartialEq)]
pub struct Element {
    pub name: String,
    /// Text directly inside, trimmed.
    pub text: String,
    /// Line of the opening tag, counted from 1.
    pub line: usize,
    pub children: Vec<Element>,
    pub attributes: Vec<(String, String)>,
}

impl Element {
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name.eq_ignore_ascii_case(name))
    }

    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str())
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The attribute as a finite number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.attribute(name)?.trim().parse().ok().filter(|n: &f64| n.is_finite())
    }
}

/// The root element.
///
/// # Errors
/// Line and description of what is wrong with the XML.
pub fn parse(text: &str) -> Result<Element, (usize, String)> {
    let mut reader = Reader::from_str(text);
    let mut lines = LineCounter { text: text.as_bytes(), offset: 0, line: 1 };
    let mut open: Vec<Element> = Vec::new();
    loop {
        let line = lines.at(reader.buffer_position());
        let event = reader.read_event();
        let event = event.map_err(|e| (lines.at(reader.error_position()), format!("malformed XML: {e}")))?;
        let closed = match event {
            Event::Start(tag) => {
                if open.len() >= MAX_DEPTH {
                    return Err((line, format!("more than {MAX_DEPTH} nested elements")));
                }
                open.push(element(&tag, line));
                None
            }
            Event::Empty(tag) => Some(element(&tag, line)),
            Event::End(_) => open.pop(),
            Event::Text(content) => {
                append(&mut open, &String::from_utf8_lossy(&content));
                None
            }
            Event::CData(content) => {
                append(&mut open, &String::from_utf8_lossy(&content));
                None
            }
            Event::GeneralRef(entity) => {
                let named = match &*entity as &[u8] {
                    b"amp" => Some('&'),
                    b"lt" => Some('<'),
                    b"gt" => Some('>'),
                    b"quot" => Some('"'),
                    b"apos" => Some('\''),
                    _ => entity.resolve_char_ref().ok().flatten(),
                };
                append(&mut open, named.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]));
                None
            }
            Event::Eof => {
                return Err(match open.last() {
                    Some(element) => (lines.at(u64::MAX), format!("the file ends inside <{}>", element.name)),
                    None => (1, "no XML element in the file".into()),
                });
            }
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => None,
        };
        let Some(mut closed) = closed else { continue };
        closed.text = closed.text.trim().to_string();
        match open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => return Ok(closed),
        }
    }
}

fn element(tag: &BytesStart, line: usize) -> Element {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let attribute = |a: quick_xml::events::attributes::Attribute| {
        let value = a.unescape_value().map_or_else(|_| text(&a.value), |v| v.into_owned());
        (text(a.key.as_ref()), value)
    };
    // An attribute that is malformed is left out: none of them decides what a file is.
    let attributes = tag.attributes().with_checks(false).flatten().map(attribute).collect();
    Element { name: text(tag.name().as_ref()), line, attributes, ..Element::default() }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// Line numbers of ever growing offsets, each byte looked at once.
struct LineCounter<'a> {
    text: &'a [u8],
    offset: usize,
    line: usize,
}

impl LineCounter<'_> {
    fn at(&mut self, offset: u64) -> usize {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        if offset > self.offset {
            self.line += self.text[self.offset..offset].iter().filter(|&&b| b == b'\n').count();
            self.offset = offset;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_the_tree_with_lines_and_text() {
        let root = parse("<?xml version='1.0'?>\n<!-- note -->\n<a x='1'>\n <b>1 &lt; 2&#33;</b>\n <c/>\n</a>")
            .expect("parses");
        assert_eq!((root.name.as_str(), root.line), ("a", 3));
        assert_eq!(root.text_of("b"), Some("1 < 2!"));
        assert_eq!(root.child("c").map(|c| c.line), Some(5));
        assert_eq!((root.attribute("x"), root.number("x"), root.attribute("y")), (Some("1"), Some(1.0), None));
    }

    #[test]
    fn malformed_files_say_where() {
        for (text, line, fault) in [
            ("", 1, "no XML element"),
            ("<a>\n<b>\n", 3, "the file ends inside <b>"),
            ("<a>\n</b>", 2, "malformed XML"),
            ("<a>\n<b", 2, "malformed XML"),
            ("just words", 1, "no XML element"),
        ] {
            let (at, found) = parse(text).expect_err(text);
            assert!(found.starts_with(fault), "{text:?}: {found}");
            assert_eq!(at, line, "{text:?}: {found}");
        }
        assert!(parse(&"<a>".repeat(1000)).is_err());
    }
}
