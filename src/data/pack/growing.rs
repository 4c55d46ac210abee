//! A pack while it grows, under a name of its own beside its place. A process goes on from what a killed one left.
//!
//! | part | content |
//! |---|---|
//! | beginning | length u32, text (JSON: fingerprint, options, program), CRC-32 of the text u32 |
//! | head | length of its text u32, length of the record u64 (0: none), CRC-32 of the record u32, CRC-32 of its pixels u32, object count u32, text (JSON: what opening the photo showed), CRC-32 of all before u32 |
//!
//! Heads and records follow each other in the order of the set's photos. Going on reads all of them, and ends at the
//! first that is not whole. The file is locked while it grows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::PackOptions;
use super::bytes::PackFields;
use super::format::{Footer, HEADER_LEN, Index, IndexEntry, VERSION, header, read_header};
use crate::data::seen::OpenedPhoto;

/// More than the text of a head or a beginning has.
const MOST_TEXT: u32 = 1 << 20;
/// Fields of a head before its text.
const HEAD_LEN: usize = 24;

/// A photo that was packed.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedPhoto {
    pub seen: OpenedPhoto,
    /// The place of its record, if it could be used; in no split yet.
    pub entry: Option<IndexEntry>,
    pub objects: usize,
}

/// The growing file.
pub struct Growing {
    stream: BufWriter<File>,
    written: u64,
    /// Of what was written since the last record, or the header.
    gap: crc32fast::Hasher,
    path: PathBuf,
}

/// True if a file is half a pack that no process is writing: by its name, its header, and its lock.
pub fn is_partial(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if !name.starts_with('.') || !name.ends_with(".part") {
        return false;
    }
    let Ok(mut file) = File::open(path) else { return false };
    let mut head = [0; HEADER_LEN];
    file.read_exact(&mut head).is_ok() && head == header(0) && file.try_lock().is_ok()
}

/// The name that a pack has until it is whole.
fn partial_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

/// The photos to pack and their form, in the order of the beginning.
fn beginning(fingerprint: &[u8; 32], options: &PackOptions) -> Vec<u8> {
    let hex: String = fingerprint.iter().map(|b| format!("{b:02x}")).collect();
    let options = format!("{options:?}");
    let text = json!({"set": hex, "options": options, "program": env!("CARGO_PKG_VERSION"), "format": VERSION});
    let text = text.to_string().into_bytes();
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend(&text);
    bytes.extend(crc32fast::hash(&text).to_le_bytes());
    bytes
}

