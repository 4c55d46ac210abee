//! `fieldtune diagnose`: the causes that a finished run suffered from, from its journal or from another trainer's
//! trace.
//!
//! A journal is replayed: the watchdog looks at what was seen then and decides anew, which must come to what was decided.
//! A trace is what another trainer wrote of its steps; nobody watched that run.

use crate::session::terminal;
use crate::train::read_lines;
use crate::watchdog::{JournalEntry, Mode, Watchdog, parse, read_trace, replay, story};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct DiagnoseArguments {
    /// A run folder, its journal.jsonl, or a trace of another trainer (JSON lines, see the README)
    pub run: PathBuf,
    /// Diagnoses, cures and verdicts as JSON
    #[arg(long)]
    pub json: bool,
}

/// The watchdog's entries on it now.
struct TracedFinding {
    decided: Vec<JournalEntry>,
    /// True if that is what it decided then; `None` where it did not watch.
    as_then: Option<bool>,
}

pub fn run(arguments: DiagnoseArguments) -> Result<u8> {
    let file = match arguments.run.is_dir() {
        true => arguments.run.join("journal.jsonl"),
        false => arguments.run,
    };
    let text = read_lines(&file).with_context(|| {
        format!("{}: cannot read it\nhelp: give a run folder, its journal.jsonl, or a trace", file.display())
    })?;
    let finding = look(&file, &text)?;
    if arguments.json {
        terminal::print_json(&finding.to_json())?;
    } else {
        terminal::print(finding.to_text())?;
    }
    Ok(0)
}

fn look(file: &Path, text: &str) -> Result<TracedFinding> {
    let Some(first) = text.lines().next() else {
        bail!("{}: it is empty, expected a line of JSON a step", file.display());
    };
    let is_journal = serde_json::from_str::<Value>(first).is_ok_and(|v| v.get("entry").is_some());
    if is_journal {
        let written = parse(text).with_context(|| format!("{}: no journal", file.display()))?;
        let decided = replay(&written);
        let as_then = Some(decided == written);
        return Ok(TracedFinding { decided, as_then });
    }
    let (facts, steps) = read_trace(text).with_context(|| format!("{}: no trace", file.display()))?;
    let (mut watchdog, mut decided) = Watchdog::begin(facts, Mode::Advise);
    steps.iter().for_each(|step| decided.extend(watchdog.step(step)));
    Ok(TracedFinding { decided, as_then: None })
}

impl TracedFinding {
    fn to_text(&self) -> String {
        let name = |image: u32| format!("training image {image}");
        let mut lines = story(&self.decided, &name);
        lines.extend(self.as_then.map(|as_then| match as_then {
            true => "Looking again came to the same decisions.".into(),
            false => "Looking again came to other decisions than the journal has.".into(),
        }));
        lines.join("\n") + "\n"
    }

    fn to_json(&self) -> Value {
        let decisions: Vec<&JournalEntry> = self.decided.iter().filter(|e| e.is_decision()).collect();
        match self.as_then {
            Some(as_then) => json!({ "source": "journal", "same_decisions": as_then, "decisions": decisions }),
            None => json!({ "source": "trace", "decisions": decisions }),
        }
    }
}
