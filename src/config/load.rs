//! From files and the environment to a configuration.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::problem::{BadConfig, Place, Problem};
use super::{Config, environment, file};

/// Read if no file is named and there is one.
pub const DEFAULT_FILE: &str = "tickgate.toml";

/// More is no configuration.
const FILE_BYTES_MAX: u64 = 1_048_576;

/// A configuration, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Environment variables that override it, sorted.
    pub overridden_by: Vec<String>,
}

/// Reads `path`, or else `./tickgate.toml` if there is one, then the environment of this process.
///
/// # Errors
///
/// Fails if the file cannot be read, or with everything that is wrong in it and in the
/// `TICKGATE_` variables.
pub fn load(path: Option<&Path>) -> Result<Loaded, BadConfig> {
    let path = match path {
        Some(path) => Some(path.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    let text = path.as_deref().map(read_file).transpose()?;
    let shown = path.as_ref().map(|path| path.display().to_string());
    let (config, overridden_by) =
        parse(shown.as_deref().zip(text.as_deref()), process_environment()?)?;
    Ok(Loaded { config, file: path, overridden_by })
}

/// Puts a configuration together from the name and text of a file, if any, and from environment
/// variables; those that do not begin with `TICKGATE_` are passed over.
///
/// Also returns the names of the variables that override something.
///
/// # Errors
///
/// Fails with everything that is wrong.
pub fn parse(
    file: Option<(&str, &str)>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<String>), BadConfig> {
    let mut draft = Draft::default();
    if let Some((path, text)) = file {
        file::read(path, text, &mut draft);
    }
    let overridden_by = environment::read(variables, &mut draft);
    Ok((draft.finish()?, overridden_by))
}

fn read_file(path: &Path) -> Result<String, BadConfig> {
    let fail = |why: &str| BadConfig::from(Problem::nowhere(format!("{}: {why}", path.display())));
    let file = File::open(path).map_err(|error| fail(reason(&error)))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| fail(reason(&error)))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail("is larger than 1 MiB, so it is no configuration"));
    }
    String::from_utf8(bytes).map_err(|_| fail("is not UTF-8 text"))
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file",
        io::ErrorKind::IsADirectory => "is a directory",
        io::ErrorKind::PermissionDenied => "permission to read it is denied",
        _ => "cannot be read",
    }
}

fn process_environment() -> Result<Vec<(String, String)>, BadConfig> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with("TICKGATE_").then_some((name, value))
        })
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(Problem::at(Place::Environment(name), "does not hold UTF-8 text").into()),
        })
        .collect()
}