impl Growing {
    /// Opens what an ended process left of this pack, or begins anew. Returns the photos that are packed already.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(path: &Path, fingerprint: &[u8; 32], options: &PackOptions) -> io::Result<(Self, Vec<PackedPhoto>)> {
        remove_leftovers(path);
        let part = partial_path(path);
        let beginning = beginning(fingerprint, options);
        let open = |path: &Path| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open(&part)?;
        // Another process packs the same, or has sealed the file just now: this one takes a name of its own.
        if file.try_lock().is_err() || is_sealed(&mut file) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let own = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
            return Self::begin(open(&own)?, own, &beginning).map(|growing| (growing, Vec::new()));
        }
        let mut gap = crc32fast::Hasher::new();
        let (packed, whole) = read_back(&mut file, &beginning, &mut gap)?;
        if packed.is_empty() {
            return Self::begin(file, part, &beginning).map(|growing| (growing, packed));
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { stream: BufWriter::with_capacity(1 << 20, file), written: whole, gap, path: part }, packed))
    }

    fn begin(mut file: File, path: PathBuf, beginning: &[u8]) -> io::Result<Self> {
        file.set_len(0)?;
        file.rewind()?;
        let gap = crc32fast::Hasher::new();
        let mut growing = Self { stream: BufWriter::with_capacity(1 << 20, file), written: 0, gap, path };
        growing.append(&header(0))?;
        growing.append_between(beginning)?;
        Ok(growing)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Appends what is no record.
    fn append_between(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.gap.update(bytes);
        self.append(bytes)
    }

    /// Appends the next photo of the set; `record` is its bytes and the CRC-32 of its pixels, if it can be used.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, seen: OpenedPhoto, record: Option<(&[u8], u32)>, objects: usize) -> io::Result<PackedPhoto> {
        let text = seen.to_text();
        let (bytes, photo) = record.unwrap_or_default();
        let crc = crc32fast::hash(bytes);
        let mut head = Vec::with_capacity(HEAD_LEN + text.len() + 4);
        head.extend((text.len() as u32).to_le_bytes());
        head.extend((bytes.len() as u64).to_le_bytes());
        head.extend(crc.to_le_bytes());
        head.extend(photo.to_le_bytes());
        head.extend((objects as u32).to_le_bytes());
        head.extend(text.as_bytes());
        head.extend(crc32fast::hash(&head).to_le_bytes());
        self.append_between(&head)?;
        let (offset, len) = (self.written, bytes.len() as u64);
        self.append(bytes)?;
        let entry = record.map(|_| {
            let gap = std::mem::take(&mut self.gap).finalize();
            IndexEntry { offset, len, crc, photo, gap, splits: 0 }
        });
        Ok(PackedPhoto { seen, entry, objects })
    }

    /// Index, footer, and only then the header that says how long the file is; then the file gets its place. Returns
    /// its length.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn seal(mut self, mut index: Index, path: &Path) -> io::Result<u64> {
        index.tail = std::mem::take(&mut self.gap).finalize();
        let bytes = index.to_bytes();
        let footer = Footer {
            index_offset: self.written,
            index_len: bytes.len() as u64,
            records: index.records.len() as u64,
            index_crc: crc32fast::hash(&bytes),
        };
        self.append(&bytes)?;
        self.append(&footer.to_bytes())?;
        self.stream.flush()?;
        let file = self.stream.get_mut();
        // The records are on disk before the header vouches for them.
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        let sealed: [u8; HEADER_LEN] = header(self.written);
        file.write_all(&sealed)?;
        file.sync_all()?;
        fs::rename(&self.path, path)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The rename itself must survive a power cut; not every system can sync a folder.
        if cfg!(unix) {
            File::open(folder)?.sync_all()?;
        }
        Ok(self.written)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // After the rename there is nothing to remove, and no one to tell if removing fails.
        let _ = fs::remove_file(&self.path);
    }
}

/// True if the header of a file says that it is whole.
fn is_sealed(file: &mut File) -> bool {
    let mut head = [0; HEADER_LEN];
    let read = file.rewind().and_then(|()| file.read_exact(&mut head));
    read.is_ok() && read_header(&head).is_some_and(|(_, len, _)| len != 0)
}

/// The photos of a file that begins like this, and where the last whole one ends; `gap` is then that of what follows
/// the last record.
fn read_back(file: &mut File, beginning: &[u8], gap: &mut crc32fast::Hasher) -> io::Result<(Vec<PackedPhoto>, u64)> {
    let len = file.metadata()?.len();
    file.rewind()?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut start = vec![0; HEADER_LEN + beginning.len()];
    let mut at = start.len() as u64;
    let same = reader.read_exact(&mut start).is_ok() && start[..HEADER_LEN] == header(0);
    if !same || start[HEADER_LEN..] != *beginning {
        return Ok((Vec::new(), 0));
    }
    let mut packed = Vec::new();
    gap.update(beginning);
    // Bytes behind the last whole photo are left out.
    let mut ahead = gap.clone();
    while let Some((photo, end)) = read_photo(&mut reader, at, len, &mut ahead) {
        packed.push(photo);
        at = end;
        *gap = ahead.clone();
    }
    Ok((packed, at))
}

