//! Options of custom operators: a map of names to numbers, in FlatBuffers' schema-less format.
//!
//! The root stands at the end: value, its type, its width in bytes. A map is an array of values with their types behind
//! them and, before them, the array's length and the place of its keys. Places are distances backwards. Source: the
//! description of FlexBuffers' encoding that comes with FlatBuffers. Nothing is read without a look at the bounds.

use std::collections::BTreeMap;

const INT: u8 = 1;
const UINT: u8 = 2;
const FLOAT: u8 = 3;
/// The same three kinds, standing elsewhere.
const INDIRECT_INT: u8 = 6;
const INDIRECT_UINT: u8 = 7;
const INDIRECT_FLOAT: u8 = 8;
const MAP: u8 = 9;
const BOOL: u8 = 26;

/// An operator has some ten options.
const MOST_OPTIONS: usize = 256;

/// The numbers of a map by name, yes and no as 1 and 0; values of other kinds are left out. `None` where the bytes hold no
/// map.
pub fn numbers(bytes: &[u8]) -> Option<BTreeMap<String, f64>> {
    let [before @ .., packed, width] = bytes else { return None };
    let (kind, element) = kind_of(*packed);
    if kind != MAP || !matches!(width, 1 | 2 | 4 | 8) {
        return None;
    }
    let root = before.len().checked_sub(usize::from(*width))?;
    let values = back(bytes, root, usize::from(*width))?;
    let at = |elements: usize| values.checked_sub(elements * element);
    let count = usize::try_from(unsigned(bytes, at(1)?, element)?).ok().filter(|&n| n <= MOST_OPTIONS)?;
    let key_width = usize::try_from(unsigned(bytes, at(2)?, element)?).ok().filter(|w| matches!(w, 1 | 2 | 4 | 8))?;
    let keys = back(bytes, at(3)?, element)?;
    let types = values.checked_add(count * element)?;
    let mut found = BTreeMap::new();
    for i in 0..count {
        let key = text(bytes, back(bytes, keys.checked_add(i * key_width)?, key_width)?)?;
        let packed = *bytes.get(types.checked_add(i)?)?;
        if let Some(number) = number(bytes, values + i * element, element, packed) {
            found.insert(key.to_owned(), number);
        }
    }
    Some(found)
}

/// A value's kind, and the width of what it leads to.
fn kind_of(packed: u8) -> (u8, usize) {
    (packed >> 2, 1 << (packed & 3))
}

fn number(bytes: &[u8], at: usize, width: usize, packed: u8) -> Option<f64> {
    let (kind, inner) = kind_of(packed);
    match kind {
        INT => Some(signed(bytes, at, width)? as f64),
        UINT | BOOL => Some(unsigned(bytes, at, width)? as f64),
        FLOAT => float(bytes, at, width),
        INDIRECT_INT => Some(signed(bytes, back(bytes, at, width)?, inner)? as f64),
        INDIRECT_UINT => Some(unsigned(bytes, back(bytes, at, width)?, inner)? as f64),
        INDIRECT_FLOAT => float(bytes, back(bytes, at, width)?, inner),
        _ => None,
    }
}

/// The place that a distance backwards leads to.
fn back(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    at.checked_sub(usize::try_from(unsigned(bytes, at, width)?).ok()?)
}

fn unsigned(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let digits = bytes.get(at..at.checked_add(width)?)?;
    let mut all = [0; 8];
    all.get_mut(..width)?.copy_from_slice(digits);
    Some(u64::from_le_bytes(all))
}

fn signed(bytes: &[u8], at: usize, width: usize) -> Option<i64> {
    let shift = 64 - 8 * width as u32;
    Some(((unsigned(bytes, at, width)? << shift) as i64) >> shift)
}

fn float(bytes: &[u8], at: usize, width: usize) -> Option<f64> {
    let raw = unsigned(bytes, at, width)?;
    match width {
        4 => Some(f64::from(f32::from_bits(raw as u32))),
        8 => Some(f64::from_bits(raw)),
        _ => None,
    }
}

/// Text up to its zero byte.
fn text(bytes: &[u8], at: usize) -> Option<&str> {
    let tail = bytes.get(at..)?;
    std::str::from_utf8(&tail[..tail.iter().position(|&b| b == 0)?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 1.5, "bc": 300, "d": true, "e": -2}` as FlatBuffers' own builder for Python writes it.
    const WRITTEN: [u8; 51] = [
        97, 0, 98, 99, 0, 100, 0, 101, 0, 4, 10, 9, 7, 6, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 192, 63, 44,
        1, 0, 0, 1, 0, 0, 0, 254, 255, 255, 255, 14, 6, 106, 6, 20, 38, 1,
    ];

    #[test]
    fn a_map_of_another_writer_is_read() {
        let found = numbers(&WRITTEN).unwrap();
        let expected =
            [("a", 1.5), ("bc", 300.0), ("d", 1.0), ("e", -2.0)].map(|(key, value)| (key.to_string(), value));
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn bytes_without_a_map_have_no_options() {
        assert_eq!(numbers(&[]), None);
        assert_eq!(numbers(&[5, 4, 1]), None);
        for length in 0..WRITTEN.len() {
            // Whatever it says, it must come back.
            numbers(&WRITTEN[..length]);
        }
    }

    #[test]
    fn every_byte_may_be_wrong() {
        for at in 0..WRITTEN.len() {
            for value in 0..=255 {
                let mut bytes = WRITTEN;
                bytes[at] = value;
                numbers(&bytes);
            }
        }
    }
}
