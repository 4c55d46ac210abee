//! The layout of a pack, version 3. All numbers are little-endian.
//!
//! | part | content |
//! |---|---|
//! | header, 32 bytes | magic `FTPACK\r\n`, version u32, 0 u32, length of the file u64 (0 until sealed), CRC-32 of the 24 bytes before u32, 0 u32 |
//! | beginning | what is packed and how: a text with its CRC-32 u32, see `growing` |
//! | photos | for each photo of the set a head, see `growing`, and a record if it can be used |
//! | record | source text, source width and height u32, width and height u32, kind of the photo u32 (0 pixels, 1 JPEG), object count u32, objects, pixels `[height, width, 3]` u8 or the bytes of a JPEG file |
//! | object, 48 bytes | class u32, flags u32 (1 difficult, 2 crowd, 4 area given), x0 y0 x1 y1 f64, area f64 |
//! | index | fingerprint 32 bytes, max side u64, validation share f64, seed u64, kind of photos u32, purpose u32 (0 its owner's, 1 of runs), class count u32, class texts, split count u32, split texts, notes text (JSON), CRC-32 of what stands between the last record and the index u32, record count u64, per record: offset u64, length u64, CRC-32 u32, CRC-32 of the pixels u32, CRC-32 of what stands between the record before and this one u32, splits u64 (bit i: in split i) |
//! | footer, 40 bytes | offset of the index u64, its length u64, record count u64, CRC-32 of the index u32, version u32, CRC-32 of the 32 bytes before u32, magic `FTPE` |
//!
//! A text is its length in bytes u32 and UTF-8. The header's length tells a pack that was cut off (the file is
//! shorter, or was never sealed) from a damaged one (a checksum disagrees). No padding: pixels need no alignment.

use super::bytes::{PackFields, put_text};
use super::jpeg;
use super::{PackAs, PackFor, PackOptions};
use crate::boxes::CornerBox;
use crate::data::sample::{Object, Record, RgbImage};

pub const MAGIC: [u8; 8] = *b"FTPACK\r\n";
pub const VERSION: u32 = 3;
pub const HEADER_LEN: usize = 32;
pub const FOOTER_LEN: usize = 40;
/// Splits are bits of a u64.
pub const MAX_SPLITS: usize = 64;

const FOOTER_MAGIC: [u8; 4] = *b"FTPE";
const DIFFICULT: u32 = 1;
const CROWD: u32 = 2;
const AREA: u32 = 4;

/// The place of a record, and which splits it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub offset: u64,
    pub len: u64,
    pub crc: u32,
    /// CRC-32 of the packed pixels, which is the photo's wherever it lies and however it is packed.
    pub photo: u32,
    /// CRC-32 of the bytes between the record before (or the header) and this one.
    pub gap: u32,
    pub splits: u64,
}

/// All but the records.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    pub fingerprint: [u8; 32],
    pub options: PackOptions,
    pub classes: Vec<String>,
    pub splits: Vec<String>,
    /// The findings of packing as JSON.
    pub notes: String,
    /// CRC-32 of the bytes between the last record and the index.
    pub tail: u32,
    pub records: Vec<IndexEntry>,
}

/// The end of a sealed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    pub index_offset: u64,
    pub index_len: u64,
    pub records: u64,
    pub index_crc: u32,
}

