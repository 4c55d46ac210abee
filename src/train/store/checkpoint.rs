//! A run on disk: one safetensors file with every tensor of the state, and the rest as TOML in its header.
//!
//! A power cut leaves either the old state or the new one, and the one before is kept as `previous.ckpt`. Checksums
//! tell a damaged file from a sound one. TOML, because its numbers come back bit for bit: JSON readers are commonly
//! off by a last digit, and a resumed run would not be the same run.

use super::atomic_file;
use super::header::{Header, VERSION};
use super::header_check;
use super::saved_tensors::SavedTensors;
use crate::boxes::ScoreFunction;
use crate::model::{ConvWeights, Ssd};
use crate::ops;
use crate::optim::{InputMean, StateVec};
use crate::train::error::TrainError;
use crate::train::recipe::LossKind;
use crate::train::state::TrainState;
use half::bf16;
use safetensors::SafeTensorError;
use safetensors::View;
use safetensors::tensor::Dtype;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::Path;

/// Key of the header in the file's metadata: its CRC-32 in hexadecimal digits, a line end, TOML.
const HEADER: &str = "fieldtune";

/// Name of the checkpoint before the last.
pub const PREVIOUS: &str = "previous.ckpt";

/// The fields that the header of any version has.
#[derive(Default, Deserialize)]
struct Version {
    version: u32,
}

/// The way out where a checkpoint is damaged.
fn way_out(path: &Path) -> &'static str {
    match path.file_name() {
        Some(name) if name == PREVIOUS => "resume from last.ckpt beside it, or start anew",
        _ => "resume from previous.ckpt beside it (fieldtune train --resume RUN/weights/previous.ckpt), or start anew",
    }
}

/// A checkpoint that was read and found sound.
pub struct Checkpoint {
    pub header: Header,
    file: SavedTensors,
}

/// A tensor of the state that is copied only while it is written: a second copy of everything would not fit a small
/// board.
struct Lazy<'a> {
    shape: [usize; 1],
    dtype: Dtype,
    bytes: Box<dyn Fn() -> Vec<u8> + 'a>,
}

impl<'a> Lazy<'a> {
    fn new(len: usize, bytes: impl Fn() -> Vec<u8> + 'a) -> Self {
        Self { shape: [len], dtype: Dtype::F32, bytes: Box::new(bytes) }
    }

    fn slice(values: &'a [f32]) -> Self {
        Self::new(values.len(), || bytes(values))
    }

    fn state(numbers: &'a StateVec) -> Self {
        match numbers {
            StateVec::F32(numbers) => Self::slice(numbers),
            StateVec::Bf16(numbers) => {
                let bytes = || numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                Self { shape: [numbers.len()], dtype: Dtype::BF16, bytes: Box::new(bytes) }
            }
        }
    }
}

impl View for &Lazy<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned((self.bytes)())
    }

    fn data_len(&self) -> usize {
        self.shape[0] * self.dtype.bitsize() / 8
    }
}

/// Every tensor of the state by name.
fn tensors(state: &TrainState) -> BTreeMap<String, Lazy<'_>> {
    let mut all = BTreeMap::new();
    for (i, layer) in state.model.layers.iter().enumerate() {
        let [weight, bias] = layer.sizes();
        all.insert(format!("weight.{i}"), Lazy::new(weight, || ops::read(&layer.weight.val(), bytes)));
        all.insert(format!("bias.{i}"), Lazy::new(bias, || ops::read(&layer.bias.val(), bytes)));
        all.insert(format!("scale.{i}"), Lazy::new(bias, || layer.with_scale(bytes)));
        for (part, slot) in ["weight", "bias"].iter().zip(&state.optimizer.layers[i].slots) {
            all.insert(format!("first.{part}.{i}"), Lazy::state(&slot.first));
            all.insert(format!("second.{part}.{i}"), Lazy::state(&slot.second));
        }
        if let Some(ema) = &state.ema {
            all.insert(format!("lag.weight.{i}"), Lazy::state(&ema.lags[2 * i]));
            all.insert(format!("lag.bias.{i}"), Lazy::state(&ema.lags[2 * i + 1]));
        }
        all.insert(format!("mean.{i}"), Lazy::slice(&state.means[i].mean));
    }
    all
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

