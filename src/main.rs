//! The `fieldtune` program.

use clap::Parser;
use fieldtune::cli::{Arguments, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    fieldtune::cli::prepare_process();
    let arguments = Arguments::parse();
    run(arguments)
}
