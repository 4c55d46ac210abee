//! `tf.train.Example` on the wire: a map from names to lists of bytes, floats or integers.
//!
//! Read field by field, so that the place of a photo in the record is known and its bytes are not copied. Lengths are
//! believed only as far as there are bytes.

use std::collections::HashMap;
use std::ops::Range;

use prost::encoding::{WireType, decode_key, decode_varint};

/// The features of one record.
#[derive(Debug, Default)]
pub struct TfExample<'a> {
    record: &'a [u8],
    features: HashMap<String, Feature>,
}

#[derive(Debug)]
enum Feature {
    /// Places in the record.
    Bytes(Vec<Range<usize>>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

impl TfExample<'_> {
    pub fn bytes(&self, name: &str) -> &[Range<usize>] {
        match self.features.get(name) {
            Some(Feature::Bytes(list)) => list,
            _ => &[],
        }
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        self.bytes(name).iter().map(|r| String::from_utf8_lossy(&self.record[r.clone()]).into_owned()).collect()
    }

    pub fn floats(&self, name: &str) -> &[f32] {
        match self.features.get(name) {
            Some(Feature::Floats(list)) => list,
            _ => &[],
        }
    }

    pub fn ints(&self, name: &str) -> &[i64] {
        match self.features.get(name) {
            Some(Feature::Ints(list)) => list,
            _ => &[],
        }
    }
}

/// The features of a record; `None` if its bytes are something else.
pub fn read_example(record: &[u8]) -> Option<TfExample<'_>> {
    let mut example = TfExample { record, features: HashMap::new() };
    for (_, features) in messages(record, 0..record.len(), 1)? {
        for (_, entry) in messages(record, features, 1)? {
            let key = messages(record, entry.clone(), 1)?.pop().map(|(_, r)| r).unwrap_or(0..0);
            let Some((_, value)) = messages(record, entry, 2)?.pop() else { continue };
            let name = String::from_utf8_lossy(&record[key]).into_owned();
            if let Some(feature) = read_feature(record, value)? {
                example.features.insert(name, feature);
            }
        }
    }
    Some(example)
}

/// The outer option is `None` for bytes that are no feature, the inner one for a feature without values.
fn read_feature(record: &[u8], at: Range<usize>) -> Option<Option<Feature>> {
    let Some((tag, list)) = fields(record, at)?.into_iter().find_map(|f| f.message()) else { return Some(None) };
    let values = fields(record, list)?;
    Some(Some(match tag {
        1 => Feature::Bytes(values.into_iter().filter_map(|f| f.message()).map(|(_, r)| r).collect()),
        2 => {
            let float = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("4 bytes"));
            let list = values.into_iter().flat_map(|f| match f {
                TfFeature::Message(_, r) => record[r].chunks_exact(4).map(float).collect(),
                TfFeature::Fixed32(value) => vec![f32::from_bits(value)],
                _ => Vec::new(),
            });
            Feature::Floats(list.collect())
        }
        3 => {
            let mut list = Vec::new();
            for field in values {
                match field {
                    TfFeature::Message(_, r) => {
                        let mut bytes = &record[r];
                        while !bytes.is_empty() {
                            list.push(decode_varint(&mut bytes).ok()? as i64);
                        }
                    }
                    TfFeature::Varint(value) => list.push(value as i64),
                    _ => {}
                }
            }
            Feature::Ints(list)
        }
        _ => return Some(None),
    }))
}

enum TfFeature {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Message(u32, Range<usize>),
}

impl TfFeature {
    fn message(self) -> Option<(u32, Range<usize>)> {
        match self {
            TfFeature::Message(tag, range) => Some((tag, range)),
            _ => None,
        }
    }
}

fn messages(record: &[u8], at: Range<usize>, wanted: u32) -> Option<Vec<(u32, Range<usize>)>> {
    let all = fields(record, at)?.into_iter().filter_map(TfFeature::message);
    Some(all.filter(|(tag, _)| *tag == wanted).collect())
}

/// The fields of a message that takes the range `at` of the record.
fn fields(record: &[u8], at: Range<usize>) -> Option<Vec<TfFeature>> {
    let mut rest = record.get(at.clone())?;
    let end = at.end;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (tag, wire) = decode_key(&mut rest).ok()?;
        match wire {
            WireType::Varint => all.push(TfFeature::Varint(decode_varint(&mut rest).ok()?)),
            WireType::LengthDelimited => {
                let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                let start = end - rest.len();
                rest = rest.get(len..)?;
                all.push(TfFeature::Message(tag, start..start + len));
            }
            WireType::ThirtyTwoBit => {
                let (value, after) = rest.split_first_chunk::<4>()?;
                rest = after;
                all.push(TfFeature::Fixed32(u32::from_le_bytes(*value)));
            }
            WireType::SixtyFourBit => {
                rest = rest.get(8..)?;
                all.push(TfFeature::Fixed64);
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag << 3 | 2, content.len() as u8], content].concat()
    }

    #[test]
    fn features_are_found_and_every_cut_is_no_example() {
        let entry = |key: &str, list: u8, values: &[u8]| {
            let feature = field(list, values);
            field(1, &[field(1, key.as_bytes()), field(2, &feature)].concat())
        };
        let features = [
            entry("image/encoded", 1, &field(1, b"photo")),
            entry("x", 2, &field(1, &0.25f32.to_le_bytes())),
            entry("n", 3, &field(1, &[3, 0xac, 0x02])),
        ];
        let record = field(1, &features.concat());
        let example = read_example(&record).expect("is one");
        assert_eq!(&record[example.bytes("image/encoded")[0].clone()], b"photo");
        assert_eq!((example.floats("x"), example.ints("n")), (&[0.25][..], &[3, 300][..]));
        assert_eq!(example.texts("image/encoded"), ["photo"]);
        assert!((1..record.len()).all(|end| read_example(&record[..end]).is_none()));
    }
}