/// The photo whose head begins at `at`, and where it ends; `None` if it is not whole.
fn read_photo(
    reader: &mut impl Read,
    at: u64,
    file_len: u64,
    gap: &mut crc32fast::Hasher,
) -> Option<(PackedPhoto, u64)> {
    let mut head = vec![0; HEAD_LEN];
    reader.read_exact(&mut head).ok()?;
    let mut fields = PackFields(&head);
    let (text_len, len) = (fields.u32()?, fields.u64()?);
    let (crc, photo, objects) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let offset = at + HEAD_LEN as u64 + u64::from(text_len) + 4;
    let end = offset.checked_add(len)?;
    if text_len > MOST_TEXT || end > file_len {
        return None;
    }
    head.resize(HEAD_LEN + text_len as usize, 0);
    reader.read_exact(&mut head[HEAD_LEN..]).ok()?;
    let mut check = [0; 4];
    reader.read_exact(&mut check).ok()?;
    if u32::from_le_bytes(check) != crc32fast::hash(&head) {
        return None;
    }
    gap.update(&head);
    gap.update(&check);
    let seen = OpenedPhoto::from_text(std::str::from_utf8(&head[HEAD_LEN..]).ok()?)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = [0; 1 << 14];
    let mut left = len;
    while left > 0 {
        let count = piece.len().min(left.try_into().unwrap_or(usize::MAX));
        reader.read_exact(&mut piece[..count]).ok()?;
        hasher.update(&piece[..count]);
        left -= count as u64;
    }
    if hasher.finalize() != crc {
        return None;
    }
    let entry = (len > 0).then(|| {
        let gap = std::mem::take(gap).finalize();
        IndexEntry { offset, len, crc, photo, gap, splits: 0 }
    });
    Some((PackedPhoto { seen, entry, objects: objects as usize }, end))
}

/// Removes what processes that are gone left beside `path` under names of their own: packs are large and cards are
/// small.
fn remove_leftovers(path: &Path) {
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let processes = Path::new("/proc");
    if !processes.join("self").exists() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(&prefix)?.strip_suffix(".tmp")?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !processes.join(pid.to_string()).exists()) {
            // If it cannot be removed, writing will say what is wrong with the folder.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(width: u32) -> OpenedPhoto {
        let size = [width, 10];
        OpenedPhoto::Photo { size, stored_size: size, orientation: 1, invalid_orientation: None, truncated: None }
    }

    /// Leaves a growing file as a killed process does.
    fn kill(mut growing: Growing) {
        growing.stream.flush().expect("writes");
        // Neither dropped nor sealed; only the lock goes with the process.
        growing.stream.get_ref().unlock().expect("unlocks");
        std::mem::forget(growing);
    }

    #[test]
    fn what_a_killed_process_left_is_gone_on_from_up_to_the_first_fault() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("set.pack");
        let options = PackOptions::default();
        let open = |set: u8, options: &PackOptions| Growing::open(&path, &[set; 32], options).expect("opens");
        let (mut growing, packed) = open(7, &options);
        assert_eq!(packed, []);
        let failed = OpenedPhoto::Failed { truncated: false, detail: "no picture".into() };
        let first = growing.add(seen(1), Some((b"record one", 5)), 2).expect("adds");
        let second = growing.add(failed, None, 0).expect("adds");
        let third = growing.add(seen(3), Some((b"the third record", 6)), 1).expect("adds");
        kill(growing);
        let part = partial_path(&path);
        let bytes = fs::read(&part).expect("is left");
        let entry = first.entry.expect("a record");
        assert_eq!(&bytes[entry.offset as usize..][..entry.len as usize], b"record one");

        let (growing, packed) = open(7, &options);
        assert_eq!(packed, [first.clone(), second.clone(), third]);
        kill(growing);
        // A power cut may lose the end, or leave other bytes there.
        for (bytes, left) in [
            (bytes[..bytes.len() - 1].to_vec(), 2),
            ([&bytes[..bytes.len() - 3], &b"zzz"[..]].concat(), 2),
            ([&bytes[..], &[0xff; 300][..]].concat(), 3),
            (bytes[..40].to_vec(), 0),
        ] {
            fs::write(&part, &bytes).expect("writes");
            let (growing, packed) = open(7, &options);
            assert_eq!(packed.len(), left);
            assert_eq!(packed.get(1), (left > 1).then_some(&second));
            kill(growing);
        }
        fs::write(&part, &bytes).expect("writes");
        for (set, options) in [(8, options), (7, PackOptions { max_side: 9, ..options })] {
            assert_eq!(open(set, &options).1, [], "another set, or other options");
            fs::write(&part, &bytes).expect("writes");
        }
    }

    #[test]
    fn two_processes_do_not_write_one_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("set.pack");
        let (first, _) = Growing::open(&path, &[0; 32], &PackOptions::default()).expect("opens");
        let (second, _) = Growing::open(&path, &[0; 32], &PackOptions::default()).expect("opens");
        assert_ne!(first.path, second.path);
        drop((first, second));
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0, "nothing is left of what failed");
    }
}
