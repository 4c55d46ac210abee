//! A pack, mapped read-only. Nothing in it is believed before its checksum holds; a record is checked on first use.
//!
//! The only place that maps files. A pack is replaced by renaming a new one over it, never written in place, so that
//! a mapping stays whole; a file cut short by someone else while mapped would still end the program (SIGBUS).

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::Mmap;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::PackOptions;
use super::format::{FOOTER_LEN, Footer, HEADER_LEN, Index, MAGIC, RecordView, VERSION, read_header};
use super::notes::PackNotes;
use crate::data::error::DataError;
use crate::data::sample::{Object, Record};
use crate::data::split::{self, Roles};

/// The name of the split that holds every record.
const ALL: &str = "all";

/// An open pack; clones share the mapping.
#[derive(Clone, Debug)]
pub struct Pack(Arc<Mapped>);

/// Some records of a pack in a fixed order; clones share it.
#[derive(Clone, Debug)]
pub struct Split {
    pack: Arc<Mapped>,
    name: String,
    members: Arc<[u32]>,
}

#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    map: Mmap,
    index: Index,
    /// True if the record's checksum has been compared.
    checked: Vec<AtomicBool>,
}

impl Pack {
    /// Maps the file and checks header, footer and index.
    ///
    /// # Errors
    /// If it is no pack, of another version, cut off, or damaged; each is told apart.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path, "open the pack"))?;
        let metadata = file.metadata().map_err(DataError::io(path, "open the pack"))?;
        let not_a_pack = |found: &str| DataError::NotAPack { file: path.into(), found: found.into() };
        if !metadata.is_file() {
            return Err(not_a_pack("not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(not_a_pack("an empty file"));
        }
        // SAFETY: the map is read-only, and packs are replaced by renaming, never changed in place (see the header).
        let map = unsafe { Mmap::map(&file) }.map_err(DataError::io(path, "map the pack"))?;
        let index = read_index(path, &map)?;
        let checked = index.records.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Self(Arc::new(Mapped { path: path.into(), map, index, checked })))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Class names without background.
    pub fn classes(&self) -> &[String] {
        &self.0.index.classes
    }

    /// Names of the splits; `all` can be asked for besides.
    pub fn split_names(&self) -> &[String] {
        &self.0.index.splits
    }

    /// The splits that training and validation use unless told otherwise.
    pub fn roles(&self) -> Roles {
        let roles = Roles::of(self.split_names().iter().map(String::as_str));
        roles.unwrap_or(Roles { train: ALL.into(), val: None })
    }

    /// The records of a split, in the order of their sources.
    ///
    /// # Errors
    /// If the pack has no split of that name or a synonym.
    pub fn split(&self, name: &str) -> Result<Split, DataError> {
        let names = &self.0.index.splits;
        let found = split::find(names.iter().map(String::as_str), name);
        let members: Arc<[u32]> = match found {
            Some(bit) => {
                let records = self.0.index.records.iter().zip(0..);
                records.filter(|(r, _)| r.splits >> bit & 1 == 1).map(|(_, i)| i).collect()
            }
            None if name == ALL => (0..self.0.index.records.len() as u32).collect(),
            None => {
                return Err(DataError::Split {
                    file: self.0.path.clone(),
                    found: name.into(),
                    expected: names.iter().map(String::as_str).chain([ALL]).collect::<Vec<_>>().join(", "),
                });
            }
        };
        let name = found.map_or(name, |bit| &names[bit]).to_string();
        Ok(Split { pack: self.0.clone(), name, members })
    }

    /// The findings from when the pack was made.
    pub fn notes(&self) -> PackNotes {
        PackNotes::from_text(&self.0.index.notes)
    }

    /// True if the pack was made from a source of this fingerprint with these options.
    pub fn is_of(&self, fingerprint: &[u8; 32], options: &PackOptions) -> bool {
        self.0.index.fingerprint == *fingerprint && self.0.index.options == *options
    }

    /// The options that it was made with.
    pub fn options(&self) -> &PackOptions {
        &self.0.index.options
    }

    /// The hash of the source's files at packing.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.0.index.fingerprint
    }
}