/// The header of a file of this length; 0 for one still being written.
pub fn header(file_len: u64) -> [u8; HEADER_LEN] {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(file_len.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.try_into().expect("the fields above are 32 bytes")
}

/// Version and file length of a header, and whether its checksum holds; `None` if the magic is not there.
pub fn read_header(bytes: &[u8; HEADER_LEN]) -> Option<(u32, u64, bool)> {
    let mut fields = PackFields(bytes);
    (fields.array()? == MAGIC).then_some(())?;
    let version = fields.u32()?;
    fields.u32()?;
    let file_len = fields.u64()?;
    let sound = fields.u32()? == crc32fast::hash(&bytes[..24]);
    Some((version, file_len, sound))
}

impl Footer {
    pub fn to_bytes(self) -> [u8; FOOTER_LEN] {
        let mut bytes = Vec::with_capacity(FOOTER_LEN);
        bytes.extend(self.index_offset.to_le_bytes());
        bytes.extend(self.index_len.to_le_bytes());
        bytes.extend(self.records.to_le_bytes());
        bytes.extend(self.index_crc.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend(FOOTER_MAGIC);
        bytes.try_into().expect("the fields above are 40 bytes")
    }

    /// `None` if the magic or the checksum is not right.
    pub fn from_bytes(bytes: &[u8; FOOTER_LEN]) -> Option<Self> {
        let mut fields = PackFields(bytes);
        let footer = Self {
            index_offset: fields.u64()?,
            index_len: fields.u64()?,
            records: fields.u64()?,
            index_crc: fields.u32()?,
        };
        fields.u32()?;
        let sound = fields.u32()? == crc32fast::hash(&bytes[..32]) && fields.array()? == FOOTER_MAGIC;
        sound.then_some(footer)
    }
}

impl Index {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.fingerprint);
        bytes.extend((self.options.max_side as u64).to_le_bytes());
        bytes.extend(self.options.val_share.to_le_bytes());
        bytes.extend(self.options.seed.to_le_bytes());
        bytes.extend(self.options.photos.number().to_le_bytes());
        bytes.extend(self.options.made_for.number().to_le_bytes());
        for names in [&self.classes, &self.splits] {
            bytes.extend((names.len() as u32).to_le_bytes());
            names.iter().for_each(|name| put_text(&mut bytes, name));
        }
        put_text(&mut bytes, &self.notes);
        bytes.extend(self.tail.to_le_bytes());
        bytes.extend((self.records.len() as u64).to_le_bytes());
        for record in &self.records {
            bytes.extend(record.offset.to_le_bytes());
            bytes.extend(record.len.to_le_bytes());
            bytes.extend(record.crc.to_le_bytes());
            bytes.extend(record.photo.to_le_bytes());
            bytes.extend(record.gap.to_le_bytes());
            bytes.extend(record.splits.to_le_bytes());
        }
        bytes
    }

    /// `None` if the bytes are not an index; counts are believed only as far as there are bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = PackFields(bytes);
        let fingerprint = fields.array()?;
        let options = PackOptions {
            max_side: fields.size()?,
            val_share: fields.f64()?,
            seed: fields.u64()?,
            photos: PackAs::of_number(fields.u32()?)?,
            made_for: PackFor::of_number(fields.u32()?)?,
        };
        let mut names = || -> Option<Vec<String>> { (0..fields.u32()?).map(|_| fields.text()).collect() };
        let (classes, splits) = (names()?, names()?);
        let notes = fields.text()?;
        let tail = fields.u32()?;
        let count = fields.size()?;
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(IndexEntry {
                offset: fields.u64()?,
                len: fields.u64()?,
                crc: fields.u32()?,
                photo: fields.u32()?,
                gap: fields.u32()?,
                splits: fields.u64()?,
            });
        }
        fields.0.is_empty().then_some(Self { fingerprint, options, classes, splits, notes, tail, records })
    }
}

