//! The command line: typed arguments, one plain function per verb, and the mapping of results to exit codes.

mod advise;
mod check;
mod clean;
mod completions;
mod config;
mod convert;
mod demo;
mod detector_arguments;
mod diagnose;
mod examples;
mod export;
mod export_photos;
mod export_proof;
mod export_tflite;
mod fleet;
mod fleet_join;
mod fleet_simulate;
mod inspect;
mod node_arguments;
mod pack;
mod predict;
mod pretraining;
mod probe;
mod scenes;
mod serve_model;
mod train;
mod train_arguments;
mod val;
mod watch;
mod weights;

use crate::kernel::Isa;
use crate::session::{log_file, terminal};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

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
    /// Measure a detector's AP on a split, or COCO detections against COCO ground truth
    Val(val::ValArguments),
    /// Find objects in photos: annotated pictures and JSON
    Predict(predict::PredictArguments),
    /// Answer other programs: a photo in, its objects out, over HTTP; also for Label Studio
    ServeModel(serve_model::ServeModelArguments),
    /// Show a run of another process, or one that is over, as a page
    Watch(watch::WatchArguments),
    /// Keep detectors to start from: add a file or a package, list, choose the default
    Weights(weights::WeightsArguments),
    /// Write a detector in the form another program expects
    Export(export::ExportArguments),
    /// Say what a model file is: network, input, anchors, classes, what training could use
    Inspect(inspect::InspectArguments),
    /// Write any readable model file as ONNX
    Convert(convert::ConvertArguments),
    /// Write a data set as one file, ready to train on
    Pack(pack::PackArguments),
    /// Look for every defect in a data set
    Check(check::CheckArguments),
    /// List what runs left and nothing needs any more; remove it with --remove
    Clean(clean::CleanArguments),
    /// Tell what a run suffered from: its journal replayed, or a trace of another trainer
    Diagnose(diagnose::DiagnoseArguments),
    /// Say what limits a run's result and what would lift it most
    Advise(advise::AdviseArguments),
    /// Measure this machine
    Bench(crate::bench::BenchArguments),
    /// Tell what this board is, has left, and would take to train
    Probe(probe::ProbeArguments),
    /// Train on generated scenes in a minute or two: nothing to download
    Demo(scenes::DemoArguments),
    /// Train whenever labelled photos arrive, as a systemd service
    Service(crate::service::ServiceArguments),
    /// Let boards learn together without sending photos
    Fleet(fleet::FleetArguments),
    /// Write a job file with every key, its meaning and its default
    Config(config::ConfigArguments),
    /// Write a shell's completions to the terminal
    Completions(completions::CompletionArguments),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(completions::ManArguments),
}

/// The whole command line, with what is not said at the arguments themselves: the job file's keys and examples.
pub fn command() -> clap::Command {
    examples::with_examples(Arguments::command()).mut_subcommand("train", train_arguments::described)
}

/// The arguments that this process was called with; ends it with exit code 2 where they make no sense.
pub fn parse() -> Arguments {
    Arguments::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
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
        Command::ServeModel(a) => serve_model::run(a),
        Command::Watch(a) => watch::run(a),
        Command::Weights(a) => weights::run(a),
        Command::Export(a) => export::run(a),
        Command::Inspect(a) => inspect::run(a),
        Command::Convert(a) => convert::run(a),
        Command::Pack(a) => pack::run(a),
        Command::Check(a) => check::run(a),
        Command::Clean(a) => clean::run(a),
        Command::Diagnose(a) => diagnose::run(a),
        Command::Advise(a) => advise::run(a),
        Command::Bench(a) => crate::bench::run(a),
        Command::Probe(a) => probe::run(a),
        Command::Demo(a) => demo::run(a),
        Command::Service(a) => crate::service::run(a),
        Command::Fleet(a) => fleet::run(a),
        Command::Config(a) => config::run(a),
        Command::Completions(a) => completions::run(a),
        Command::Man(a) => completions::man(a),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        // Whoever read has seen enough.
        Err(error) if error.is::<terminal::ClosedPipe>() => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(format_args!("error: {error:#}"));
            log_file::note(log::Level::Error, format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
