//! What the configuration grants: read, checked, and read again.

use std::fmt;
use std::sync::Arc;

use super::jwt::{Jwt, JwtRules, KeySet};
use super::keys::KeyTable;
use super::keys_file;
use super::openalgo::store::Store;
use crate::config::{Auth, Config};
use crate::topic::{BrokerName, CredentialTag, Role};

/// What is known of credentials, and where it is read.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub(super) tables: Tables,
    pub(super) source: Option<Source>,
    pub(super) openalgo: Option<Store>,
}

/// Everything that files say.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) keys: KeyTable,
    pub(super) jwt: Option<Jwt>,
}

/// Where tables come from.
#[derive(Clone)]
pub(super) enum Source {
    Files(Box<Files>),
    /// Somebody who knows the keys of the moment.
    Keys(Arc<dyn Fn() -> KeyTable + Send + Sync>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(files) => files.fmt(f),
            Self::Keys(_) => f.write_str("Keys"),
        }
    }
}

/// What the configuration says of files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    auth: Auth,
    brokers: Vec<BrokerName>,
}

/// Why credentials cannot be used: one sentence for each reason, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCredentials(pub Vec<String>);

impl fmt::Display for BadCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for BadCredentials {}

/// What reading the files again has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// How often the files have been read again by then; 0: there are none.
    pub generation: u64,
    /// Credentials that are gone, or now somebody else's. What one
    /// [covers](CredentialTag::covers) is gone as well.
    pub revoked: Vec<CredentialTag>,
    /// Credentials that give another role than before, and which.
    pub changed: Vec<(CredentialTag, Role)>,
}

impl Reloaded {
    /// Whether whoever came in by this credential must leave.
    #[must_use]
    pub fn revokes(&self, tag: CredentialTag) -> bool {
        self.revoked.iter().any(|gone| gone.covers(tag))
    }

    /// Whether whoever came in by this credential is concerned at all.
    #[must_use]
    pub fn concerns(&self, tag: CredentialTag) -> bool {
        self.revokes(tag) || self.changed.iter().any(|(changed, _)| changed.covers(tag))
    }
}

impl From<KeyTable> for Credentials {
    /// These keys alone, from no file.
    fn from(keys: KeyTable) -> Self {
        Self { tables: Tables { keys, jwt: None }, source: None, openalgo: None }
    }
}

impl Credentials {
    /// Keys that are in no file: asked for now, and again whenever credentials are read again.
    #[must_use]
    pub fn from_keys(keys: impl Fn() -> KeyTable + Send + Sync + 'static) -> Self {
        let tables = Tables { keys: keys(), jwt: None };
        Self { tables, source: Some(Source::Keys(Arc::new(keys))), openalgo: None }
    }

    /// Reads the files that a configuration names, and opens OpenAlgo's database, if it names one.
    /// `variable` reads the environment.
    ///
    /// # Errors
    ///
    /// Fails with everything that is wrong. Tell the operator and do not start.
    pub fn load(
        config: &Config,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BadCredentials> {
        let brokers = config.effective_brokers();
        let brokers = brokers.into_iter().map(|broker| broker.name.into()).collect();
        let files = Files { auth: config.auth.clone(), brokers };
        match (files.read(), Store::open(&config.auth, variable)) {
            (Ok(tables), Ok(openalgo)) => {
                Ok(Self { tables, source: Some(Source::Files(Box::new(files))), openalgo })
            }
            (tables, openalgo) => {
                let mut bad = tables.map_or_else(|BadCredentials(bad)| bad, |_| Vec::new());
                bad.extend(openalgo.err());
                Err(BadCredentials(bad))
            }
        }
    }
}

impl Credentials {
    /// What an operator should know of credentials that are there and are not taken: a sentence
    /// for each reason, without any secret.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.openalgo.as_ref().map_or(&[], Store::unusable)
    }
}

impl Source {
    /// What it says now.
    ///
    /// # Errors
    ///
    /// Fails with everything that is wrong with its files.
    pub(super) fn read(&self) -> Result<Tables, BadCredentials> {
        match self {
            Self::Files(files) => files.read(),
            Self::Keys(keys) => Ok(Tables { keys: keys(), jwt: None }),
        }
    }
}

impl Files {
    /// Reads them all. One that is bad spoils the whole, so that what holds is always consistent.
    ///
    /// # Errors
    ///
    /// Fails with everything that is wrong.
    fn read(&self) -> Result<Tables, BadCredentials> {
        let mut bad = Vec::new();
        let keys = self.keys().unwrap_or_else(|reason| {
            bad.push(reason);
            KeyTable::new()
        });
        let set = self.auth.jwt_keys_file.as_deref().map(KeySet::read).transpose();
        let jwt = set.unwrap_or_else(|reason| {
            bad.push(reason);
            None
        });
        let jwt = jwt.map(|keys| Jwt::new(keys, JwtRules::from(&self.auth)));
        if bad.is_empty() { Ok(Tables { keys, jwt }) } else { Err(BadCredentials(bad)) }
    }

    fn keys(&self) -> Result<KeyTable, String> {
        let table = match &self.auth.keys_file {
            Some(path) => keys_file::load(path).map_err(|error| error.to_string())?,
            None => KeyTable::new(),
        };
        for verified in table.all() {
            if let Some(wanted) = &verified.broker
                && !self.brokers.contains(wanted)
            {
                let names: Vec<_> = self.brokers.iter().map(BrokerName::as_str).collect();
                return Err(format!(
                    "a key of {} is for the broker {:?}, which is not configured; there is {}",
                    verified.user,
                    wanted.as_str(),
                    names.join(", ")
                ));
            }
        }
        Ok(if self.auth.demo_key { table.with_demo_key() } else { table })
    }
}

impl Tables {
    /// What `new` does to those who came in by these.
    pub(super) fn compare(&self, new: &Self) -> Reloaded {
        let mut reloaded = Reloaded::default();
        for old in self.keys.all() {
            match new.keys.all().find(|new| new.tag == old.tag) {
                Some(new) if new.user == old.user && new.broker == old.broker => {
                    if new.role != old.role {
                        reloaded.changed.push((old.tag, new.role));
                    }
                }
                Some(_) | None => reloaded.revoked.push(old.tag),
            }
        }
        let signers = |tables: &Self| -> Vec<CredentialTag> {
            tables.jwt.iter().flat_map(|jwt| jwt.keys().tags()).collect()
        };
        let left = signers(new);
        reloaded.revoked.extend(signers(self).into_iter().filter(|tag| !left.contains(tag)));
        reloaded
    }
}
