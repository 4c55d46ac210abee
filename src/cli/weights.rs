//! `fieldtune weights`: the detectors that runs start from.

use super::inspect::described;
use crate::session::terminal;
use crate::weights::{Added, Store, VARIABLE, WeightsRecord};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct WeightsArguments {
    #[command(subcommand)]
    pub what: WeightsCommand,
    /// Folder of the kept weights [default: $FIELDTUNE_WEIGHTS, or fieldtune/weights in the user's data folder]
    #[arg(long, global = true)]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum WeightsCommand {
    /// Check a model and keep it: a file (.onnx, .tflite, .pth, .safetensors), or a package as it was downloaded
    Add {
        /// The model, an npm package (.tgz), its packed assets (.data), or an archive (.zip, .tar.gz) with one model
        file: PathBuf,
        /// The name for --weights [default: after the file]
        #[arg(long)]
        name: Option<String>,
    },
    /// Show what is kept
    List {
        /// Everything that is known, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove kept weights
    Remove {
        /// Name of kept weights, as `weights list` shows it
        name: String,
    },
    /// Choose what runs without --weights start from, or say which it is
    Default {
        /// Name of kept weights; without it the present default is printed
        name: Option<String>,
    },
}

pub fn run(arguments: WeightsArguments) -> Result<u8> {
    let store = match arguments.folder {
        Some(folder) => Store::at(folder),
        None => Store::of_user().with_context(|| {
            format!("no folder for weights: neither {VARIABLE} nor HOME is set\nhelp: name one with --folder")
        })?,
    };
    match arguments.what {
        WeightsCommand::Add { file, name } => {
            let added = store.add(&file, name.as_deref(), &described)?;
            terminal::print(told(&store, &added))?;
        }
        WeightsCommand::List { json: true } => {
            let default = store.default()?.map(|record| record.name);
            let all: Vec<Value> = store.list()?.iter().map(|r| as_json(&store, r, default.as_ref())).collect();
            terminal::print_json(&Value::Array(all))?;
        }
        WeightsCommand::List { json: false } => terminal::print(listed(&store)?)?,
        WeightsCommand::Remove { name } => {
            let was_default = store.default()?.is_some_and(|record| record.name == name);
            store.remove(&name)?;
            terminal::print_line(format_args!("{name} is removed"))?;
            if was_default && store.default()?.is_none() && !store.list()?.is_empty() {
                terminal::print_line("it was the default: choose another with `fieldtune weights default NAME`")?;
            }
        }
        WeightsCommand::Default { name: Some(name) } => {
            store.set_default(&name)?;
            terminal::print_line(format_args!("runs without --weights start from {name}"))?;
        }
        WeightsCommand::Default { name: None } => match store.default()? {
            Some(record) => terminal::print_line(record.name)?,
            None => terminal::print_line("none")?,
        },
    }
    Ok(0)
}

/// The result of adding, for people.
fn told(store: &Store, added: &Added) -> String {
    let record = &added.record;
    let mut text: String = added.notes.iter().map(|note| format!("{note}\n")).collect();
    text += &record.inspect;
    if let Some(licence) = &record.licence {
        text += &format!("{:<11}{licence}\n", "licence");
    }
    let kept = if added.was_there { "was kept already" } else { "is kept" };
    text += &format!("{kept} as {}: {}\n", record.name, store.path(record).display());
    text += &match added.is_default {
        true => "runs without --weights start from it\n".to_string(),
        false => format!("start from it with --weights {0}, or always: fieldtune weights default {0}\n", record.name),
    };
    text
}

/// One line for each of the kept weights; `*` marks the default.
fn listed(store: &Store) -> Result<String> {
    let (all, default) = (store.list()?, store.default()?);
    if all.is_empty() {
        return Ok(format!("none are kept in {}\n", store.folder().display()));
    }
    let width = all.iter().map(|record| record.name.len()).max().unwrap_or(0);
    let line = |record: &WeightsRecord| {
        let mark = if default.as_ref().is_some_and(|d| d.name == record.name) { '*' } else { ' ' };
        let licence = record.licence.as_deref().unwrap_or("licence not known");
        let about = record.about.lines().next().unwrap_or_default();
        format!("{mark} {:<width$}  {about}; {licence}; {} from {}\n", record.name, record.added, record.source)
    };
    Ok(all.iter().map(line).collect())
}

fn as_json(store: &Store, record: &WeightsRecord, default: Option<&String>) -> Value {
    json!({
        "name": record.name,
        "default": default == Some(&record.name),
        "path": store.path(record).display().to_string(),
        "source": record.source,
        "sha256": record.sha256,
        "bytes": record.bytes,
        "added": record.added,
        "licence": record.licence,
        "classes": record.classes,
        "about": record.about,
        "inspect": record.inspect,
    })
}
