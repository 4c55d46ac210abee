//! The file: a TFRecord an event. Events wait in memory for a while, to spare the card.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::event::{Summary, start, summary, version};
use super::message::MessageBytes;
use crate::data::masked_crc32c;

/// Bytes that may wait.
const WAITING: usize = 64 << 10;

/// An event file that is written.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

impl EventFile {
    /// A new file in `folder` for a run that begins or goes on at `step`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(folder: &Path, step: u64) -> io::Result<Self> {
        let time = now();
        let name = format!("events.out.tfevents.{}.fieldtune.{}", time as u64, std::process::id());
        let path = folder.join(name);
        let mut file = Self { file: File::create(&path)?, path, waiting: Vec::new() };
        file.add(&version(time));
        file.add(&start(time, step));
        file.flush()?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// If the disk refuses what has waited.
    pub fn write(&mut self, step: u64, values: &Summary) -> io::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.add(&summary(now(), step, values));
        if self.waiting.len() >= WAITING { self.flush() } else { Ok(()) }
    }

    /// A TFRecord: length and data, each with its masked CRC-32C.
    fn add(&mut self, message: &MessageBytes) {
        let data = message.as_bytes();
        let length = (data.len() as u64).to_le_bytes();
        self.waiting.extend(length);
        self.waiting.extend(masked_crc32c(&length).to_le_bytes());
        self.waiting.extend_from_slice(data);
        self.waiting.extend(masked_crc32c(data).to_le_bytes());
    }

    /// Hands over what waits. Records that the disk refuses are dropped: a file with half a record cannot be read behind it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn flush(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.file.write_all(&waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::RgbImage;

    #[test]
    fn records_are_framed_and_their_sums_hold() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path(), 7).unwrap();
        let image = RgbImage { width: 2, height: 1, pixels: vec![0; 6] };
        let values = Summary::default()
            .scalar("loss/<b>\u{1b}", Some(1.5))
            .scalar("none", None)
            .histogram("ratios", &[1e-3, 2e-3, f64::NAN])
            .png("photo", &crate::report::encode_png(&image).unwrap())
            .png("no photo", b"GIF89a");
        file.write(8, &values).unwrap();
        file.write(9, &Summary::default().scalar("nan", Some(f64::NAN))).unwrap();
        file.flush().unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let length: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
            let sum = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!(sum(at + 8), masked_crc32c(&length));
            let data = &bytes[at + 12..at + 12 + u64::from_le_bytes(length) as usize];
            assert_eq!(sum(at + 12 + data.len()), masked_crc32c(data));
            records.push(data.to_vec());
            at += 16 + data.len();
        }
        assert_eq!(records.len(), 3, "version, start and one summary; an empty summary is none");
        assert!(records[0].ends_with(b"brain.Event:2"));
        assert!(records[1].ends_with(&[0x10, 7, 0x3a, 2, 0x08, 1]), "{:?}", records[1]);
        let has = |word: &[u8]| records[2].windows(word.len()).any(|w| w == word);
        assert!(has(b"loss/<b> ") && has(b"ratios") && has(b"\x89PNG") && !has(b"none") && !has(b"GIF"));
    }
}
