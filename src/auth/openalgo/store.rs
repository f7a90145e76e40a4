//! OpenAlgo's own database, read and never written: whose keys there are, and who is with which
//! broker. Everything here blocks, a check of a key for a tenth of a second.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordVerifier};
use rusqlite::{Connection, OpenFlags};

use super::super::keys_file::is_user_name;
use super::super::verified::fingerprint;
use crate::config::Auth;
use crate::protocol::Secret;
use crate::topic::{BrokerName, CredentialTag, UserId};

/// How long somebody who writes may hold us up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Keys that are taken: each costs a tenth of a second before a key counts as wrong.
const KEYS_MAX: usize = 64;
/// Characters of the pepper; OpenAlgo demands as many.
const PEPPER_CHARS_MIN: usize = 32;
/// Memory of one check, in KiB. argon2-cffi takes 65536.
const MEMORY_KIB_MAX: u32 = 1_048_576;
/// Passes of one check. argon2-cffi makes 3.
const PASSES_MAX: u32 = 64;

const QUERY: &str = "SELECT k.user_id, k.api_key_hash, a.broker FROM api_keys AS k \
    LEFT JOIN auth AS a ON a.name = k.user_id AND NOT COALESCE(a.is_revoked, 0) \
    ORDER BY k.user_id LIMIT 4096";

/// Somebody with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: UserId,
    /// Absent: logged in nowhere.
    pub(super) broker: Option<BrokerName>,
    /// Changes with the key.
    pub(super) tag: CredentialTag,
}

/// Where the database is, and what is mixed into its hashes.
#[derive(Clone)]
pub(crate) struct Store {
    path: PathBuf,
    pepper: Secret,
    /// [`Auth::openalgo_checks_max`].
    pub(super) checks_max: usize,
    /// Why some keys were not taken when it was opened: a sentence for each reason.
    unusable: Vec<String>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The state of the files of a database, which every change changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, SystemTime)>; 2]);

struct Row {
    account: Account,
    hash: String,
}

/// What a database says.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) accounts: Vec<Account>,
    /// Why there are others that are not taken: a sentence for each reason.
    pub(super) unusable: Vec<String>,
}

/// The keys that are taken, and why others are not.
#[derive(Default)]
struct Usable {
    rows: Vec<(Account, PasswordHash)>,
    unusable: Vec<String>,
}

impl Store {
    /// The database that a configuration names, if any. `variable` reads the environment.
    ///
    /// # Errors
    ///
    /// Says in one sentence why it cannot be used.
    pub(crate) fn open(
        auth: &Auth,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let Some(path) = &auth.openalgo_database else { return Ok(None) };
        let name = &auth.openalgo_pepper_variable;
        let pepper = variable(name).filter(|pepper| pepper.chars().count() >= PEPPER_CHARS_MIN);
        let pepper = pepper.ok_or_else(|| {
            format!(
                "the environment variable {name} must hold OpenAlgo's pepper, at least \
                 {PEPPER_CHARS_MIN} characters, for `auth.openalgo_database`"
            )
        })?;
        let path = database_path(path)?;
        let checks_max = auth.openalgo_checks_max;
        let mut store = Self { path, pepper: pepper.into(), checks_max, unusable: Vec::new() };
        let named = |reason: String| format!("{}: {reason}", store.path.display());
        let Usable { rows, unusable } = store.usable().map_err(|error| named(error.to_string()))?;
        match unusable.first() {
            Some(reason) if rows.is_empty() => return Err(named(reason.clone())),
            Some(_) | None => store.unusable = unusable,
        }
        Ok(Some(store))
    }

    /// Why some keys were not taken when it was opened: a sentence for each reason.
    pub(in crate::auth) fn unusable(&self) -> &[String] {
        &self.unusable
    }

    /// Whose key this is. Takes a tenth of a second for each key in the table.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be read now.
    pub(super) fn find(&self, key: &str) -> rusqlite::Result<Option<Account>> {
        let peppered = [key.as_bytes(), self.pepper.as_str().as_bytes()].concat();
        let verifies = |hash: &PasswordHash| Argon2::default().verify_password(&peppered, hash);
        let mut rows = self.usable()?.rows.into_iter();
        let found = rows.find(|(_, hash)| verifies(hash).is_ok());
        Ok(found.map(|(account, _)| account))
    }

