//! From files and the environment to a configuration.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::problem::{BadConfig, Place, Problem};
use super::{Config, Installation, environment, file, openalgo};

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
    /// The installation of OpenAlgo that holds below these, if one was named.
    pub installation: Option<Installation>,
}

/// Reads `path`, or else `./tickgate.toml` if there is one, then the environment of this process;
/// below both, what an installation of OpenAlgo says, if its directory is given.
///
/// # Errors
///
/// Fails if a file cannot be read, or with everything that is wrong in it, in the `TICKGATE_`
/// variables and in those of the installation.
pub fn load(path: Option<&Path>, openalgo: Option<&Path>) -> Result<Loaded, BadConfig> {
    let path = match path {
        Some(path) => Some(path.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    let text = path.as_deref().map(read_file).transpose()?;
    let shown = path.as_ref().map(|path| path.display().to_string());
    let file = shown.as_deref().zip(text.as_deref());
    let Some(root) = openalgo else {
        let (config, overridden_by) = parse(file, process_environment()?)?;
        return Ok(Loaded { config, file: path, overridden_by, installation: None });
    };
    if !root.is_dir() {
        return Err(Problem::nowhere(format!("{}: is not a directory", root.display())).into());
    }
    let dotenv = Some(root.join(".env")).filter(|path| path.exists());
    let dotenv = dotenv.as_deref().map(read_file).transpose()?;
    let mut variables: BTreeMap<_, _> = process_environment()?.into_iter().collect();
    variables.extend(
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    );
    let (config, overridden_by, installation) =
        parse_in(root, dotenv.as_deref(), file, &variables)?;
    Ok(Loaded { config, file: path, overridden_by, installation: Some(installation) })
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

/// The same in an installation of OpenAlgo: `dotenv` is the text of its `.env`, and `variables` are
/// asked for its settings too.
///
/// # Errors
///
/// Fails with everything that is wrong.
pub fn parse_in(
    root: &Path,
    dotenv: Option<&str>,
    file: Option<(&str, &str)>,
    variables: &BTreeMap<String, String>,
) -> Result<(Config, Vec<String>, Installation), BadConfig> {
    let mut draft = Draft::default();
    let mut reader = openalgo::Reader::new(root, dotenv, variables);
    reader.below(&mut draft);
    if let Some((path, text)) = file {
        file::read(path, text, &mut draft);
    }
    let overridden_by = environment::read(variables.clone(), &mut draft);
    let installation = reader.finish(&mut draft);
    Ok((draft.finish()?, overridden_by, installation))
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
