//! `fieldtune export`.

use super::loaded::LoadedDetector;
use crate::onnx::{ExportOptions, Form, Images, export};
use anyhow::Result;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FormArgument {
    /// `class_logits` and `box_encodings`, batch open
    Raw,
    /// `scores` (softmax, background first) and `boxes` (x1 y1 x2 y2 in 0..1), one image
    Jetson,
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// A trained detector (a run's weights/best.onnx)
    pub model: PathBuf,
    #[arg(short, long)]
    pub output: PathBuf,
    #[arg(long, value_enum, default_value = "jetson")]
    pub form: FormArgument,
}

pub fn run(arguments: ExportArguments) -> Result<u8> {
    let loaded = LoadedDetector::open(&arguments.model)?;
    let (images, form) = match arguments.form {
        FormArgument::Raw => (Images::Any, Form::RawHeads),
        FormArgument::Jetson => (Images::Fixed(1), Form::Jetson { anchors: loaded.detector.anchors.centers() }),
    };
    let options = ExportOptions {
        size: loaded.size,
        images,
        class_names: &loaded.class_names,
        coder: loaded.detector.coder,
        anchors: "tf-ssd",
        scores: loaded.metadata.scores.as_deref().unwrap_or("softmax"),
        form,
    };
    export(&loaded.model.weights(), &arguments.output, &options)?;
    println!("{} and labels.txt written", arguments.output.display());
    Ok(0)
}
