//! `fieldtune convert`: any readable model file as an ONNX file of Fieldtune's own form.

use crate::boxes::InputSize;
use crate::interchange::{ExportOptions, Imported, Scope, export, import};
use crate::session::{DEFAULT_SIZE, terminal};
use crate::weights::{Store, class_names, resolve};
use anyhow::{Result, bail};
use clap::Args;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// An .onnx, .tflite, .pth or .safetensors file, or the name of kept weights
    pub model: PathBuf,
    /// Names of the model's classes where its file has none: cat,dog or a file, one a line
    #[arg(long)]
    pub names: Option<String>,
    /// The .onnx file to write; labels.txt goes beside it
    #[arg(short, long)]
    pub output: PathBuf,
    /// Keep the backbone alone and put the extras and heads of an SSDLite behind it, fresh
    #[arg(long)]
    pub backbone_ssdlite: bool,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

pub fn run(arguments: ConvertArguments) -> Result<u8> {
    let output = &arguments.output;
    check_output(output, arguments.force)?;
    let path = resolve(&arguments.model, Store::of_user().as_ref())?;
    let mut imported = import(&path)?;
    imported.repairs.iter().for_each(|line| log::info!("{}: {line}", arguments.model.display()));
    imported.warnings.iter().for_each(|line| log::warn!("{}: {line}", arguments.model.display()));
    let named = class_names(&path, &imported, arguments.names.as_deref())?;
    let class_names = named.map_or_else(|| numbered(&imported), |named| named.names);
    if arguments.backbone_ssdlite {
        let network = &mut imported.network;
        (network.extras, network.heads) = (Vec::new(), Vec::new());
        network.renew_extras_and_heads(class_names.len() + 1, &mut Pcg64Mcg::seed_from_u64(0));
    } else if let Scope::Backbone { why } = &imported.scope {
        bail!(
            "{}: a backbone without heads ({why}), expected a detector\n\
             help: --backbone-ssdlite puts fresh extras and heads behind it",
            arguments.model.display()
        );
    }
    let size = imported.input_size.map_or(DEFAULT_SIZE, InputSize::from);
    let labels = export(&imported.network, output, &ExportOptions::raw(size, &class_names))?;
    terminal::print_line(format_args!("{} and {} written", output.display(), labels.display()))?;
    Ok(0)
}

/// # Errors
/// If the name is not that of an ONNX file, or a file would be lost.
fn check_output(output: &Path, force: bool) -> Result<()> {
    if output.extension().is_none_or(|extension| extension != "onnx") {
        bail!("{}: found another ending, expected .onnx\nhelp: this is the form that convert writes", output.display());
    }
    for file in [output.to_path_buf(), output.with_file_name("labels.txt")] {
        if !force && file.exists() {
            bail!("{}: exists already\nhelp: choose another folder, or replace it with --force", file.display());
        }
    }
    Ok(())
}

/// Numbers for classes without names; one class for a file that has none.
fn numbered(imported: &Imported) -> Vec<String> {
    (1..imported.classes().unwrap_or(2)).map(|i| format!("class {i}")).collect()
}