impl Split {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A share of the records, above 0 and at most 1, drawn by the seed; at least one where there is one.
    #[must_use]
    pub fn part(self, share: f64, seed: u64) -> Self {
        if share >= 1.0 {
            return self;
        }
        let count = ((self.len() as f64 * share).round() as usize).max(1).min(self.len());
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut drawn = rand::seq::index::sample(&mut rng, self.len(), count).into_vec();
        drawn.sort_unstable();
        Self { members: drawn.into_iter().map(|i| self.members[i]).collect(), ..self }
    }

    /// CRC-32 over the split's images and labels in their order, as they were packed.
    pub fn crc32(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        self.members.iter().for_each(|&i| crc.update(&self.pack.index.records[i as usize].crc.to_le_bytes()));
        crc.finalize()
    }

    /// CRC-32 of the pixels of each photo, in the split's order: the same photo has the same wherever it lies.
    pub fn photos(&self) -> Vec<u32> {
        self.members.iter().map(|&i| self.pack.index.records[i as usize].photo).collect()
    }

    /// Record `i` of the split, pixels copied or decoded.
    ///
    /// # Errors
    /// If the record is damaged.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn record(&self, i: usize) -> Result<Record, DataError> {
        let number = self.members[i];
        let record = self.pack.view(number).and_then(|view| {
            view.to_record().map_err(|found| self.pack.damaged(number, found, "a photo of that size".into()))
        });
        self.pack.release(self.members[i]);
        record
    }

    /// The objects of record `i`, without touching its pixels beyond the first check.
    ///
    /// # Errors
    /// If the record is damaged.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn objects(&self, i: usize) -> Result<Vec<Object>, DataError> {
        let objects = self.pack.view(self.members[i]).map(|view| view.objects);
        self.pack.release(self.members[i]);
        objects
    }
}

/// Linux maps the cached neighbours of a page that is asked for along with it: 64 KB of them, since 6.18 all that are
/// cached as one, but never beyond a block of addresses of this many bytes (larger where pages are larger than 4 KB).
const MAPPED_TOGETHER: usize = 2 << 20;

/// The part of a mapping at address `base` of `len` bytes that is mapped with its bytes `record`: blocks begin at round
/// addresses, not at round places in the file.
fn mapped_with(record: Range<usize>, base: usize, len: usize) -> Range<usize> {
    let begin = (base + record.start) / MAPPED_TOGETHER * MAPPED_TOGETHER;
    let end = (base + record.end).next_multiple_of(MAPPED_TOGETHER);
    begin.saturating_sub(base)..(end - base).min(len)
}

impl Mapped {
    /// Lets go of a record's pages: they stay in the system's cache while there is room, but no longer count as this
    /// process's memory, which on a small board is limited.
    fn release(&self, record: u32) {
        let entry = &self.index.records[record as usize];
        let bytes = entry.offset as usize..(entry.offset + entry.len) as usize;
        let part = mapped_with(bytes, self.map.as_ptr() as usize, self.map.len());
        #[cfg(unix)]
        // SAFETY: the mapping is read-only and backed by its file: pages that are asked for again are read again.
        let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, part.start, part.len()) };
    }

    fn view(&self, record: u32) -> Result<RecordView<'_>, DataError> {
        let number = record as usize;
        let entry = &self.index.records[number];
        // Offsets were compared with the file's length on opening.
        let bytes = &self.map[entry.offset as usize..(entry.offset + entry.len) as usize];
        if !self.checked[number].load(Ordering::Relaxed) {
            let before = number.checked_sub(1).map(|i| &self.index.records[i]);
            let gap = before.map_or(HEADER_LEN as u64, |r| r.offset + r.len) as usize..entry.offset as usize;
            for (bytes, expected) in [(&self.map[gap], entry.gap), (bytes, entry.crc)] {
                let crc = crc32fast::hash(bytes);
                if crc != expected {
                    return Err(self.damaged(record, format!("checksum {crc:08x}"), format!("{expected:08x}")));
                }
            }
            self.checked[number].store(true, Ordering::Relaxed);
        }
        RecordView::from_bytes(bytes, self.index.classes.len())
            .map_err(|found| self.damaged(record, found, "a record".into()))
    }

    fn damaged(&self, record: u32, found: String, expected: String) -> DataError {
        let place = format!("record {record} at byte {}", self.index.records[record as usize].offset);
        DataError::PackDamaged { file: self.path.clone(), place, found, expected }
    }
}

