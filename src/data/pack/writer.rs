//! Data set to pack, in bounded memory: a few images at a time are decoded, cleaned, scaled and appended.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::PackOptions;
use super::format::{Footer, HEADER_LEN, Index, IndexEntry, MAX_SPLITS, header, record_to_bytes};
use crate::data::annotation::Annotation;
use crate::data::error::DataError;
use crate::data::finding::Finding;
use crate::data::inspect::{Inspected, Inspector};
use crate::data::sample::Record;
use crate::data::source::DataSet;
use crate::data::split::SplitOptions;

/// What became of a data set in packing.
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
    /// Defects of labels and single images; [`crate::data::check()`] finds those between images too.
    pub findings: Vec<Finding>,
}

/// Writes the pack to a temporary file beside `path` and renames it when all is on disk. `progress` gets images done
/// and in all.
///
/// # Errors
/// If no image can be used or the file cannot be written; nothing is left behind then.
pub fn write_pack(
    dataset: &DataSet,
    path: &Path,
    options: &PackOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PackReport, DataError> {
    let temporary = Temporary::beside(path);
    let write_error = |error| DataError::Io { file: path.into(), action: "write the pack", error };
    let file = File::create(&temporary.0).map_err(write_error)?;
    let mut stream = Stream { file: BufWriter::with_capacity(1 << 20, file), written: 0 };
    stream.append(&header(0)).map_err(write_error)?;

    let lists = dataset.splits(&SplitOptions { val_share: options.val_share, seed: options.seed });
    if lists.len() > MAX_SPLITS {
        return Err(DataError::Source {
            file: dataset.root.clone(),
            found: format!("{} splits", lists.len()),
            expected: format!("at most {MAX_SPLITS}"),
            help: "remove image lists that are not needed".into(),
        });
    }
    let mut index = Index {
        fingerprint: dataset.fingerprint(),
        options: *options,
        classes: dataset.classes.clone(),
        splits: lists.iter().map(|l| l.name.clone()).collect(),
        records: Vec::new(),
    };
    let mut report = PackReport { records: 0, skipped: 0, objects: 0, bytes: 0, findings: dataset.findings.clone() };
    let inspector = Inspector::new(dataset);
    let total = dataset.annotations.len();
    // Two images per thread keep all threads busy while the results wait in order.
    let step = 2 * rayon::current_num_threads();
    for (chunk, start) in dataset.annotations.chunks(step).zip((0..).step_by(step)) {
        let prepared: Vec<Prepared> = chunk.par_iter().map(|a| prepare(a, &inspector, options)).collect();
        for (offset, prepared) in prepared.into_iter().enumerate() {
            let i = start + offset;
            report.findings.extend(prepared.findings);
            match prepared.record {
                None => report.skipped += 1,
                Some((bytes, objects)) => {
                    let member = |(bit, list): (usize, &crate::data::SplitList)| {
                        u64::from(list.members.binary_search(&i).is_ok()) << bit
                    };
                    index.records.push(IndexEntry {
                        offset: stream.written,
                        len: bytes.len() as u64,
                        crc: crc32fast::hash(&bytes),
                        splits: lists.iter().enumerate().map(member).sum(),
                    });
                    stream.append(&bytes).map_err(write_error)?;
                    report.objects += objects;
                }
            }
            progress(i + 1, total);
        }
    }
    report.records = index.records.len();
    if index.records.is_empty() {
        let first = report.findings.iter().map(|f| format!("; first of them: {}: {}", f.place, f.detail)).next();
        return Err(DataError::Source {
            file: dataset.root.clone(),
            found: format!("{total} images, none of which can be read{}", first.unwrap_or_default()),
            expected: "at least one photo".into(),
            help: "run `fieldtune check` on the data set".into(),
        });
    }
    report.bytes = stream.seal(&index).map_err(write_error)?;
    temporary.rename_to(path).map_err(write_error)?;
    Ok(report)
}

/// An image ready to be appended.
struct Prepared {
    /// Bytes of the record and its number of objects.
    record: Option<(Vec<u8>, usize)>,
    findings: Vec<Finding>,
}

fn prepare(annotation: &Annotation, inspector: &Inspector, options: &PackOptions) -> Prepared {
    let Inspected { image, cleaned } = inspector.inspect(annotation);
    let record = image.map(|image| {
        let record = Record {
            source: annotation.source.clone(),
            source_size: [image.width as u32, image.height as u32],
            image: image.bounded(options.max_side.max(1)),
            objects: cleaned.objects,
        };
        (record_to_bytes(&record), record.objects.len())
    });
    Prepared { record, findings: cleaned.findings }
}

/// The growing file.
struct Stream {
    file: BufWriter<File>,
    written: u64,
}

impl Stream {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Index, footer, and only then the header that says how long the file is. Returns that length.
    fn seal(mut self, index: &Index) -> io::Result<u64> {
        let bytes = index.to_bytes();
        let footer = Footer {
            index_offset: self.written,
            index_len: bytes.len() as u64,
            records: index.records.len() as u64,
            index_crc: crc32fast::hash(&bytes),
        };
        self.append(&bytes)?;
        self.append(&footer.to_bytes())?;
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        // The records are on disk before the header vouches for them.
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        let sealed: [u8; HEADER_LEN] = header(self.written);
        file.write_all(&sealed)?;
        file.sync_all()?;
        Ok(self.written)
    }
}

/// A file that goes away unless it is renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        remove_leftovers(path, &format!(".{name}."));
        Self(path.with_file_name(format!(".{name}.{}.tmp", std::process::id())))
    }

    fn rename_to(&self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The rename itself must survive a power cut; not every system can sync a folder.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
}

/// Removes what processes that are gone (a power cut) left beside `path`: packs are large and cards are small.
fn remove_leftovers(path: &Path, prefix: &str) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let processes = Path::new("/proc");
    if !processes.join("self").exists() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(prefix)?.strip_suffix(".tmp")?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !processes.join(pid.to_string()).exists()) {
            // If it cannot be removed, writing will say what is wrong with the folder.
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing to remove, and no one to tell if removing fails.
        let _ = fs::remove_file(&self.0);
    }
}
