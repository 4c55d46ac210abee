//! Data set to pack, in bounded memory: a few images at a time are decoded, cleaned, scaled and appended.

use std::path::Path;

use rayon::prelude::*;

use super::format::{Index, IndexEntry, MAX_SPLITS, record_to_bytes};
use super::growing::{Growing, PackedPhoto};
use super::notes::PackNotes;
use super::{PackAs, PackOptions, jpeg};
use crate::data::annotation::Annotation;
use crate::data::check::{Report, Survey};
use crate::data::clean::Cleaned;
use crate::data::error::DataError;
use crate::data::inspect::{Inspector, open};
use crate::data::sample::Record;
use crate::data::seen::OpenedPhoto;
use crate::data::source::DataSet;
use crate::data::split::{SplitList, SplitOptions};

/// The report of packing a data set.
#[derive(Clone, Debug)]
pub struct PackReport {
    /// Images packed.
    pub records: usize,
    /// Images left out because they cannot be read.
    pub skipped: usize,
    /// Usable objects packed.
    pub objects: usize,
    /// Size of the pack.
    pub bytes: u64,
    /// All that was found, as [`crate::data::check()`] finds it, sizes on the network's input aside.
    pub report: Report,
}

/// Writes the pack under another name beside its place and renames it when all is on disk. It goes on from what a
/// killed process left of the same pack. `progress` gets images done and in all.
///
/// # Errors
/// If no image can be used or the file cannot be written; nothing is left behind then.
pub fn write_pack(
    dataset: &DataSet,
    path: &Path,
    options: &PackOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PackReport, DataError> {
    let write_error = |error| DataError::Io { file: path.into(), action: "write the pack", error };
    let split_options = SplitOptions { val_share: options.val_share, seed: options.seed };
    let lists = dataset.splits(&split_options);
    if lists.len() > MAX_SPLITS {
        return Err(DataError::Source {
            file: dataset.root.clone(),
            found: format!("{} splits", lists.len()),
            expected: format!("at most {MAX_SPLITS}"),
            help: "remove image lists that are not needed".into(),
        });
    }
    let fingerprint = dataset.fingerprint();
    let (mut growing, earlier) = Growing::open(path, &fingerprint, options).map_err(write_error)?;
    let mut tally = PackTally { lists: &lists, records: Vec::new(), skipped: 0, objects: 0 };
    let mut survey = Survey::new(dataset, &split_options);
    let inspector = Inspector::new(dataset);
    let total = dataset.annotations.len();
    for (i, (annotation, packed)) in dataset.annotations.iter().zip(&earlier).enumerate() {
        survey.add(annotation, packed.entry.is_some(), &mut inspector.judge(annotation, &packed.seen));
        tally.add(i, packed);
    }
    let done = earlier.len().min(total);
    drop(earlier);
    if done > 0 {
        log::info!("{}: packing goes on, {done} of {total} photos were packed", path.display());
        progress(done, total);
    }
    // Two images per thread keep all threads busy while the results wait in order.
    let step = 2 * rayon::current_num_threads();
    let rest = &dataset.annotations[done..];
    for (chunk, start) in rest.chunks(step).zip((done..).step_by(step)) {
        let prepared: Vec<Prepared> = chunk.par_iter().map(|a| prepare(a, &inspector, options)).collect();
        for (i, Prepared { seen, record, mut cleaned }) in (start..).zip(prepared) {
            survey.add(&dataset.annotations[i], record.is_some(), &mut cleaned);
            let record = record.as_ref().map(|(bytes, photo)| (bytes.as_slice(), *photo));
            let packed = growing.add(seen, record, cleaned.objects.len()).map_err(write_error)?;
            tally.add(i, &packed);
            progress(i + 1, total);
        }
    }
    let report = survey.finish(None);
    let PackTally { records, skipped, objects, .. } = tally;
    if records.is_empty() {
        let first = report.findings.iter().map(|f| format!("; first of them: {}: {}", f.place, f.detail)).next();
        return Err(DataError::Source {
            file: dataset.root.clone(),
            found: format!("{total} images, none of which can be read{}", first.unwrap_or_default()),
            expected: "at least one photo".into(),
            help: "run `fieldtune check` on the data set".into(),
        });
    }
    let index = Index {
        fingerprint,
        options: *options,
        classes: dataset.classes.clone(),
        splits: lists.iter().map(|l| l.name.clone()).collect(),
        notes: PackNotes::of(&report).to_text(),
        // Known when the file is sealed.
        tail: 0,
        records,
    };
    let count = index.records.len();
    let bytes = growing.seal(index, path).map_err(write_error)?;
    Ok(PackReport { records: count, skipped, objects, bytes, report })
}

/// The part that was packed so far.
struct PackTally<'a> {
    lists: &'a [SplitList],
    records: Vec<IndexEntry>,
    skipped: usize,
    objects: usize,
}

impl PackTally<'_> {
    /// Photo `i` of the set.
    fn add(&mut self, i: usize, packed: &PackedPhoto) {
        let Some(entry) = packed.entry else {
            self.skipped += 1;
            return;
        };
        let lists = self.lists.iter().enumerate();
        let splits = lists.map(|(bit, list)| u64::from(list.members.binary_search(&i).is_ok()) << bit).sum();
        self.records.push(IndexEntry { splits, ..entry });
        self.objects += packed.objects;
    }
}

/// An image ready to be appended.
struct Prepared {
    seen: OpenedPhoto,
    /// Bytes of the record and the CRC-32 of its pixels.
    record: Option<(Vec<u8>, u32)>,
    cleaned: Cleaned,
}

fn prepare(annotation: &Annotation, inspector: &Inspector, options: &PackOptions) -> Prepared {
    let (image, seen) = open(annotation);
    let cleaned = inspector.judge(annotation, &seen);
    let record = image.map(|image| {
        let record = Record {
            source: annotation.source.clone(),
            source_size: seen.size(),
            image: image.bounded(options.max_side.max(1)),
            objects: cleaned.objects.clone(),
        };
        let photo = crc32fast::hash(&record.image.pixels);
        (encoded(&record, annotation, options.photos), photo)
    });
    Prepared { seen, record, cleaned }
}

/// The record's bytes. A photo that JPEG cannot hold stays pixels.
fn encoded(record: &Record, annotation: &Annotation, photos: PackAs) -> Vec<u8> {
    if photos == PackAs::Jpeg {
        // A small photo of another kind, or one that was turned, has another length or does not decode to these pixels.
        let most = record.image.pixels.len() as u64 / 2;
        let original = annotation.stored.read(most).unwrap_or_default();
        if let Ok(bytes) = jpeg::encode(&record.image, &original) {
            return record_to_bytes(record, PackAs::Jpeg, &bytes);
        }
    }
    record_to_bytes(record, PackAs::Pixels, &record.image.pixels)
}
