//! `cargo sim list`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{REGRESSIONS, SCENARIOS, complain, load};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the scenarios are
    #[arg(default_value = SCENARIOS)]
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let files = match scenarios_in(&arguments.directory) {
        Ok(files) => files,
        Err(problem) => return complain(&problem),
    };
    for file in files {
        match load(&file) {
            Ok(playable) => println!("{:<32} {}", file.display(), playable.about()),
            Err(exit) => return exit,
        }
    }
    ExitCode::SUCCESS
}

/// The files that were named; none: all scenarios there are, and the regressions.
pub(super) fn files_or_all(named: &[PathBuf]) -> Result<Vec<PathBuf>, ExitCode> {
    if named.is_empty() {
        let mut files = scenarios_in(Path::new(SCENARIOS)).map_err(|why| complain(&why))?;
        files.extend(scenarios_in(Path::new(REGRESSIONS)).unwrap_or_default());
        return Ok(files);
    }
    Ok(named.to_vec())
}

/// The scenarios of a directory, by name.
fn scenarios_in(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("there is no scenario in {}", directory.display()));
    }
    Ok(files)
}