    /// What it says, and the state of the files before they were read, if that is not `last`.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be read now.
    pub(super) fn news(&self, last: Option<Stamp>) -> rusqlite::Result<Option<(Stamp, News)>> {
        let stamp = self.stamp();
        if last == Some(stamp) {
            return Ok(None);
        }
        let Usable { rows, unusable } = self.usable()?;
        let accounts = rows.into_iter().map(|(account, _)| account).collect();
        Ok(Some((stamp, News { accounts, unusable })))
    }

    fn stamp(&self) -> Stamp {
        let mut journal = self.path.clone().into_os_string();
        journal.push("-wal");
        Stamp([self.path.as_os_str(), &journal].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        }))
    }

    fn usable(&self) -> rusqlite::Result<Usable> {
        let (mut usable, mut beyond) = (Usable::default(), 0_u64);
        for row in self.rows()? {
            match row.hash() {
                Ok(_) if usable.rows.len() >= KEYS_MAX => beyond += 1,
                Ok(hash) => usable.rows.push((row.account, hash)),
                Err(why) => {
                    usable
                        .unusable
                        .push(format!("the key of {:?} {why}", row.account.user.as_str()));
                }
            }
        }
        if beyond > 0 {
            let reason = format!(
                "no more than {KEYS_MAX} keys are taken, in the order of the users' names: \
                 {beyond} are not"
            );
            usable.unusable.push(reason);
        }
        Ok(usable)
    }

    fn rows(&self) -> rusqlite::Result<Vec<Row>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        let mut query = connection.prepare(QUERY)?;
        let rows = query.query_map((), |row| {
            let (user, hash): (String, String) = (row.get(0)?, row.get(1)?);
            let broker: Option<String> = row.get(2)?;
            let tag = fingerprint(&[b"openalgo", user.as_bytes(), hash.as_bytes()]);
            let account = Account {
                user: user.into(),
                broker: broker.map(Into::into),
                tag: CredentialTag::new(tag),
            };
            Ok(Row { account, hash })
        })?;
        rows.collect()
    }
}

impl Row {
    /// The hash of a key that can be taken, or why it cannot.
    fn hash(&self) -> Result<PasswordHash, &'static str> {
        if !is_user_name(self.account.user.as_str()) {
            return Err("is not taken: names have 1 to 64 bytes, no spaces, no control characters");
        }
        let hash = PasswordHash::new(&self.hash).map_err(|_| "is no Argon2 hash")?;
        let params = Params::try_from(&hash).map_err(|_| "is no Argon2 hash")?;
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
            return Err("is not taken: to check it would take more than 1 GiB, or 64 passes");
        }
        Ok(hash)
    }
}

/// A path, or a URL as OpenAlgo's `DATABASE_URL` is one: `sqlite:///relative`,
/// `sqlite:////absolute`.
fn database_path(given: &Path) -> Result<PathBuf, String> {
    let text = given.to_string_lossy();
    match text.split_once("://") {
        None => Ok(given.to_owned()),
        Some(("sqlite", path)) => match path.strip_prefix('/') {
            Some(path) if !path.is_empty() => Ok(path.into()),
            Some(_) | None => Err("`auth.openalgo_database` names no file".into()),
        },
        Some(_) => Err("`auth.openalgo_database` must be a file of SQLite, or sqlite:///…".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_as_openalgo_names_it_or_by_its_path() {
        let path = |text: &str| database_path(Path::new(text));
        assert_eq!(path("db/openalgo.db"), Ok("db/openalgo.db".into()));
        assert_eq!(path("sqlite:///db/openalgo.db"), Ok("db/openalgo.db".into()));
        assert_eq!(path("sqlite:////srv/openalgo.db"), Ok("/srv/openalgo.db".into()));
        for bad in ["sqlite:///", "sqlite://", "postgresql://u:hush@h/d"] {
            let error = path(bad).expect_err(bad);
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
