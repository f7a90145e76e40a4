//! The file of hashed API keys: TOML, one `[[key]]` for each, readable by its owner alone.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keys::{KeyHash, KeyTable};
use crate::topic::{BrokerName, Role, UserId};

/// More is no file of keys.
const FILE_BYTES_MAX: u64 = 16 * 1_048_576;
const USER_BYTES_MAX: usize = 64;
const HEADER: &str = "\
# API keys of tickgate, by their SHA-256: the keys themselves are nowhere. Made by `tickgate keys`,
# which keeps the entries and not the comments. Keep it readable by its owner alone.
";

/// One key.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// Whose.
    pub user: UserId,
    /// The user's broker; absent: the first one configured.
    pub broker: Option<BrokerName>,
    /// How much the user may do with it.
    pub role: Role,
    /// The key's hash.
    pub hash: KeyHash,
    /// When it was made, as text for people.
    pub created: Option<String>,
}

/// Why a file of keys cannot be used. One sentence for the operator; it never shows a hash.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// There is none.
    #[error("{}: there is no such file; `tickgate keys new USER --file {}` makes it", .0.display(), .0.display())]
    Missing(PathBuf),
    /// Others than its owner may read or write it.
    #[error("{}: others can read it (mode {mode:04o}); run `chmod 600 {}`", .path.display(), .path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not a file of keys.
    #[error("{}: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// Somebody else is changing it.
    #[error("{}: somebody else is changing the keys; if nobody is, remove this file", .0.display())]
    Busy(PathBuf),
    /// The operating system refused.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        error: io::Error,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    key: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Reads the keys of a file.
///
/// # Errors
///
/// Fails if there is no such file, others can read it, or it is not a file of keys. Tell the
/// operator and do not start.
pub fn read(path: &Path) -> Result<Vec<KeyEntry>, KeysFileError> {
    let io_error = |error| KeysFileError::Io { path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeysFileError::Missing(path.to_owned()));
        }
        Err(error) => return Err(io_error(error)),
    };
    private(path, &file.metadata().map_err(io_error)?)?;
    let mut text = String::new();
    let malformed = |reason| KeysFileError::Malformed { path: path.to_owned(), reason };
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io_error)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(malformed("it is larger than 16 MiB, so it is no file of keys".to_owned()));
    }
    entries(&text).map_err(malformed)
}

/// A table of the keys of a file.
///
/// # Errors
///
/// As [`read`].
pub fn load(path: &Path) -> Result<KeyTable, KeysFileError> {
    Ok(read(path)?.into_iter().fold(KeyTable::new(), |table, key| {
        table.with_hash(key.hash, key.user, key.broker, key.role)
    }))
}

/// Changes the keys of a file as a whole or not at all, and returns what `change` returned.
///
/// A file that is missing counts as empty and is made, if `change` leaves a key. Of two that
/// change it at once, the second fails.
///
/// # Errors
///
/// As [`read`], and if the file or its directory cannot be written.
pub fn update<T>(
    path: &Path,
    change: impl FnOnce(&mut Vec<KeyEntry>) -> T,
) -> Result<T, KeysFileError> {
    // The link stays, the file behind it is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let replacement = Replacement::create(path)?;
    let (mut keys, existed) = match read(path) {
        Ok(keys) => (keys, true),
        Err(KeysFileError::Missing(_)) => (Vec::new(), false),
        Err(error) => return Err(error),
    };
    let result = change(&mut keys);
    if existed || !keys.is_empty() {
        let text = render(&keys)
            .map_err(|reason| KeysFileError::Malformed { path: path.to_owned(), reason })?;
        replacement.finish(path, &text)?;
    }
    Ok(result)
}

