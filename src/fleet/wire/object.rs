//! Flower's objects: bytes that name their type, the objects below them, and the length of their body.
//!
//! `"TypeName id,id length\0body"`; the SHA-256 of it all is the object's id. A message is a tree of such objects, and the
//! root's id vouches for every byte of it.

use sha2::{Digest, Sha256};
use std::fmt;

/// Children in a head: the arrays of a record.
pub const MOST_CHILDREN: usize = 4096;

/// Longest head: a type, the ids of all children, a length.
const LONGEST_HEAD: usize = 64 + 65 * MOST_CHILDREN;

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 64;

/// The SHA-256 of an object's bytes as lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(String);

impl ObjectId {
    /// `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == ID_DIGITS && text.bytes().all(is_digit)).then(|| Self(text.into()))
    }

    /// The id of an object's bytes.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object's bytes, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct WireObject<'a> {
    pub kind: &'a str,
    pub children: Vec<ObjectId>,
    pub body: &'a [u8],
}

impl<'a> WireObject<'a> {
    /// Takes an object apart.
    ///
    /// # Errors
    /// A phrase that says how the bytes are wrong.
    pub fn read(content: &'a [u8]) -> Result<Self, String> {
        let end = content.iter().take(LONGEST_HEAD).position(|b| *b == 0).ok_or("an object without a head")?;
        let head = std::str::from_utf8(&content[..end]).map_err(|_| "an object whose head is no text")?;
        let mut parts = head.split(' ');
        let (Some(kind), Some(children), Some(length), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("an object whose head has not three parts".into());
        };
        let body = &content[end + 1..];
        if length.parse::<usize>() != Ok(body.len()) {
            return Err(format!("an object with a body of {} bytes that announces {length:.20}", body.len()));
        }
        let ids = children.split(',').filter(|id| !id.is_empty());
        let children: Option<Vec<ObjectId>> = ids.map(ObjectId::parse).collect();
        let children = children.ok_or("an object below whose head a child's id is none")?;
        Ok(Self { kind, children, body })
    }
}

/// The bytes of an object.
pub fn object(kind: &str, children: &[ObjectId], body: &[u8]) -> Vec<u8> {
    let ids: Vec<&str> = children.iter().map(ObjectId::as_str).collect();
    let head = format!("{kind} {} {}\0", ids.join(","), body.len());
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_torn_or_false_ones_are_refused() {
        let child = ObjectId::of(b"child");
        let bytes = object("Array", std::slice::from_ref(&child), b"{}\0");
        assert_eq!(
            WireObject::read(&bytes).unwrap(),
            WireObject { kind: "Array", children: vec![child], body: b"{}\0" }
        );
        for (content, words) in [
            (&bytes[..bytes.len() - 1], "announces"),
            (&bytes[..20], "without a head"),
            (b"Array 5\0hello", "three parts"),
            (b"Array ab 0\0", "a child's id"),
            (b"Array  99999999999999999999999\0", "announces"),
            (b"\xff  0\0", "no text"),
            (b"", "without a head"),
        ] {
            let error = WireObject::read(content).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
