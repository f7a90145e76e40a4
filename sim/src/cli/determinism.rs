//! `cargo sim determinism`

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::chosen::name_of;
use super::list::files_or_all;
use super::{EXIT_NOT_REPRODUCIBLE, complain, load};
use crate::plan::NetworkKind;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The scenarios; none: all that there are
    files: Vec<PathBuf>,
    /// Play the seeds from 1 to this one
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The network that carries the bytes; default: what each file says
    #[arg(long, value_enum)]
    network: Option<NetworkKind>,
}

/// What is compared, and where the traces go.
struct Bench {
    program: PathBuf,
    network: Option<NetworkKind>,
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let files = match files_or_all(&arguments.files) {
        Ok(files) => files,
        Err(exit) => return exit,
    };
    let mut playables = Vec::new();
    for file in &files {
        match load(file) {
            Ok(playable) => playables.push(playable),
            Err(exit) => return exit,
        }
    }
    let directory = std::env::temp_dir().join(format!("tickgate-sim-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir_all(&directory) {
        return complain(&format!("cannot create {}: {error}", directory.display()));
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return complain(&format!("where is this program? {error}")),
    };
    let bench = Bench { program, network: arguments.network, directory };
    let mut exits = files.iter().zip(&playables).map(|(file, playable)| {
        let seeds: Vec<u64> = match playable.only_seed() {
            Some(seed) => vec![seed],
            None => (1..=arguments.seeds).collect(),
        };
        bench.compare_all(file, &seeds)
    });
    let exit = exits.find(|exit| *exit != ExitCode::SUCCESS).unwrap_or(ExitCode::SUCCESS);
    // What cannot be removed is the temporary directory's business.
    let _ = std::fs::remove_dir_all(&bench.directory);
    exit
}

impl Bench {
    /// Whether each seed's trace is the same in two processes.
    fn compare_all(&self, file: &Path, seeds: &[u64]) -> ExitCode {
        let mut events = 0;
        for &seed in seeds {
            let (first, second) = match (self.trace(file, seed, 0), self.trace(file, seed, 1)) {
                (Ok(first), Ok(second)) => (first, second),
                (Err(error), _) | (_, Err(error)) => return complain(&error),
            };
            if let Some(difference) = first_difference(&first, &second) {
                say!("{} seed {seed}: two processes differ\n{difference}", file.display());
                return ExitCode::from(EXIT_NOT_REPRODUCIBLE);
            }
            events += first.lines().count();
        }
        say!(
            "{}: {} seeds, each in two processes, {events} events: traces are identical",
            file.display(),
            seeds.len()
        );
        ExitCode::SUCCESS
    }

    /// The trace of a process of its own. The salt changes hash keys and masks, so that whatever
    /// depends on them differs.
    fn trace(&self, file: &Path, seed: u64, salt: u64) -> Result<String, String> {
        let path = self.directory.join("trace.txt");
        let mut command = Command::new(&self.program);
        command.arg("run").arg(file).args(["--seed", &seed.to_string(), "--quiet", "--trace"]);
        command.arg(&path).args(["--salt", &salt.to_string()]);
        if let Some(network) = self.network {
            command.args(["--network", &name_of(network)]);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        // A failing seed has to be reproducible too.
        if output.status.code() == Some(2) || output.status.code().is_none() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("seed {seed} could not be played: {words}"));
        }
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn first_difference(first: &str, second: &str) -> Option<String> {
    if first == second {
        return None;
    }
    let end = "(the trace ends)";
    let (mut first, mut second) = (first.lines(), second.lines());
    let mut before = "(the trace begins)";
    for number in 1.. {
        match (first.next(), second.next()) {
            (Some(one), Some(other)) if one == other => before = one,
            (None, None) => break,
            (one, other) => {
                let (one, other) = (one.unwrap_or(end), other.unwrap_or(end));
                return Some(format!(
                    "  after  {before}\n  line {number}, first  {one}\n  line {number}, second {other}"
                ));
            }
        }
    }
    Some("  in the ends of lines only".into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::ExitCode;

    use super::{Bench, EXIT_NOT_REPRODUCIBLE, first_difference};

    /// A program that writes down how it was called, up to this argument.
    fn bench(directory: &Path, arguments: &str) -> Bench {
        let program = directory.join("program");
        let script = format!(
            "#!/bin/sh\nwhile [ \"$1\" != --trace ]; do shift; done\n\
            echo \"{arguments}\" > \"$2\"\n"
        );
        std::fs::write(&program, script).expect("it can be written");
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&program, executable).expect("it is ours");
        Bench { program, network: None, directory: directory.to_owned() }
    }

    #[test]
    fn what_depends_on_the_salt_is_not_reproducible() {
        let directory = tempfile::tempdir().expect("a directory");
        let same = bench(directory.path(), "$1").compare_all(Path::new("x.yaml"), &[1]);
        assert!(same == ExitCode::SUCCESS);
        let salted = bench(directory.path(), "$3 $4").compare_all(Path::new("x.yaml"), &[1]);
        assert!(salted == ExitCode::from(EXIT_NOT_REPRODUCIBLE));
    }

    #[test]
    fn the_first_line_that_differs_is_shown_with_the_one_before() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        let shown = first_difference("a\nb\nc\n", "a\nb\nd\n").expect("they differ");
        assert!(shown.contains("after  b") && shown.contains("line 3"), "{shown}");
        let shown = first_difference("a\n", "a\nb\n").expect("they differ");
        assert!(shown.contains("(the trace ends)"), "{shown}");
    }
}
