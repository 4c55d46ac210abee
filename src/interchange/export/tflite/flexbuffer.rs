//! A map of names to plain values as a FlexBuffer, the form of a custom operator's options.
//!
//! Every value takes 4 bytes: the keys, sorted; the vector of their offsets; the map's values with a byte of type for
//! each; the root. Offsets count backwards from where they stand (flatbuffers, "FlexBuffers internals").

#[derive(Clone, Copy, Debug)]
pub enum FlexValue {
    Int(i32),
    Float(f32),
    Bool(bool),
}

/// The width of everything, as a number of bytes and as its logarithm.
const WIDTH: u32 = 4;
const WIDTH_BITS: u8 = 2;

/// FlexBuffer types: signed number, floating-point number, map, truth value.
const INT: u8 = 1;
const FLOAT: u8 = 3;
const MAP: u8 = 9;
const BOOL: u8 = 26;

impl FlexValue {
    fn encoded(self) -> (u8, [u8; 4]) {
        match self {
            FlexValue::Int(v) => (INT, v.to_le_bytes()),
            FlexValue::Float(v) => (FLOAT, v.to_le_bytes()),
            FlexValue::Bool(v) => (BOOL, u32::from(v).to_le_bytes()),
        }
    }
}

/// The bytes of a map; its keys have no zero byte.
pub fn map(entries: &[(&str, FlexValue)]) -> Vec<u8> {
    let mut entries = entries.to_vec();
    // Readers search keys by halves.
    entries.sort_by_key(|(key, _)| *key);
    let mut out = Vec::new();
    let mut keys = Vec::new();
    for (key, _) in &entries {
        keys.push(out.len() as u32);
        out.extend(key.bytes());
        out.push(0);
    }
    out.resize(out.len().next_multiple_of(WIDTH as usize), 0);
    let count = (entries.len() as u32).to_le_bytes();
    out.extend(count);
    let key_vector = out.len() as u32;
    for key in keys {
        let back = out.len() as u32 - key;
        out.extend(back.to_le_bytes());
    }
    let back = out.len() as u32 - key_vector;
    out.extend(back.to_le_bytes());
    out.extend(WIDTH.to_le_bytes());
    out.extend(count);
    let values = out.len() as u32;
    out.extend(entries.iter().flat_map(|(_, value)| value.encoded().1));
    out.extend(entries.iter().map(|(_, value)| value.encoded().0 << 2 | WIDTH_BITS));
    out.resize(out.len().next_multiple_of(WIDTH as usize), 0);
    let back = out.len() as u32 - values;
    out.extend(back.to_le_bytes());
    out.extend([MAP << 2 | WIDTH_BITS, WIDTH as u8]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that the format's description gives for `{a: 7, b: true}`.
    #[test]
    fn a_map_is_keys_then_values_then_its_root() {
        let bytes = map(&[("b", FlexValue::Bool(true)), ("a", FlexValue::Int(7))]);
        let expected = [
            &b"a\0b\0"[..],
            &[2, 0, 0, 0, 8, 0, 0, 0, 10, 0, 0, 0],
            &[8, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0],
            &[7, 0, 0, 0, 1, 0, 0, 0, 6, 106, 0, 0],
            &[12, 0, 0, 0, 38, 4],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