fn read_index(path: &Path, map: &[u8]) -> Result<Index, DataError> {
    let len = map.len() as u64;
    let cut = |expected: String| DataError::PackCut { file: path.into(), found: format!("{len} bytes"), expected };
    let damaged = |place: &str, found: String, expected: &str| DataError::PackDamaged {
        file: path.into(),
        place: place.into(),
        found,
        expected: expected.into(),
    };
    let magic = &MAGIC[..map.len().min(MAGIC.len())];
    if !map.starts_with(magic) {
        return Err(DataError::NotAPack { file: path.into(), found: "a file of another kind".into() });
    }
    let Some(head) = map.first_chunk::<HEADER_LEN>() else { return Err(cut(format!("at least {HEADER_LEN}"))) };
    let Some((version, sealed_len, sound)) = read_header(head) else {
        return Err(damaged("header", "no magic".into(), "FTPACK"));
    };
    if version != VERSION {
        return Err(DataError::PackVersion { file: path.into(), found: version, expected: VERSION });
    }
    if !sound {
        return Err(damaged("header", "a wrong checksum".into(), "the right one"));
    }
    if sealed_len == 0 {
        return Err(cut("a pack whose writing came to its end".into()));
    }
    if len < sealed_len {
        return Err(cut(format!("{sealed_len}")));
    }
    if len > sealed_len {
        return Err(damaged("end", format!("{len} bytes"), &format!("{sealed_len}")));
    }
    let footer = map.last_chunk::<FOOTER_LEN>().and_then(Footer::from_bytes);
    let footer = footer.ok_or_else(|| damaged("footer", "a wrong checksum".into(), "the right one"))?;
    let body_len = len - FOOTER_LEN as u64;
    if footer.index_offset.checked_add(footer.index_len) != Some(body_len) {
        let found = format!("an index of {} bytes at byte {}", footer.index_len, footer.index_offset);
        return Err(damaged("footer", found, "one that ends at the footer"));
    }
    let bytes = &map[footer.index_offset as usize..body_len as usize];
    if crc32fast::hash(bytes) != footer.index_crc {
        return Err(damaged("index", "a wrong checksum".into(), "the right one"));
    }
    let index = Index::from_bytes(bytes).filter(|i| i.records.len() as u64 == footer.records);
    let index = index.ok_or_else(|| damaged("index", "fields that do not fit".into(), "an index"))?;
    // Records follow each other; what stands between them is checked with the next one.
    let mut end = HEADER_LEN as u64;
    if footer.index_offset < end {
        return Err(damaged("footer", format!("an index at byte {}", footer.index_offset), "one behind the header"));
    }
    for (i, record) in index.records.iter().enumerate() {
        let next = record.offset.checked_add(record.len).filter(|next| *next <= footer.index_offset);
        end = match next.filter(|_| record.offset >= end) {
            Some(next) => next,
            None => return Err(damaged("index", format!("record {i} outside the records"), "one inside")),
        };
    }
    if crc32fast::hash(&map[end as usize..footer.index_offset as usize]) != index.tail {
        return Err(damaged("photos", "a wrong checksum".into(), "the right one"));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_with_a_record_ends_at_round_addresses() {
        let block = MAPPED_TOGETHER;
        let base = 7 * block + 0x3000;
        // The first block of addresses holds only what the mapping has of it.
        assert_eq!(mapped_with(0..1, base, 9 * block), 0..block - 0x3000);
        assert_eq!(mapped_with(block..block + 1, base, 9 * block), block - 0x3000..2 * block - 0x3000);
        // A record of a whole block at a round place in the file lies in two blocks of addresses.
        assert_eq!(mapped_with(block..2 * block, base, 9 * block), block - 0x3000..3 * block - 0x3000);
        assert_eq!(mapped_with(8 * block..9 * block, base, 9 * block), 8 * block - 0x3000..9 * block);
        assert_eq!(mapped_with(0..block, 7 * block, block), 0..block);
    }
}
