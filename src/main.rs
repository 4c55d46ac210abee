//! The `fieldtune` program.

use fieldtune::cli::{parse, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    fieldtune::session::prepare_process();
    run(parse())
}
