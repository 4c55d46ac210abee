//! `fieldtune export -o FILE.tflite`: calibration on photos, and the file.

use super::export_proof::Exactness;
use crate::boxes::InputSize;
use crate::interchange::{
    ByteInput, Calibration, Clipping, TfliteNumbers, TfliteOptions, TfliteOutputs, export_tflite,
};
use crate::session::{Bar, LoadedDetector};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClippingArgument {
    /// The range of least squared error
    Mse,
    /// The range that holds all but one number in 100000
    Percentile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputArgument {
    /// The pixel value
    Uint8,
    /// The pixel value minus 128
    Int8,
}

#[derive(Debug, Args)]
pub struct TfliteArguments {
    /// TFLite: 8-bit numbers, with scales that `--calibrate` finds; a third of the size, and what Coral wants
    #[arg(long, conflicts_with = "float16")]
    pub int8: bool,
    /// TFLite: weights of 16 bits
    #[arg(long)]
    pub float16: bool,
    /// TFLite: raw heads instead of detections
    #[arg(long)]
    pub raw: bool,
    /// TFLite: photos to find 8-bit scales on (the training split of a data set or pack, or a folder of photos); the
    /// validation split then says what the file is worth
    #[arg(long, value_name = "DATA")]
    pub calibrate: Option<PathBuf>,
    /// TFLite: photos that are shown for it, at most
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub calibration_photos: usize,
    /// TFLite: where ranges end
    #[arg(long, value_enum, default_value = "mse")]
    pub clipping: ClippingArgument,
    /// TFLite: the type of an 8-bit input
    #[arg(long, value_enum, default_value = "uint8")]
    pub input: InputArgument,
}

/// All but this share of the numbers of a range lie inside.
const OUTSIDE: f64 = 1e-5;

impl TfliteArguments {
    /// True if any of what means something for TFLite alone was asked for.
    pub fn is_given(&self) -> bool {
        self.int8 || self.float16 || self.raw || self.calibrate.is_some()
    }

    /// # Errors
    /// If 8-bit numbers are asked for without photos.
    pub fn check(&self, output: &Path) -> Result<()> {
        if self.int8 && self.calibrate.is_none() {
            bail!(
                "{}: 8-bit numbers need photos to find their scales on\nhelp: add --calibrate DATA, the data set that the \
                 network was trained on",
                output.display()
            );
        }
        Ok(())
    }

    /// The data set to show, and how many of its photos at most.
    pub fn shown(&self) -> Option<(&Path, usize)> {
        self.calibrate.as_deref().map(|data| (data, self.calibration_photos))
    }

    /// The exactness of the file's numbers.
    pub fn exactness(&self) -> Exactness {
        if self.int8 || self.float16 { Exactness::Rounded } else { Exactness::Same }
    }
}

/// Writes the file; `photos` are those of `--calibrate`.
///
/// # Errors
/// If photos are missing, or the network cannot be written as asked.
pub fn write(
    loaded: &LoadedDetector,
    size: InputSize,
    output: &Path,
    arguments: &TfliteArguments,
    photos: Vec<Vec<u8>>,
) -> Result<PathBuf> {
    let network = loaded.model.weights();
    let threshold = loaded.thresholds.as_ref().map(|(overall, _)| *overall as f32);
    let plain = TfliteOptions {
        size,
        class_names: &loaded.class_names,
        coder: loaded.detector.coder,
        numbers: if arguments.float16 { TfliteNumbers::Float16 } else { TfliteNumbers::Float32 },
        detections: if arguments.raw { TfliteOutputs::Raw } else { TfliteOutputs::PostProcess },
        threshold,
        trained_on: loaded.trained_on.as_ref(),
    };
    if !arguments.int8 {
        return Ok(export_tflite(&network, output, &plain)?);
    }
    let clipping = match arguments.clipping {
        ClippingArgument::Mse => Clipping::LeastError,
        ClippingArgument::Percentile => Clipping::Percentile(1.0 - OUTSIDE),
    };
    let bar = Bar::begin("calibrating", photos.len());
    let shown = photos.into_iter().inspect(|_| bar.add(1));
    let calibration = Calibration::of(&network, output, &plain, clipping, shown)?;
    drop(bar);
    let input = match arguments.input {
        InputArgument::Uint8 => ByteInput::Unsigned,
        InputArgument::Int8 => ByteInput::Signed,
    };
    let options = TfliteOptions { numbers: TfliteNumbers::Int8 { calibration: &calibration, input }, ..plain };
    Ok(export_tflite(&network, output, &options)?)
}
