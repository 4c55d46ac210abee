//! `fieldtune advise`: what would lift a result most, from what a run recorded, and from trials where there is time.

use crate::config::JobFile;
use crate::session::{DEFAULT_SIZE, LeverResult, TrialResults, changed, free_name, run_trials, terminal};
use crate::train::read_lines;
use crate::watchdog::{JournalEntry, Limit, limits, parse};
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Minutes of trials of a data set, of which no run has recorded anything.
const MINUTES: f64 = 10.0;

#[derive(Debug, Args)]
pub struct AdviseArguments {
    /// A run folder or its journal.jsonl; or a data set, of which trials alone tell
    pub run: PathBuf,
    /// Minutes for trials: short runs with a larger input, half of the photos, other kept weights, no augmentation [default: none for a run, 10 for a data set]
    #[arg(long, value_name = "MINUTES")]
    pub minutes: Option<f64>,
    /// Of a data set: the weights to start from [default: the kept default]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Train with the change that lifts most, if one does
    #[arg(long)]
    pub apply: bool,
    /// Limits and trials as JSON
    #[arg(long, conflicts_with = "apply")]
    pub json: bool,
}

/// The subject of the advice.
struct Subject {
    job: JobFile,
    /// Epochs and limits of a run's journal; none of a data set.
    recorded: Option<(u64, Vec<Limit>)>,
}

pub fn run(arguments: AdviseArguments) -> Result<u8> {
    let AdviseArguments { run, minutes, weights, apply, json } = arguments;
    if let Some(minutes) = minutes.filter(|minutes| !(*minutes > 0.0 && *minutes <= 100_000.0)) {
        bail!("--minutes {minutes}, expected more than 0 and at most 100000");
    }
    let subject = if is_run(&run) { recorded(&run)? } else { data_set(&run, weights)? };
    let minutes = minutes.or(subject.recorded.is_none().then_some(MINUTES));
    let findings = match minutes {
        Some(minutes) => Some(run_trials(&subject.job, minutes, &mut |words| log::info!("{words}"))?),
        None => None,
    };
    if json {
        terminal::print_json(&as_json(&subject, findings.as_ref()))?;
        return Ok(0);
    }
    terminal::print(as_text(&subject, findings.as_ref()))?;
    if apply { start(&subject, findings.as_ref()) } else { Ok(0) }
}

fn is_run(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "jsonl") || path.join("journal.jsonl").is_file()
}

