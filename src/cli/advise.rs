//! `fieldtune advise`: what would lift a run's result most, from what the run recorded.

use crate::session::terminal;
use crate::train::read_lines;
use crate::watchdog::{Entry, Limit, limits, parse};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct AdviseArguments {
    /// A run folder, or its journal.jsonl
    pub run: PathBuf,
    /// Limits with their gains as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: AdviseArguments) -> Result<u8> {
    let file = match arguments.run.is_dir() {
        true => arguments.run.join("journal.jsonl"),
        false => arguments.run,
    };
    let text = read_lines(&file).with_context(|| {
        format!("{}: cannot read it\nhelp: give a run folder, or its journal.jsonl", file.display())
    })?;
    let journal = parse(&text).with_context(|| format!("{}: no journal", file.display()))?;
    let Some(last) = journal.iter().rev().find_map(|e| if let Entry::Epoch(epoch) = e { Some(epoch) } else { None })
    else {
        bail!("{}: no epoch in it, expected a run of one epoch or more", file.display());
    };
    let found = limits(&journal);
    if arguments.json {
        terminal::print_json(&as_json(last.epoch, &found))?;
    } else {
        terminal::print(as_text(last.epoch, &found))?;
    }
    Ok(0)
}

fn as_json(epochs: u64, found: &[Limit]) -> Value {
    json!({ "epochs": epochs, "limits": found })
}

fn as_text(epochs: u64, found: &[Limit]) -> String {
    if found.is_empty() {
        return format!("In {epochs} epochs nothing was recorded that limits the result.\n");
    }
    let lines = (1..).zip(found).map(|(i, limit): (usize, &Limit)| format!("{i}. {}\n", limit.words()));
    format!("What limits this result, most costly first:\n{}", lines.collect::<String>())
}
