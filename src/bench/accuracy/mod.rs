//! `fieldtune bench accuracy`: recipes beside each other on several data sets and seeds.
//!
//! Each run is a `fieldtune train` of its own, with one thread, on photos that the set does not keep for tests: where a set
//! names no photos for validation, the seed draws which of the training photos are held back. Recipes are compared run by
//! run, so that easy photos and lucky seeds cancel out. A run that is in the folder already is not made again.

mod cell;
mod comparison;

use crate::config::JobFile;
use crate::session::terminal;
use anyhow::{Context, Result, anyhow, bail};
use cell::{AccuracyCell, CellResult};
use clap::Args;
use comparison::Comparison;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Name of the recipe that the others are compared with.
const DEFAULT: &str = "default";

#[derive(Debug, Args)]
pub struct AccuracyArguments {
    /// Data sets: folders of labelled photos, archives, label files or packs
    #[arg(required = true)]
    pub data: Vec<PathBuf>,
    /// Detector or backbone that every run starts from [default: the kept default]
    #[arg(long)]
    pub weights: Option<String>,
    /// Job files whose recipes are compared with the default one; a recipe has the file's name
    #[arg(long = "recipe")]
    pub recipes: Vec<PathBuf>,
    /// Seeds of the runs
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    pub seeds: Vec<u64>,
    /// Epochs of every run [default: each recipe's]
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Minutes that each run may take, for every value given; the epochs if absent
    #[arg(long, value_delimiter = ',', conflicts_with = "epochs")]
    pub minutes: Vec<f64>,
    /// Runs at the same time
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Folder for the runs and `accuracy.csv`; runs that ended there are not made again
    #[arg(short, long, default_value = "runs/accuracy")]
    pub out: PathBuf,
}

/// A recipe with the name that the table shows.
struct NamedRecipe {
    name: String,
    file: Option<PathBuf>,
}

/// # Errors
/// If a job file cannot be read, or two recipes have one name.
fn recipes(a: &AccuracyArguments) -> Result<Vec<NamedRecipe>> {
    let mut named = vec![NamedRecipe { name: DEFAULT.into(), file: None }];
    for file in &a.recipes {
        JobFile::read(file)?;
        let name = file.file_stem().and_then(|n| n.to_str()).ok_or_else(|| anyhow!("{}: no name", file.display()))?;
        if named.iter().any(|r| r.name == name) {
            bail!("{}: a recipe {name} is there already\nhelp: name each job file differently", file.display());
        }
        named.push(NamedRecipe { name: name.into(), file: Some(file.clone()) });
    }
    Ok(named)
}

/// Every run that was asked for, set by set, so that a comparison is complete as early as may be.
fn cells(a: &AccuracyArguments, recipes: &[NamedRecipe]) -> Result<Vec<AccuracyCell>> {
    let budgets: Vec<Option<f64>> =
        if a.minutes.is_empty() { vec![None] } else { a.minutes.iter().copied().map(Some).collect() };
    let mut cells = Vec::new();
    for data in &a.data {
        let set = data.canonicalize().with_context(|| format!("{}", data.display()))?;
        let name = set.file_stem().and_then(|n| n.to_str()).unwrap_or("set").to_string();
        for &minutes in &budgets {
            for &seed in &a.seeds {
                for recipe in recipes {
                    cells.push(AccuracyCell {
                        recipe: recipe.name.clone(),
                        job: recipe.file.clone(),
                        set: name.clone(),
                        data: set.clone(),
                        weights: a.weights.clone(),
                        epochs: a.epochs,
                        minutes,
                        seed,
                    });
                }
            }
        }
    }
    let mut names: Vec<String> = cells.iter().map(AccuracyCell::folder_name).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!(
            "two data sets, seeds or times come to the run {}\nhelp: name each data set differently, and nothing twice",
            twice[0]
        );
    }
    Ok(cells)
}

/// # Errors
/// If a run fails, or the table cannot be written.
pub fn run(a: &AccuracyArguments) -> Result<u8> {
    if a.jobs == 0 {
        bail!("--jobs 0, expected 1 or more");
    }
    let recipes = recipes(a)?;
    let cells = cells(a, &recipes)?;
    std::fs::create_dir_all(&a.out).with_context(|| format!("{}", a.out.display()))?;
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::<(usize, Result<CellResult>)>::new()));
    terminal::stream_line(format_args!("{}", CellResult::HEADER))?;
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(cell) = cells.get(i) else { return };
            let result = cell.result(&a.out);
            if let Ok(result) = &result {
                // A closed pipe ends the printing and not the runs, whose results are in the folder.
                let _ = terminal::stream_line(format_args!("{}", result.line(cell)));
            }
            let failed = result.is_err();
            results.lock().expect("no run panicked").push((i, result));
            if failed {
                next.store(cells.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..a.jobs.min(cells.len())).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().expect("no run panicked");
    results.sort_by_key(|(i, _)| *i);
    let mut done = Vec::with_capacity(results.len());
    for (i, result) in results {
        done.push((&cells[i], result?));
    }
    let csv: Vec<String> = std::iter::once(CellResult::CSV_HEADER.into())
        .chain(done.iter().map(|(cell, result)| result.csv_line(cell)))
        .collect();
    let path = a.out.join("accuracy.csv");
    std::fs::write(&path, csv.join("\n") + "\n").with_context(|| format!("{}", path.display()))?;
    for recipe in recipes.iter().skip(1) {
        if let Some(compared) = Comparison::of(&done, &recipe.name, DEFAULT) {
            terminal::stream_line(format_args!("{compared}"))?;
        }
    }
    Ok(0)
}