/// A record's bytes; `photo` is its image in the kind that is packed.
pub fn record_to_bytes(record: &Record, kind: PackAs, photo: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + record.source.len() + 48 * record.objects.len() + photo.len());
    put_text(&mut bytes, &record.source);
    let [source_width, source_height] = record.source_size;
    let (width, height) = (record.image.width as u32, record.image.height as u32);
    for number in [source_width, source_height, width, height, kind.number()] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((record.objects.len() as u32).to_le_bytes());
    for object in &record.objects {
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = flag(object.difficult, DIFFICULT) | flag(object.crowd, CROWD) | flag(object.area.is_some(), AREA);
        bytes.extend((object.class as u32).to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        let b = object.bbox;
        for number in [b.x0, b.y0, b.x1, b.y1, object.area.unwrap_or(0.0)] {
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes.extend(photo);
    bytes
}

/// A record without its photo, which is left where it is.
pub struct RecordView<'a> {
    pub source: String,
    pub source_size: [u32; 2],
    pub size: [usize; 2],
    pub kind: PackAs,
    pub objects: Vec<Object>,
    /// Pixels `[height, width, 3]`, or a JPEG file.
    pub photo: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// The text says what is wrong with the bytes.
    pub fn from_bytes(bytes: &'a [u8], classes: usize) -> Result<Self, String> {
        let short = || "a record that ends early".to_string();
        let mut fields = PackFields(bytes);
        let source = fields.text().ok_or("a source that is no text")?;
        let mut number = || fields.u32().ok_or_else(short);
        let source_size = [number()?, number()?];
        let size = [number()? as usize, number()? as usize];
        let kind = PackAs::of_number(number()?).ok_or("a photo of a kind that is not known")?;
        let count = number()?;
        let mut objects = Vec::new();
        for _ in 0..count {
            let object = read_object(&mut fields).ok_or_else(short)?;
            if object.class >= classes {
                return Err(format!("an object of class {} of {classes}", object.class));
            }
            objects.push(object);
        }
        let photo = fields.0;
        let pixels = size[0].checked_mul(size[1]).and_then(|n| n.checked_mul(3));
        if photo.is_empty() || kind == PackAs::Pixels && pixels != Some(photo.len()) {
            return Err(format!("{} bytes of a photo of {}x{}", photo.len(), size[0], size[1]));
        }
        Ok(Self { source, source_size, size, kind, objects, photo })
    }

    /// The text says what is wrong with the photo.
    pub fn to_record(&self) -> Result<Record, String> {
        let [width, height] = self.size;
        let image = match self.kind {
            PackAs::Pixels => RgbImage { width, height, pixels: self.photo.to_vec() },
            PackAs::Jpeg => jpeg::decode(self.photo, self.size)?,
        };
        let (source, source_size) = (self.source.clone(), self.source_size);
        Ok(Record { source, source_size, image, objects: self.objects.clone() })
    }
}

fn read_object(fields: &mut PackFields) -> Option<Object> {
    let class = fields.u32()? as usize;
    let flags = fields.u32()?;
    let bbox = CornerBox::new(fields.f64()?, fields.f64()?, fields.f64()?, fields.f64()?);
    let area = fields.f64()?;
    Some(Object {
        class,
        bbox,
        difficult: flags & DIFFICULT != 0,
        crowd: flags & CROWD != 0,
        area: (flags & AREA != 0).then_some(area),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let object = Object {
            class: 1,
            bbox: CornerBox::new(0.1, 0.2, 1.0 / 3.0, 0.4),
            difficult: true,
            crowd: false,
            area: Some(0.01),
        };
        Record {
            source: "a #1=.jpg".into(),
            source_size: [20, 10],
            image: RgbImage { width: 2, height: 1, pixels: vec![1, 2, 3, 4, 5, 6] },
            objects: vec![object, Object { area: None, crowd: true, ..object }],
        }
    }

    #[test]
    fn records_survive_the_bytes_and_every_cut_is_an_error() {
        let bytes = record_to_bytes(&record(), PackAs::Pixels, &record().image.pixels);
        let back = RecordView::from_bytes(&bytes, 2).expect("is sound").to_record().expect("has pixels");
        assert_eq!((back.source, back.source_size, back.objects), (record().source, [20, 10], record().objects));
        assert_eq!(back.image, record().image);
        for end in 0..bytes.len() {
            assert!(RecordView::from_bytes(&bytes[..end], 2).is_err(), "cut at {end}");
        }
        assert!(RecordView::from_bytes(&bytes, 1).is_err());
    }

    #[test]
    fn the_index_survives_and_wrong_counts_do_not_allocate() {
        let entry = IndexEntry { offset: 32, len: 9, crc: 7, photo: 3, gap: 4, splits: 5 };
        let index = Index {
            fingerprint: [3; 32],
            options: PackOptions::default(),
            classes: vec!["cat".into(), "dög".into()],
            splits: vec!["train".into()],
            notes: "{}".into(),
            tail: 9,
            records: vec![entry, entry],
        };
        let bytes = index.to_bytes();
        assert_eq!(Index::from_bytes(&bytes), Some(index));
        for end in 0..bytes.len() {
            assert_eq!(Index::from_bytes(&bytes[..end]), None);
        }
        let mut huge = bytes.clone();
        let count_at = bytes.len() - 2 * 36 - 8;
        huge[count_at..count_at + 8].fill(0xff);
        assert_eq!(Index::from_bytes(&huge), None);
    }
}
