//! The `fieldtune` program.

use clap::Parser;
use fieldtune::cli::{Arguments, LineAllocator, run};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: LineAllocator = LineAllocator;

fn main() -> ExitCode {
    fieldtune::cli::prepare_process();
    let arguments = Arguments::parse();
    run(arguments)
}
