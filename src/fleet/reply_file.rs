//! An answer on disk, from the moment it was computed until the server has all of it.
//!
//! The objects' bytes one after the other, then a trailer that lists them, its checksum and its length. The file is
//! replaced in one step, so it is whole or not there; each object is checked against its id when it is read.

use super::wire::{FleetMessage, ObjectId, ObjectSink, ObjectTree, Outgoing};
use crate::train::replace_file;
use anyhow::{Context, Result, bail};
use prost::Message as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Last bytes of a file.
const MAGIC: &[u8; 8] = b"FTREPLY1";

/// Checksum, length and [`MAGIC`].
const ENDING: u64 = 4 + 8 + 8;

/// More than the trailer of the largest answer.
const LONGEST_TRAILER: u64 = 16 << 20;

/// The largest object that is sent.
const LARGEST_OBJECT: u64 = 8 << 20;

#[derive(Clone, PartialEq, prost::Message)]
struct Trailer {
    #[prost(message, optional, tag = "1")]
    message: Option<FleetMessage>,
    #[prost(message, optional, tag = "2")]
    tree: Option<ObjectTree>,
    #[prost(double, tag = "3")]
    seconds: f64,
    #[prost(message, repeated, tag = "4")]
    objects: Vec<StoredReply>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredReply {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(uint64, tag = "2")]
    length: u64,
}

/// An answer that lies in a file.
#[derive(Debug)]
pub struct ReplyFile {
    path: PathBuf,
    pub outgoing: Outgoing,
    /// Seconds that the work took.
    pub seconds: f64,
    /// The place of each object, and its length.
    objects: Vec<(ObjectId, u64, u64)>,
}

impl ReplyFile {
    /// Writes an answer; `make` gives its objects to the sink and takes `seconds` for the work into account itself.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(
        path: &Path,
        seconds: f64,
        make: impl FnOnce(&mut ObjectSink) -> io::Result<Outgoing>,
    ) -> Result<Self> {
        let mut kept = None;
        let write = |temporary: &Path| {
            let mut file = BufWriter::new(File::create(temporary)?);
            let mut objects: Vec<(ObjectId, u64, u64)> = Vec::new();
            let mut end = 0;
            let outgoing = make(&mut |id, bytes| {
                let length = bytes.len() as u64;
                file.write_all(bytes)?;
                objects.push((id.clone(), end, length));
                end += length;
                Ok(())
            })?;
            let stored = objects.iter().map(|(id, _, length)| StoredReply { id: id.as_str().into(), length: *length });
            let trailer = Trailer {
                message: Some(outgoing.message.clone()),
                tree: Some(outgoing.tree.clone()),
                seconds,
                objects: stored.collect(),
            };
            let trailer = trailer.encode_to_vec();
            file.write_all(&trailer)?;
            file.write_all(&crc32fast::hash(&trailer).to_le_bytes())?;
            file.write_all(&(trailer.len() as u64).to_le_bytes())?;
            file.write_all(MAGIC)?;
            file.flush()?;
            kept = Some((outgoing, objects));
            Ok(())
        };
        replace_file(path, write, |_| Ok(()))?;
        let (outgoing, objects) = kept.expect("written, or an error came back");
        Ok(Self { path: path.into(), outgoing, seconds, objects })
    }

    /// The answer in a file; `None` if there is none, or a damaged one, which is told.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot open", path.display())),
        };
        match Self::parse(path, &mut file) {
            Ok(reply) => Ok(Some(reply)),
            Err(error) => {
                log::warn!("{}: {error:#}; the round is worked on again", path.display());
                Ok(None)
            }
        }
    }

    fn parse(path: &Path, file: &mut File) -> Result<Self> {
        let size = file.metadata()?.len();
        let at = size.checked_sub(ENDING).context("a kept answer that is cut off")?;
        file.seek(SeekFrom::Start(at))?;
        let (mut crc, mut length, mut magic) = ([0; 4], [0; 8], [0; 8]);
        file.read_exact(&mut crc)?;
        file.read_exact(&mut length)?;
        file.read_exact(&mut magic)?;
        let length = u64::from_le_bytes(length);
        if magic != *MAGIC || length > LONGEST_TRAILER.min(at) {
            bail!("a kept answer that is damaged");
        }
        let body = at - length;
        file.seek(SeekFrom::Start(body))?;
        let mut trailer = Vec::new();
        Read::by_ref(file).take(length).read_to_end(&mut trailer)?;
        if crc32fast::hash(&trailer) != u32::from_le_bytes(crc) {
            bail!("a kept answer that is damaged");
        }
        let trailer = Trailer::decode(&trailer[..])?;
        let (Some(message), Some(tree)) = (trailer.message, trailer.tree) else {
            bail!("a kept answer without a message")
        };
        let (mut objects, mut end) = (Vec::with_capacity(trailer.objects.len()), 0_u64);
        for StoredReply { id, length } in trailer.objects {
            let id = ObjectId::parse(&id).context("a kept answer with an object without an id")?;
            objects.push((id, end, length));
            end = end.checked_add(length).filter(|end| *end <= body).context("a kept answer that is cut off")?;
        }
        Ok(Self { path: path.into(), outgoing: Outgoing { message, tree }, seconds: trailer.seconds, objects })
    }

    /// Every object once, children before what names them.
    pub fn ids(&self) -> impl Iterator<Item = &ObjectId> {
        self.objects.iter().map(|(id, ..)| id)
    }

    /// Bytes of all objects.
    pub fn byte_len(&self) -> u64 {
        self.objects.iter().map(|(_, _, length)| length).sum()
    }

    /// Reads an object's bytes.
    ///
    /// # Errors
    /// If there is none, the file cannot be read, or the bytes are not those that the id promises.
    pub fn object(&self, id: &ObjectId) -> Result<Vec<u8>> {
        let place = || format!("{}: object {id}", self.path.display());
        let (_, start, length) = self.objects.iter().find(|(own, ..)| own == id).with_context(place)?;
        let mut bytes = Vec::new();
        let mut file = File::open(&self.path).with_context(place)?;
        file.seek(SeekFrom::Start(*start)).with_context(place)?;
        file.take((*length).min(LARGEST_OBJECT)).read_to_end(&mut bytes).with_context(place)?;
        if ObjectId::of(&bytes) != *id {
            bail!("{}: its bytes were damaged on disk", place());
        }
        Ok(bytes)
    }

    /// Removes the file.
    ///
    /// # Errors
    /// If that fails.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("{}: cannot remove", self.path.display()))
    }
}
