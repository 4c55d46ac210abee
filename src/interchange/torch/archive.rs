//! A `.pth` file since PyTorch 1.6: an archive with a pickle (`data.pkl`) and a file of raw numbers for each storage.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use tract_onnx::prelude::f16;
use zip::ZipArchive;

use super::machine::{self, Storage, StorageNumber, StorageView};

use super::state_dict::{MOST_NUMBERS, StateDict};
use crate::interchange::InterchangeError;
use crate::interchange::graph::array::{ConstantArray, product};

const DAMAGED: &str = "the file is damaged; download or save it again";

/// The pickle of a few hundred tensors has some 50 kB.
const MOST_PICKLE: u64 = 4 << 20;

/// True if the bytes begin as an archive does.
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// True if the bytes begin as `torch.save` wrote before version 1.6: with a pickled number of its own.
pub fn is_legacy(bytes: &[u8]) -> bool {
    bytes.get(2..).is_some_and(|tail| tail.starts_with(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"))
}

type TorchZip<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// # Errors
/// If the archive is none of PyTorch's, is damaged, or holds anything but tensors.
pub fn read(path: &Path, bytes: &[u8]) -> Result<StateDict, InterchangeError> {
    let not_ours = |found: String, help: &'static str| InterchangeError::Format {
        path: path.into(),
        found,
        expected: "a state dict".into(),
        help,
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|e| not_ours(format!("an archive that is damaged ({e})"), DAMAGED))?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    if names.iter().any(|name| name.contains("/code/")) {
        let help = "torch.jit.load it and save state_dict(), or export the network to ONNX";
        return Err(not_ours("a TorchScript program".into(), help));
    }
    let help = "give a .pth of torch.save(model.state_dict()), a .safetensors, .onnx or .tflite file";
    let pickle = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let pickle = pickle.ok_or_else(|| not_ours("an archive without PyTorch's data.pkl".into(), help))?.to_string();
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    if names.contains(&format!("{folder}byteorder")) {
        let order = entry(&mut archive, &format!("{folder}byteorder"), 16).map_err(|found| not_ours(found, DAMAGED))?;
        match &order[..] {
            b"little" => {}
            b"big" => {
                let help = "save it again on another machine";
                return Err(not_ours("a state dict of a big-endian machine".into(), help));
            }
            other => {
                let found = format!("the byte order `{}`", other.escape_ascii());
                return Err(not_ours(found, DAMAGED));
            }
        }
    }
    let program = entry(&mut archive, &pickle, MOST_PICKLE).map_err(|found| not_ours(found, DAMAGED))?;
    let views = machine::tensors(&program)
        .map_err(|found| not_ours(found, "save the numbers alone: torch.save(model.state_dict(), \"model.pth\")"))?;
    let mut numbers = ReadStorages { folder, storages: HashMap::new(), read: 0 };
    let mut dict = StateDict::default();
    for (name, view) in views.iter().filter(|(_, view)| view.storage.number != StorageNumber::Integer) {
        let wrong = |found: String| InterchangeError::tensor(path, name, found, "its numbers in the archive", DAMAGED);
        let storage = numbers.storage(&mut archive, &view.storage).map_err(wrong)?;
        numbers.count(storage.len()).map_err(wrong)?;
        let array = seen(view, &storage).ok_or_else(|| wrong(format!("a view of dimensions {:?}", view.dims)))?;
        dict.tensors.insert(name.clone(), array);
    }
    Ok(dict)
}

/// The bytes of one entry, `most` at most.
fn entry(archive: &mut TorchZip, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let file = archive.by_name(name).map_err(|e| format!("no readable entry {name} ({e})"))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| format!("an entry {name} that ends early ({e})"))?;
    if bytes.len() as u64 > most {
        return Err(format!("an entry {name} of more than {most} bytes"));
    }
    Ok(bytes)
}

/// The storages read so far: several tensors may look into one.
struct ReadStorages {
    folder: String,
    storages: HashMap<String, Rc<Vec<f32>>>,
    read: usize,
}

impl ReadStorages {
    fn count(&mut self, more: usize) -> Result<(), String> {
        self.read = self.read.saturating_add(more);
        if self.read > 2 * MOST_NUMBERS {
            return Err(format!("{} numbers, more than a network of this kind has", self.read));
        }
        Ok(())
    }

    fn storage(&mut self, archive: &mut TorchZip, storage: &Storage) -> Result<Rc<Vec<f32>>, String> {
        if let Some(known) = self.storages.get(&storage.key) {
            return Ok(known.clone());
        }
        self.count(storage.len)?;
        let width = if storage.number == StorageNumber::F64 { 8 } else { 4 - 2 * usize::from(is_half(storage.number)) };
        let name = format!("{}data/{}", self.folder, storage.key);
        let bytes = entry(archive, &name, (storage.len * width) as u64)?;
        if bytes.len() != storage.len * width {
            return Err(format!("{} bytes in {name} for {} numbers", bytes.len(), storage.len));
        }
        let values = Rc::new(decode(storage.number, &bytes));
        self.storages.insert(storage.key.clone(), values.clone());
        Ok(values)
    }
}

fn is_half(number: StorageNumber) -> bool {
    matches!(number, StorageNumber::F16 | StorageNumber::Bf16)
}

fn decode(number: StorageNumber, bytes: &[u8]) -> Vec<f32> {
    match number {
        StorageNumber::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        StorageNumber::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        StorageNumber::Bf16 => {
            bytes.as_chunks().0.iter().map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)).collect()
        }
        StorageNumber::F32 | StorageNumber::Integer => {
            bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        }
    }
}

/// The numbers that a view sees, in row-major order; `None` where it leaves its storage or repeats more than that
/// holds.
fn seen(view: &StorageView, storage: &[f32]) -> Option<ConstantArray> {
    let count = product(&view.dims)?;
    if count > storage.len() || view.dims.len() != view.strides.len() {
        return None;
    }
    let reach =
        view.dims.iter().zip(&view.strides).try_fold(view.offset, |reach, (&d, &stride)| {
            reach.checked_add(d.saturating_sub(1).checked_mul(stride)?)
        })?;
    if count > 0 && reach >= storage.len() {
        return None;
    }
    let mut data = Vec::with_capacity(count);
    let mut at = vec![0; view.dims.len()];
    for _ in 0..count {
        let index = at.iter().zip(&view.strides).fold(view.offset, |sum, (i, stride)| sum + i * stride);
        data.push(storage[index]);
        for axis in (0..at.len()).rev() {
            at[axis] += 1;
            if at[axis] < view.dims[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    ConstantArray::new(view.dims.clone(), data)
}
