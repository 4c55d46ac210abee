//! Error feedback (Karimireddy et al. 2019): what an encoding lost of an update is added to the next one.
//!
//! It lies on disk between rounds, as half floats. A node that is cut off after its round and asked again must not add the
//! loss twice: what was left before the last message is kept until the next message.

use crate::train::replace_file;
use anyhow::{Context, Result, bail};
use half::f16;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"FTLEFT1\n";

/// Far more than any network has.
const MOST_NAMES: usize = 4096;
const LONGEST: usize = 4096;

/// The losses, by the name of the array; empty where nothing was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Residual {
    /// The message whose answer left this.
    pub message: String,
    pub arrays: BTreeMap<String, Vec<f16>>,
}

impl Residual {
    /// Adds what was left of the array to `values`, as far as it fits.
    pub fn add_to(&self, name: &str, values: &mut [f32]) {
        if let Some(left) = self.arrays.get(name).filter(|left| left.len() == values.len()) {
            values.iter_mut().zip(left).for_each(|(v, l)| *v += l.to_f32());
        }
    }

    /// Remembers what `read` lacks of `wanted`.
    pub fn keep(&mut self, name: &str, wanted: &[f32], read: &[f32]) {
        let lost = |(w, r): (&f32, &f32)| f16::from_f32((w - r).clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
        self.arrays.insert(name.into(), wanted.iter().zip(read).map(lost).collect());
    }

    /// The losses left by the message before `message`, in the folder.
    ///
    /// # Errors
    /// If the file cannot be read. A damaged one is told and left out: it costs a little of one round.
    pub fn before(folder: &Path, message: &str) -> Result<Self> {
        let last = Self::read(&last_path(folder))?;
        if last.message == message { Self::read(&previous_path(folder)) } else { Ok(last) }
    }

    /// Keeps this as what its message left; what was left before it goes on lying beside.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let (last, previous) = (last_path(folder), previous_path(folder));
        if Self::read(&last)?.message != self.message
            && let Err(error) = fs::rename(&last, &previous)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("{}: cannot rename", last.display()));
        }
        let bytes = self.bytes();
        Ok(replace_file(&last, |path| fs::write(path, &bytes), |_| Ok(()))?)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let text = |body: &mut Vec<u8>, text: &str| {
            body.extend((text.len() as u32).to_le_bytes());
            body.extend(text.as_bytes());
        };
        text(&mut body, &self.message);
        body.extend((self.arrays.len() as u32).to_le_bytes());
        for (name, values) in &self.arrays {
            text(&mut body, name);
            body.extend((values.len() as u32).to_le_bytes());
            body.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    fn read(path: &Path) -> Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot read", path.display())),
        };
        Ok(Self::of_bytes(&bytes).unwrap_or_else(|error| {
            log::warn!("{}: {error}; what was lost of the last update stays lost", path.display());
            Self::default()
        }))
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let Some((crc, body)) = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<4>()) else {
            bail!("another kind of file");
        };
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            bail!("a wrong checksum");
        }
        let mut fields = ResidualFields { body };
        let message = fields.text()?;
        let mut arrays = BTreeMap::new();
        for _ in 0..fields.number(MOST_NAMES)? {
            let name = fields.text()?;
            let count = fields.number(bytes.len())?;
            let values = fields.take(2 * count)?;
            arrays.insert(name, values.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b)).collect());
        }
        Ok(Self { message, arrays })
    }
}

fn last_path(folder: &Path) -> PathBuf {
    folder.join("residual.bin")
}

fn previous_path(folder: &Path) -> PathBuf {
    folder.join("residual-before.bin")
}

/// The rest of a file's body.
struct ResidualFields<'a> {
    body: &'a [u8],
}

impl<'a> ResidualFields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.body.split_at_checked(count).context("a file that is cut off")?;
        self.body = rest;
        Ok(taken)
    }

    fn number(&mut self, most: usize) -> Result<usize> {
        let bytes = self.take(4)?.first_chunk::<4>().context("a file that is cut off")?;
        let number = u32::from_le_bytes(*bytes) as usize;
        if number > most { bail!("a count of {number}, expected at most {most}") } else { Ok(number) }
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number(LONGEST)?;
        Ok(String::from_utf8(self.take(length)?.to_vec())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(message: &str, value: f32) -> Residual {
        let mut residual = Residual { message: message.into(), ..Residual::default() };
        residual.keep("w", &[value, 1.0], &[0.0, 1.0]);
        residual
    }

    #[test]
    fn a_message_asked_again_finds_what_was_left_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(Residual::before(folder, "a").unwrap(), Residual::default());
        left("a", 1.0).save(folder).unwrap();
        assert_eq!(Residual::before(folder, "a").unwrap(), Residual::default());
        assert_eq!(Residual::before(folder, "b").unwrap(), left("a", 1.0));
        for value in [2.0, 3.0] {
            left("b", value).save(folder).unwrap();
            assert_eq!(Residual::before(folder, "b").unwrap(), left("a", 1.0));
        }
        assert_eq!(Residual::before(folder, "c").unwrap(), left("b", 3.0));
    }

    #[test]
    fn a_damaged_file_is_left_out_wherever_it_is_damaged() {
        let whole = left("a", 0.5).bytes();
        assert_eq!(Residual::of_bytes(&whole).unwrap(), left("a", 0.5));
        for i in 0..whole.len() {
            assert!(Residual::of_bytes(&whole[..i]).is_err());
            let mut flipped = whole.clone();
            flipped[i] ^= 1;
            assert!(Residual::of_bytes(&flipped).is_err(), "byte {i}");
        }
    }

    #[test]
    fn nothing_is_lost_over_many_rounds() {
        // The sum of all that is sent comes to the sum that was wanted, up to the rest that is left.
        let (mut residual, mut sent) = (Residual::default(), 0f32);
        for _ in 0..50 {
            let mut wanted = [0.1f32, 0.0];
            residual.add_to("w", &mut wanted);
            let read = [wanted[0].round(), 0.0];
            residual.keep("w", &wanted, &read);
            sent += read[0];
        }
        assert!((sent - 5.0).abs() <= 0.6, "{sent}");
    }
}
