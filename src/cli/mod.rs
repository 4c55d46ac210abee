//! The command line: typed arguments, one plain function per verb, and the mapping of results to exit codes.

mod attendant;
mod bench;
mod board_settings;
mod check;
mod demo;
mod diagnose;
mod execution;
mod export;
mod heat;
mod loaded;
mod log_file;
mod memory;
mod memory_guard;
mod pack;
mod predict;
mod pretraining;
mod probe;
mod process;
mod progress;
mod resume;
mod run_folder;
mod service;
mod systemd;
mod train;
mod train_arguments;
mod train_report;
mod val;
mod watchdog_report;

pub use process::prepare_process;

use crate::kernel::Isa;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit code of a run that was stopped and can be resumed.
pub const RESUMABLE: u8 = 75;

/// Exit code of a command that was called in a wrong way; clap's as well.
const USAGE: u8 = 2;

/// Fine-tune SSD-MobileNet-V2 on the board where it will run.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    /// Instruction set of the kernels: scalar, neon, avx2 or avx512 [default: the widest this processor has]
    #[arg(long, global = true, value_parser = parse_isa)]
    pub isa: Option<Isa>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // one exists, once per process
pub enum Command {
    /// Fine-tune a detector on labelled photos
    Train(Box<train_arguments::TrainArguments>),
    /// Judge a detector on a split, or COCO detections against COCO ground truth
    Val(val::ValArguments),
    /// Find objects in photos: annotated pictures and JSON
    Predict(predict::PredictArguments),
    /// Write a detector in the form another program expects
    Export(export::ExportArguments),
    /// Write a data set as one file, ready to train on
    Pack(pack::PackArguments),
    /// Look for every defect in a data set
    Check(check::CheckArguments),
    /// Say what a run suffered from: its journal replayed, or a trace of another trainer
    Diagnose(diagnose::DiagnoseArguments),
    /// Measure this machine
    Bench(bench::BenchArguments),
    /// What this board is, has left, and would take to train
    Probe(probe::ProbeArguments),
    /// Train on generated scenes in a minute or two: nothing to download
    Demo(demo::DemoArguments),
    /// Train whenever labelled photos arrive, as a systemd service
    Service(service::ServiceArguments),
}

fn parse_isa(text: &str) -> Result<Isa, String> {
    let all = Isa::available();
    let names = || all.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
    all.iter().copied().find(|isa| isa.name() == text).ok_or_else(|| format!("this processor has {}", names()))
}

/// Runs a command and maps its result to an exit code: 0 done, 1 failure, 2 usage, 75 stopped and resumable.
pub fn run(arguments: Arguments) -> ExitCode {
    if let Some(isa) = arguments.isa {
        assert!(Isa::choose(isa), "the instruction set is chosen before the first kernel runs");
    }
    let result = match arguments.command {
        Command::Train(a) => train::run(*a),
        Command::Val(a) => val::run(a),
        Command::Predict(a) => predict::run(a),
        Command::Export(a) => export::run(a),
        Command::Pack(a) => pack::run(a),
        Command::Check(a) => check::run(a),
        Command::Diagnose(a) => diagnose::run(a),
        Command::Bench(a) => bench::run(a),
        Command::Probe(a) => probe::run(a),
        Command::Demo(a) => demo::run(a),
        Command::Service(a) => service::run(a),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            log_file::note_failure(&error);
            ExitCode::FAILURE
        }
    }
}
