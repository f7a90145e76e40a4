//! The `tickgate` program.

fn main() -> std::process::ExitCode {
    tickgate::cli::main()
}
