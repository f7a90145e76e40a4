//! The simulator's program. `cargo sim --help` shows how to use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tickgate_sim::cli::main()
}