impl Checkpoint {
    /// Writes the state to `path`, keeping the file that was there as `previous.ckpt` beside it.
    ///
    /// # Errors
    /// If the disk refuses; the file that was there is untouched then.
    pub fn save(path: &Path, state: &TrainState, header: Header) -> Result<(), TrainError> {
        let tensors = tensors(state);
        let mut crc = crc32fast::Hasher::new();
        tensors.values().for_each(|t| crc.update(&t.data()));
        let header = Header {
            crc32: crc.finalize(),
            progress: state.progress.clone(),
            layer_steps: state.optimizer.layers.iter().map(|l| l.steps).collect(),
            watchdog: state.watchdog.clone(),
            ..header
        };
        let text = toml::to_string(&header).expect("a header has only keys that TOML can hold");
        let text = format!("{:08x}\n{text}", crc32fast::hash(text.as_bytes()));
        let metadata = HashMap::from([(HEADER.into(), text)]);
        let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        atomic_file::replace(
            path,
            |temporary| {
                safetensors::serialize_to_file(views, Some(metadata), temporary).map_err(|e| match e {
                    SafeTensorError::IoError(error) => error,
                    other => std::io::Error::other(other),
                })
            },
            |path| atomic_file::keep_as(path, &path.with_file_name(PREVIOUS)),
        )
    }