/// A run by its folder or its journal.
fn recorded(run: &Path) -> Result<Subject> {
    let file = if run.is_dir() { run.join("journal.jsonl") } else { run.to_path_buf() };
    let text = read_lines(&file).with_context(|| {
        format!("{}: cannot read it\nhelp: give a run folder, or its journal.jsonl", file.display())
    })?;
    let journal = parse(&text).with_context(|| format!("{}: no journal", file.display()))?;
    let Some(last) =
        journal.iter().rev().find_map(|e| if let JournalEntry::Epoch(epoch) = e { Some(epoch) } else { None })
    else {
        bail!("{}: no epoch in it, expected a run of one epoch or more", file.display());
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    // A journal without its run has no job: its limits can be told, and nothing be tried.
    let job = JobFile::read(&folder.join("config.toml")).unwrap_or_default();
    let out =
        folder.canonicalize().ok().and_then(|f| f.parent().map(Path::to_path_buf)).unwrap_or_else(|| job.out.clone());
    Ok(Subject { job: JobFile { out, ..job }, recorded: Some((last.epoch, limits(&journal))) })
}

fn data_set(data: &Path, weights: Option<PathBuf>) -> Result<Subject> {
    if !data.exists() {
        bail!("{}: no such run or data set\nhelp: give a run folder, or a folder of labelled photos", data.display());
    }
    let job = JobFile { data: Some(data.into()), weights, ..JobFile::default() };
    Ok(Subject { job, recorded: None })
}

/// Trains with the change that lifts most.
///
/// # Errors
/// If no change is known to lift the result, or the run cannot be started.
fn start(subject: &Subject, findings: Option<&TrialResults>) -> Result<u8> {
    let size = subject.job.imgsz.unwrap_or(DEFAULT_SIZE);
    let tried = findings.iter().flat_map(|f| &f.found).find(|f| f.is_gain() && f.lever.is_at_hand());
    let limit = subject.recorded.iter().flat_map(|(_, limits)| limits).find_map(|l| Some((l, l.change?)));
    let (words, job) = match (tried, limit) {
        (Some(finding), _) => (finding.lever.words(), finding.lever.applied(&subject.job)),
        (None, Some((limit, change))) => (limit.advice.clone(), changed(&subject.job, change, size)),
        (None, None) => bail!(
            "nothing to apply: no change that a program can make is known to lift the result\n\
             help: --minutes 20 tries more; the advice above is for people"
        ),
    };
    let data = job.data.clone().ok_or_else(|| anyhow!("the run's config.toml names no data set"))?;
    let stem = data.file_stem().and_then(|n| n.to_str()).unwrap_or("run");
    let name = free_name(&job.out, stem);
    std::fs::create_dir_all(&job.out).with_context(|| format!("{}", job.out.display()))?;
    let file = job.out.join(format!("{name}.toml"));
    let job = JobFile { name: Some(name), ..job };
    std::fs::write(&file, job.to_toml()).with_context(|| format!("{}: cannot write", file.display()))?;
    log::info!("applied: {words} The job is {}", file.display());
    let program = std::env::current_exe().context("the program's own file")?;
    let status = Command::new(program).arg("train").arg("--config").arg(&file).status();
    Ok(exit_code(status.context("the run cannot be started")?))
}

fn exit_code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn as_json(subject: &Subject, findings: Option<&TrialResults>) -> Value {
    let mut value = match &subject.recorded {
        Some((epochs, limits)) => json!({ "epochs": epochs, "limits": limits }),
        None => json!({}),
    };
    if let Some(findings) = findings {
        let one = |f: &LeverResult| {
            json!({
                "lever": f.lever.name(), "change": f.lever.words(), "AP": f.above.ap, "gain": f.above.difference,
                "interval": f.above.interval, "told": f.is_gain()
            })
        };
        let found: Vec<Value> = findings.found.iter().map(one).collect();
        value["trials"] = json!({ "epochs": findings.epochs, "AP": findings.ap, "found": found });
    }
    value
}

fn as_text(subject: &Subject, findings: Option<&TrialResults>) -> String {
    let mut text = match &subject.recorded {
        None => String::new(),
        Some((epochs, found)) if found.is_empty() => {
            format!("In {epochs} epochs nothing was recorded that limits the result.\n")
        }
        Some((_, found)) => {
            let lines = (1..).zip(found).map(|(i, limit): (usize, &Limit)| format!("{i}. {}\n", limit.words()));
            format!("What limits this result, most costly first:\n{}", lines.collect::<String>())
        }
    };
    let Some(findings) = findings else { return text };
    text += &format!("Trials of {} epochs; without a change AP is {:.3}:\n", findings.epochs, findings.ap);
    text.extend(findings.found.iter().map(line));
    if !findings.left_out.is_empty() {
        let words: Vec<String> = findings.left_out.iter().map(|lever| lever.words()).collect();
        text += &format!("Not tried for want of time: {}\n", words.join(", "));
    }
    text
}

fn line(finding: &LeverResult) -> String {
    let (words, above) = (finding.lever.words(), finding.above);
    let interval =
        above.interval.map_or(String::new(), |[low, high]| format!(", 95 % interval {low:+.3} to {high:+.3}"));
    let told = match above.interval {
        _ if finding.is_gain() => "better",
        Some([_, high]) if high < 0.0 => "worse",
        _ => "no difference can be told",
    };
    format!("  {words:<24} AP {:+.3}{interval}: {told}\n", above.difference)
}
