//! A copy of the workspace in which bugs and mutants can be planted and built.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::measure::run_to_end;

/// Each bug is built once and played for seconds: nearly all of the time goes into building. Many
/// small units let the compiler keep most of what it has built for the bug before.
const QUICK_TO_BUILD: [&str; 6] = [
    "profile.sim.package.tickgate.opt-level=1",
    "profile.sim.package.tickgate.debug=0",
    "profile.sim.package.tickgate.codegen-units=256",
    "profile.sim.package.tickgate-sim.opt-level=1",
    "profile.sim.package.tickgate-sim.debug=0",
    "profile.sim.package.tickgate-sim.codegen-units=256",
];

/// The copy. Nobody else uses it as long as this lives.
#[derive(Debug)]
pub struct Scratch {
    workspace: PathBuf,
    place: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Takes hold of a copy of the workspace that this program is started in. `below`: where in the
    /// workspace, ignored by git.
    ///
    /// # Errors
    ///
    /// Fails if another one has it, or if it cannot be created.
    pub fn open(below: &str) -> Result<Self, String> {
        let broken = |error: std::io::Error| format!("cannot use {below}: {error}");
        let workspace = std::env::current_dir().map_err(broken)?;
        let place = workspace.join(below);
        std::fs::create_dir_all(place.join("tree")).map_err(broken)?;
        let lock = File::create(place.join("lock")).map_err(broken)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { workspace, place, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(format!("another `cargo sim` is using {below}")),
            Err(TryLockError::Error(error)) => Err(broken(error)),
        }
    }

    /// Where the copy is.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.place.join("tree")
    }

    /// The program, once it is built.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.place.join("target/sim/tickgate-sim")
    }

    /// A place for a file.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Makes the copy equal to the workspace, uncommitted changes included. Only what differs is
    /// written, so that little has to be built again.
    ///
    /// # Errors
    ///
    /// Fails without git, and if a file cannot be read or written.
    pub fn restore(&self) -> Result<(), String> {
        let files = self.files()?;
        for file in &files {
            copy_if_different(&self.workspace.join(file), &self.tree().join(file))?;
        }
        remove_all_but(&self.tree(), &self.tree(), &files)
    }

    /// What belongs to the workspace and exists.
    fn files(&self) -> Result<BTreeSet<PathBuf>, String> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.workspace)
            .output()
            .map_err(|error| format!("cannot run git: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cannot list the files of the workspace: {}", said.trim()));
        }
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        let files = names.split_terminator('\0').map(PathBuf::from);
        Ok(files.filter(|file| self.workspace.join(file).is_file()).collect())
    }

    /// Plants a bug into the copy.
    ///
    /// # Errors
    ///
    /// Fails with git's words if the patch does not apply.
    pub fn apply(&self, patch: &Path) -> Result<(), String> {
        let output = Command::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .arg(self.workspace.join(patch))
            .current_dir(self.tree())
            // Inside a repository git would take the paths as relative to its root, and skip all.
            .env("GIT_CEILING_DIRECTORIES", &self.place)
            .output()
            .map_err(|error| format!("cannot run git: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("it does not apply: {}", first_lines(&output.stderr)))
    }

    /// Builds the copy's simulator. `turn` is called while it waits.
    ///
    /// # Errors
    ///
    /// Fails with the compiler's words.
    pub fn build(&self, turn: &mut dyn FnMut()) -> Result<(), String> {
        let log = self.file("build.log");
        let broken = |error: std::io::Error| format!("cannot build: {error}");
        let mut command = self.cargo("build");
        command.args(["--profile", "sim", "--package", "tickgate-sim"]);
        command.stdout(Stdio::null()).stderr(File::create(&log).map_err(broken)?);
        let status = run_to_end(&mut command, None, turn)?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read(&log).map_err(broken)?;
        Err(format!("it does not compile: {}", first_lines(&said)))
    }

    /// A command of cargo for the copy, with a place of its own for what it builds.
    pub(crate) fn cargo(&self, name: &str) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        command
            .args([name, "--quiet", "--color", "never", "--target-dir"])
            .arg(self.place.join("target"))
            .args(QUICK_TO_BUILD.iter().flat_map(|setting| ["--config", setting]))
            .current_dir(self.tree())
            // They would replace the flags of .cargo/config.toml.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .stdin(Stdio::null());
        command
    }
}

fn first_lines(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.lines().take(4).map(str::trim).collect::<Vec<_>>().join("; ")
}

fn copy_if_different(from: &Path, to: &Path) -> Result<(), String> {
    let broken = |error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    let bytes = std::fs::read(from).map_err(broken)?;
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(directory) = to.parent() {
        std::fs::create_dir_all(directory).map_err(broken)?;
    }
    std::fs::write(to, bytes).map_err(broken)
}

fn remove_all_but(directory: &Path, root: &Path, keep: &BTreeSet<PathBuf>) -> Result<(), String> {
    let broken = |error| format!("cannot clean {}: {error}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path();
        if entry.file_type().map_err(broken)?.is_dir() {
            remove_all_but(&path, root, keep)?;
        } else if path.strip_prefix(root).is_ok_and(|file| !keep.contains(file)) {
            std::fs::remove_file(&path).map_err(broken)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_equal_is_not_written_again_and_one_that_is_gone_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("a"), directory.path().join("tree/deep/a"));
        std::fs::write(&from, "new").expect("it can be written");
        copy_if_different(&from, &to).expect("it can be copied");
        let written = || std::fs::metadata(&to).and_then(|file| file.modified()).expect("a time");
        let first = written();
        copy_if_different(&from, &to).expect("it can be copied");
        assert_eq!(written(), first);
        let tree = directory.path().join("tree");
        std::fs::write(tree.join("planted"), "x").expect("it can be written");
        remove_all_but(&tree, &tree, &[PathBuf::from("deep/a")].into()).expect("it is removed");
        assert!(to.is_file() && !tree.join("planted").exists());
    }
}