    /// Reads and verifies a checkpoint.
    ///
    /// # Errors
    /// If it cannot be read, is something else, of another version, cut off or damaged.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let bad = |found: String, expected: &str, help: &str| TrainError::Checkpoint {
            file: path.into(),
            found,
            expected: expected.into(),
            help: help.into(),
        };
        let previous = way_out(path);
        let file = SavedTensors::open(path).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => {
                bad(format!("not a whole safetensors file ({error})"), "a fieldtune checkpoint", previous)
            }
            _ => TrainError::io(path, "read the checkpoint")(error),
        })?;
        let text = file.metadata.get(HEADER).ok_or_else(|| {
            bad(
                "a safetensors file of another program".into(),
                "a fieldtune checkpoint",
                "give a run's weights/last.ckpt",
            )
        })?;
        let (expected, text) = text.split_once('\n').unwrap_or_default();
        let crc = format!("{:08x}", crc32fast::hash(text.as_bytes()));
        if crc != expected {
            return Err(bad(format!("header checksum {crc}"), expected, previous));
        }
        let version: Version = toml::from_str(text).unwrap_or_default();
        if version.version != VERSION {
            let help = "resume with the program that wrote it, or start anew";
            return Err(bad(
                format!("a checkpoint of version {}", version.version),
                &format!("version {VERSION}"),
                help,
            ));
        }
        let mut header: Header = toml::from_str(text)
            .map_err(|e| bad(format!("a header that cannot be read ({})", e.message()), "a whole header", previous))?;
        if header.recipe.loss == LossKind::Focal {
            // Older programs wrote no score function: the loss told.
            header.network.convention.scores = ScoreFunction::Sigmoid;
        }
        let (crc, unsound) =
            file.crc32(header_check::are_sound).map_err(TrainError::io(path, "read the checkpoint"))?;
        if crc != header.crc32 {
            return Err(bad(format!("checksum {crc:08x}"), &format!("{:08x}", header.crc32), previous));
        }
        header.check().and_then(|()| header_check::check_lengths(&header, &file)).map_err(|found| {
            bad(found, "what a run leaves", "the file was not written by a run: give a run's own checkpoint")
        })?;
        if let Some(name) = unsound {
            return Err(bad(format!("numbers of {name} that are not finite"), "finite ones", previous));
        }
        Ok(Self { header, file })
    }

    /// The state as it was saved, bit for bit.
    ///
    /// # Errors
    /// If a tensor is missing or has another length than the network says.
    pub fn restore(self, path: &Path) -> Result<TrainState, TrainError> {
        let mut state = TrainState::new(&self.network(path)?, &self.header.recipe);
        self.fill(&mut state, path)?;
        state.progress = self.header.progress;
        state.watchdog = self.header.watchdog;
        Ok(state)
    }

    /// Takes weights, optimizer, average and means of `state` back to what was saved; its clock, its history and the
    /// watchdog's memory go on. Works in place: a small board has no room for a second state.
    ///
    /// # Errors
    /// As for [`Checkpoint::restore`]; the state is a mixture then.
    pub fn revert(&self, state: &mut TrainState, path: &Path) -> Result<(), TrainError> {
        for (i, layer) in state.model.layers.iter_mut().enumerate() {
            let [weights, biases] = layer.sizes();
            let old = self.tensor(&format!("weight.{i}"), Some(weights), path)?;
            let old_bias = self.tensor(&format!("bias.{i}"), Some(biases), path)?;
            layer.update(|weight, bias, _| {
                weight.copy_from_slice(&old);
                bias.copy_from_slice(&old_bias);
            });
        }
        self.fill(state, path)
    }

    /// The network as it was saved.
    ///
    /// # Errors
    /// As for [`Checkpoint::restore`].
    pub fn network(&self, path: &Path) -> Result<Ssd<ConvWeights>, TrainError> {
        let specs = &self.header.network;
        let mut convs = Vec::new();
        for (i, (_, spec)) in specs.convs().into_iter().enumerate() {
            convs.push(ConvWeights {
                spec: *spec,
                weight: self.tensor(&format!("weight.{i}"), Some(spec.weight_len()), path)?,
                scale: self.tensor(&format!("scale.{i}"), Some(spec.out_channels), path)?,
                bias: self.tensor(&format!("bias.{i}"), Some(spec.out_channels), path)?,
            });
        }
        let mut convs = convs.into_iter();
        Ok(specs.map(|_, _| convs.next().expect("one for each layer")))
    }

    /// A tensor by name, with as many values as it should have.
    fn tensor(&self, name: &str, len: Option<usize>, path: &Path) -> Result<Vec<f32>, TrainError> {
        let bytes = self.bytes(name, len.map(|len| len * size_of::<f32>()), path)?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// State by name, as much as there is and held as it is.
    fn state(&self, name: &str, into: &mut StateVec, path: &Path) -> Result<(), TrainError> {
        match into {
            StateVec::F32(numbers) => *numbers = self.tensor(name, Some(numbers.len()), path)?,
            StateVec::Bf16(numbers) => {
                let bytes = self.bytes(name, Some(numbers.len() * size_of::<bf16>()), path)?;
                for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
                    *number = bf16::from_le_bytes(*bytes);
                }
            }
        }
        Ok(())
    }

    /// A tensor's bytes by name, as many as it should have.
    fn bytes(&self, name: &str, len: Option<usize>, path: &Path) -> Result<Vec<u8>, TrainError> {
        match self.file.get(name).map_err(TrainError::io(path, "read the checkpoint"))? {
            Some(bytes) if len.is_none_or(|len| bytes.len() == len) => Ok(bytes),
            other => Err(TrainError::Checkpoint {
                file: path.into(),
                found: other.map_or(format!("no tensor {name}"), |t| format!("tensor {name} with {} bytes", t.len())),
                expected: len.map_or("one".into(), |len| format!("{len} bytes")),
                help: way_out(path).into(),
            }),
        }
    }

    /// The parts of a state besides its network and its progress.
    fn fill(&self, state: &mut TrainState, path: &Path) -> Result<(), TrainError> {
        for i in 0..state.model.layers.len() {
            for (part, name) in ["weight", "bias"].iter().enumerate() {
                let slot = &mut state.optimizer.layers[i].slots[part];
                self.state(&format!("first.{name}.{i}"), &mut slot.first, path)?;
                self.state(&format!("second.{name}.{i}"), &mut slot.second, path)?;
                if let Some(ema) = &mut state.ema {
                    self.state(&format!("lag.{name}.{i}"), &mut ema.lags[2 * i + part], path)?;
                }
            }
            state.means[i] = InputMean { mean: self.tensor(&format!("mean.{i}"), None, path)? };
        }
        if self.header.layer_steps.len() != state.optimizer.layers.len() {
            return Err(TrainError::Checkpoint {
                file: path.into(),
                found: format!("step counts of {} layers", self.header.layer_steps.len()),
                expected: format!("{}", state.optimizer.layers.len()),
                help: way_out(path).into(),
            });
        }
        for (layer, steps) in state.optimizer.layers.iter_mut().zip(&self.header.layer_steps) {
            layer.steps = *steps;
        }
        Ok(())
    }
}
