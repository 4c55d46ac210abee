//! A model's metadata about its input: a flatbuffer of another schema, in a buffer of the model.
//!
//! Only the way to the normalisation of the first input is followed, by the numbers that the fields have in TFLite's
//! `metadata_schema.fbs`; every step looks at the bounds.

use std::collections::HashMap;
use tract_tflite::tflite::Model;

const BUFFER: &str = "TFLITE_METADATA";

/// Fields: ModelMetadata, SubGraphMetadata, TensorMetadata, ProcessUnit, NormalizationOptions.
const SUBGRAPHS: usize = 3;
const INPUTS: usize = 2;
const PROCESS_UNITS: usize = 4;
const KIND: usize = 0;
const OPTIONS: usize = 1;
const MEAN: usize = 0;
const DEVIATION: usize = 1;

/// The kind of options that normalises.
const NORMALISES: u8 = 1;

/// Texts longer than this are none of Fieldtune's, in bytes.
const LONGEST_TEXT: usize = 1 << 20;

/// The names of Fieldtune's own entries begin so.
const OWN: &str = "fieldtune.";

/// The texts that Fieldtune keeps in a file that it wrote, by their names.
pub fn own_texts(model: &Model) -> HashMap<String, String> {
    let text = |buffer: u32| {
        let at = usize::try_from(buffer).ok()?;
        let bytes = model.buffers().filter(|all| at < all.len())?.get(at).data()?.bytes();
        std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_TEXT)
    };
    let entries =
        model.metadata().into_iter().flatten().filter_map(|entry| Some((entry.name()?, text(entry.buffer())?)));
    let own = entries.filter(|(name, _)| name.starts_with(OWN));
    own.map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

/// `[factor, offset]` for a pixel's byte, where the metadata give one mean and deviation for all channels.
pub fn pixels(model: &Model) -> Option<[f64; 2]> {
    let entry = model.metadata()?.iter().find(|entry| entry.name() == Some(BUFFER))?;
    let buffers = model.buffers()?;
    let at = usize::try_from(entry.buffer()).ok().filter(|&at| at < buffers.len())?;
    normalisation(buffers.get(at).data()?.bytes())
}

fn normalisation(bytes: &[u8]) -> Option<[f64; 2]> {
    let root = MetadataTable { bytes, at: usize::try_from(number(bytes, 0)?).ok()? };
    let input = root.tables(SUBGRAPHS)?.next()?.tables(INPUTS)?.next()?;
    let unit = input.tables(PROCESS_UNITS)?.find(|unit| unit.byte(KIND) == Some(NORMALISES))?;
    let options = unit.table(OPTIONS)?;
    let (mean, deviation) = (options.one_float(MEAN)?, options.one_float(DEVIATION)?);
    let sound = mean.is_finite() && deviation.is_finite() && deviation > 0.0;
    sound.then(|| [1.0 / deviation, -mean / deviation])
}

/// A table at a place in the bytes.
#[derive(Clone, Copy)]
struct MetadataTable<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> MetadataTable<'a> {
    /// The place of a field's value; `None` where the table leaves it out.
    fn field(&self, index: usize) -> Option<usize> {
        let back = number(self.bytes, self.at)? as i32;
        let fields = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let place = 4 + 2 * index;
        if place + 2 > usize::from(short(self.bytes, fields)?) {
            return None;
        }
        match short(self.bytes, fields.checked_add(place)?)? {
            0 => None,
            offset => self.at.checked_add(usize::from(offset)),
        }
    }

    fn byte(&self, index: usize) -> Option<u8> {
        self.bytes.get(self.field(index)?).copied()
    }

    /// The place that a field's offset leads to.
    fn target(&self, index: usize) -> Option<usize> {
        forward(self.bytes, self.field(index)?)
    }

    fn table(&self, index: usize) -> Option<Self> {
        Some(Self { at: self.target(index)?, ..*self })
    }

    fn tables(&self, index: usize) -> Option<impl Iterator<Item = Self> + 'a> {
        let (bytes, at) = (self.bytes, self.target(index)?);
        let count = usize::try_from(number(bytes, at)?).ok()?;
        // Each entry has four bytes.
        let places = (0..count.min(bytes.len() / 4)).filter_map(move |i| forward(bytes, at.checked_add(4 + 4 * i)?));
        Some(places.map(move |at| Self { bytes, at }))
    }

    /// The number that all entries of a vector of floats have.
    fn one_float(&self, index: usize) -> Option<f64> {
        let at = self.target(index)?;
        let count = usize::try_from(number(self.bytes, at)?).ok().filter(|n| (1..=16).contains(n))?;
        let value = |i: usize| Some(f32::from_bits(number(self.bytes, at.checked_add(4 + 4 * i)?)?));
        let first = value(0)?;
        (1..count).all(|i| value(i) == Some(first)).then_some(f64::from(first))
    }
}

fn forward(bytes: &[u8], at: usize) -> Option<usize> {
    at.checked_add(usize::try_from(number(bytes, at)?).ok()?)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flatbuffers::{FlatBufferBuilder, WIPOffset};

    /// Metadata as the schema's own code writes them, by FlatBuffers' builder.
    fn written(mean: f32, deviation: f32) -> Vec<u8> {
        let mut fbb = FlatBufferBuilder::new();
        let [mean, deviation] = [mean, deviation].map(|v| fbb.create_vector(&[v]));
        let slot = |field: usize| (4 + 2 * field) as u16;
        let start = fbb.start_table();
        fbb.push_slot_always(slot(MEAN), mean);
        fbb.push_slot_always(slot(DEVIATION), deviation);
        let options = fbb.end_table(start);
        let start = fbb.start_table();
        fbb.push_slot_always(slot(KIND), NORMALISES);
        fbb.push_slot_always(slot(OPTIONS), options);
        let mut inner = fbb.end_table(start);
        for field in [PROCESS_UNITS, INPUTS, SUBGRAPHS] {
            let vector = fbb.create_vector(&[WIPOffset::<flatbuffers::Table>::new(inner.value())]);
            let start = fbb.start_table();
            fbb.push_slot_always(slot(field), vector);
            inner = fbb.end_table(start);
        }
        fbb.finish(inner, Some("M001"));
        fbb.finished_data().to_vec()
    }

    #[test]
    fn mean_and_deviation_are_found_or_nothing_is() {
        let whole = written(127.5, 64.0);
        assert_eq!(normalisation(&whole), Some([1.0 / 64.0, -127.5 / 64.0]));
        assert_eq!(normalisation(&written(1.0, 0.0)), None);
        for length in 0..whole.len() {
            normalisation(&whole[..length]);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 4, 127, 128, 255] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                normalisation(&bytes);
            }
        }
    }
}
