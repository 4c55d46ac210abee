//! `fieldtune bench`: the cost of things on this machine.

mod accuracy;
mod bench_job;
mod kernels;
mod loader;
mod natural;
mod network;
mod spread_photos;
mod stagnation;
mod step;

use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    pub what: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// One training step of SSDLite-MobileNet-V2 1.0 on made-up images: forward, backward, optimizer
    Step(step::StepArguments),
    /// Every layer of the network alone, in three directions, against this core's peak
    Kernels(kernels::KernelArguments),
    /// Reading, augmenting and batching a data set
    Loader(loader::LoaderArguments),
    /// Recipes beside each other on data sets and seeds, run by run; tests' photos are not touched
    Accuracy(accuracy::AccuracyArguments),
    /// Does the watchdog notice, name and cure what is wrong? Runs on generated scenes, most with a fault
    Stagnation(stagnation::StagnationArguments),
}

pub use step::seconds_per_image;

pub fn run(arguments: BenchArguments) -> Result<u8> {
    match arguments.what {
        BenchCommand::Step(a) => step::run(a),
        BenchCommand::Kernels(a) => kernels::run(a),
        BenchCommand::Loader(a) => loader::run(a),
        BenchCommand::Accuracy(a) => accuracy::run(&a),
        BenchCommand::Stagnation(a) => match a.natural() {
            Some(options) => natural::run(&options),
            None => stagnation::run(&a),
        },
    }
}

/// The most memory this process has held so far, in MB (2^20 bytes), where the system tells.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Begins the count of the most memory anew, where the system can.
fn forget_peak_rss() {
    // Where it cannot, the figure is that of the largest setting so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Page faults of this process so far that needed no disk, where the system tells (`man 5 proc_pid_stat`, field 10).
fn minor_faults() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name, in brackets and as it likes.
    let (_, behind) = status.rsplit_once(')')?;
    behind.split_whitespace().nth(7)?.parse().ok()
}