/// Whether a user can have this name: 1 to 64 bytes without spaces and control characters.
#[must_use]
pub fn is_user_name(name: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn entries(text: &str) -> Result<Vec<KeyEntry>, String> {
    let document: Document = toml::from_str(text).map_err(|error| {
        // The reason alone: what surrounds it in the file may be a hash, or a key.
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}: {}", error.message().lines().collect::<Vec<_>>().join(", "))
    })?;
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys = Vec::with_capacity(document.key.len());
    for (number, row) in (1..).zip(document.key) {
        let hash = KeyHash::from_hex(&row.sha256)
            .ok_or_else(|| format!("key {number}: `sha256` must be 64 hexadecimal digits"))?;
        if !is_user_name(&row.user) {
            return Err(format!("key {number}: `user` must be 1 to 64 bytes without spaces"));
        }
        if let Some(first) = owners.insert(hash.to_hex(), number) {
            return Err(format!("key {number} is the same as key {first}; remove one"));
        }
        let role = row.role.as_deref().map_or(Ok(Role::default()), str::parse);
        let role = role.map_err(|error| format!("key {number}: {error}"))?;
        keys.push(KeyEntry {
            role,
            user: row.user.into(),
            broker: row.broker.map(BrokerName::from),
            hash,
            created: row.created,
        });
    }
    Ok(keys)
}

fn render(keys: &[KeyEntry]) -> Result<String, String> {
    let rows = keys.iter().map(|key| Row {
        user: key.user.to_string(),
        broker: key.broker.as_ref().map(BrokerName::to_string),
        role: (key.role != Role::default()).then(|| key.role.to_string()),
        sha256: key.hash.to_hex(),
        created: key.created.clone(),
    });
    let text =
        toml::to_string(&Document { key: rows.collect() }).map_err(|error| error.to_string())?;
    Ok(format!("{HEADER}\n{text}"))
}

/// A file next to the one to be replaced. It is there while the keys are being changed, so that
/// nobody else changes them meanwhile; unless finished, it goes away again.
struct Replacement {
    path: PathBuf,
    file: File,
    finished: bool,
}

impl Replacement {
    fn create(target: &Path) -> Result<Self, KeysFileError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".new");
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => {
                let replacement = Self { path, file, finished: false };
                replacement.belong_as(target)?;
                Ok(replacement)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeysFileError::Busy(path))
            }
            Err(error) => Err(KeysFileError::Io { path, error }),
        }
    }

    /// Gives it to whom the file belongs that it replaces: whoever reads that one is to read this
    /// one, though somebody else, root perhaps, changes the keys.
    #[cfg(unix)]
    fn belong_as(&self, target: &Path) -> Result<(), KeysFileError> {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let failed = |error| KeysFileError::Io { path: target.to_owned(), error };
        let before = match fs::metadata(target) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let owner = self.file.metadata().map_err(failed)?.uid();
        match fchown(&self.file, Some(before.uid()), Some(before.gid())) {
            // The group has no part in it.
            Err(_) if owner == before.uid() => Ok(()),
            given => given.map_err(failed),
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as on Unix")]
    fn belong_as(&self, _: &Path) -> Result<(), KeysFileError> {
        Ok(())
    }

    fn finish(mut self, target: &Path, text: &str) -> Result<(), KeysFileError> {
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all())
            .and_then(|()| fs::rename(&self.path, target));
        written.map_err(|error| KeysFileError::Io { path: target.to_owned(), error })?;
        self.finished = true;
        // The new name must survive a power failure too. Not every file system can promise that.
        if let Some(directory) = target.parent().and_then(|path| File::open(path).ok()) {
            let _ = directory.sync_all();
        }
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn private(path: &Path, metadata: &fs::Metadata) -> Result<(), KeysFileError> {
    match mode_for_others(metadata) {
        Some(mode) => Err(KeysFileError::NotPrivate { path: path.to_owned(), mode }),
        None => Ok(()),
    }
}

/// The permissions of a file, if others than its owner have any.
#[cfg(unix)]
pub(crate) fn mode_for_others(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o7777;
    (metadata.is_file() && mode & 0o077 != 0).then_some(mode)
}

/// There are no permissions to look at here.
#[cfg(not(unix))]
pub(crate) fn mode_for_others(_: &fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests;
