//! Planted bugs: is the simulator any good?
//!
//! Each file of `sim/bugs/` breaks the gateway in one way. It is applied to a scratch copy, built,
//! and must be found by the ordinary scenarios, by an invariant that can explain it.

pub mod judgement;
pub mod measure;
pub mod preamble;
pub mod scratch;
pub mod table;
pub mod techniques;

use std::path::{Path, PathBuf};

use self::preamble::Preamble;

/// Bugs that must be found.
pub const BUGS: &str = "sim/bugs";
/// Bugs that are known not to be found, each with the reason.
pub const UNFOUND: &str = "sim/bugs/unfound";
/// A bug that nobody can miss.
pub const CANARY: &str = "sim/bugs/canary/always_fails.patch";

/// A patch that breaks the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The name of its file, without the ending.
    pub name: String,
    /// Its file.
    pub patch: PathBuf,
    /// What the file says about it.
    pub preamble: Preamble,
}

impl Bug {
    /// Reads a patch file.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be read or does not say what is needed of it.
    pub fn load(patch: &Path) -> Result<Self, String> {
        let shown = patch.display();
        let text = std::fs::read_to_string(patch)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
        let preamble = Preamble::parse(&text).map_err(|problem| format!("{shown}: {problem}"))?;
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, patch: patch.to_owned(), preamble })
    }
}

/// The bugs of a directory of the workspace, by name.
///
/// # Errors
///
/// Fails if the directory or one of its patches is not good.
pub fn bugs_in(directory: &Path) -> Result<Vec<Bug>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            files.push(path);
        }
    }
    files.sort();
    files.iter().map(|file| Bug::load(file)).collect()
}
