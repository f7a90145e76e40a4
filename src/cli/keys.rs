//! `tickgate keys`: making, listing and removing API keys.

mod args;

use std::path::PathBuf;

pub(super) use args::KeysArgs;
use args::{KeysCommand, KeysFileArgs, NewKeyArgs, RemoveKeyArgs};

use super::{Failure, complain, load, print};
use crate::auth::keys_file::{self, KeyEntry, KeysFileError};
use crate::auth::{DEMO_USER, KeyHash, new_key};
use crate::config::{BrokerEntry, Config};
use crate::runtime::calendar::utc;
use crate::runtime::{Runtime, TokioRuntime};

/// What is to be done with a file that the gateway has read already.
const NEXT: &str = "have the gateway read the file again (kill -HUP)";

/// Used if neither the command line nor the configuration names a file.
const DEFAULT_FILE: &str = "tickgate-keys.toml";

impl From<KeysFileError> for Failure {
    fn from(error: KeysFileError) -> Self {
        match error {
            KeysFileError::Missing(_)
            | KeysFileError::NotPrivate { .. }
            | KeysFileError::Malformed { .. } => Self::Usage(error.to_string()),
            KeysFileError::Busy(_) | KeysFileError::Io { .. } => Self::Runtime(error.to_string()),
        }
    }
}

/// Runs one of the `keys` commands.
///
/// # Errors
///
/// Fails if the file of keys or the configuration cannot be used.
pub(super) fn run(args: KeysArgs) -> Result<(), Failure> {
    match args.command {
        KeysCommand::New(args) => new(&args),
        KeysCommand::List(args) => list(&args),
        KeysCommand::Remove(args) => remove(&args),
    }
}

/// The file of keys, and the configuration if it was asked.
struct Place {
    file: PathBuf,
    config: Option<Config>,
}

impl Place {
    fn of(args: &KeysFileArgs) -> Result<Self, Failure> {
        // A file named on the command line is enough: what else is configured need not be valid.
        if let (Some(file), None) = (&args.file, &args.config) {
            return Ok(Self { file: file.clone(), config: None });
        }
        let config = load(args.config.as_deref(), None)?.config;
        let file = args.file.clone().or_else(|| config.auth.keys_file.clone());
        let file = file.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        Ok(Self { file, config: Some(config) })
    }

    fn is_configured(&self) -> bool {
        let configured = self.config.as_ref().and_then(|config| config.auth.keys_file.as_deref());
        configured == Some(&*self.file)
    }
}

fn new(args: &NewKeyArgs) -> Result<(), Failure> {
    if args.user == DEMO_USER {
        return Err(Failure::Usage(format!(
            "{DEMO_USER:?} is the user of the demo key; choose another name"
        )));
    }
    let place = Place::of(&args.file)?;
    if let (Some(broker), Some(config)) = (&args.broker, &place.config) {
        known_broker(broker, &config.effective_brokers())?;
    }
    let runtime = TokioRuntime::new();
    let key = new_key(&runtime);
    let entry = KeyEntry {
        user: args.user.as_str().into(),
        broker: args.broker.as_deref().map(Into::into),
        role: args.role,
        hash: KeyHash::of(&key),
        created: Some(utc(runtime.unix_ms())),
    };
    keys_file::update(&place.file, |keys| keys.push(entry))?;
    print(&format!("{key}\n"))?;
    complain(&next_step(&args.user, &place));
    Ok(())
}

fn known_broker(broker: &str, brokers: &[BrokerEntry]) -> Result<(), Failure> {
    if brokers.iter().any(|entry| entry.name == broker) {
        return Ok(());
    }
    let names: Vec<_> = brokers.iter().map(|entry| entry.name.as_str()).collect();
    Err(Failure::Usage(format!(
        "no broker {broker:?} is configured; there is {}",
        names.join(", ")
    )))
}

fn next_step(user: &str, place: &Place) -> String {
    let file = place.file.display();
    let set = format!("set `auth.keys_file = {:?}` in tickgate.toml", place.file);
    let configure = if place.is_configured() {
        NEXT.to_owned()
    } else if place.config.is_some() {
        format!("{set} and restart the gateway")
    } else {
        format!("{NEXT}, or if it does not use it yet, {set} and restart it")
    };
    format!(
        "this is the key of {user}, shown this once; {file} holds only its hash\n\
         next: {configure}, then `TICKGATE_KEY=… tickgate tail NSE:RELIANCE`"
    )
}

fn list(args: &KeysFileArgs) -> Result<(), Failure> {
    let place = Place::of(args)?;
    let keys = keys_file::read(&place.file)?;
    if keys.is_empty() {
        complain(&format!("{} holds no key", place.file.display()));
    }
    let rows = keys.iter().map(|key| {
        let broker = key.broker.as_ref().map_or("-", |broker| broker.as_str());
        let created = key.created.as_deref().unwrap_or("-");
        [key.user.as_str(), broker, key.role.as_str(), created]
    });
    let header = ["USER", "BROKER", "ROLE", "CREATED"];
    let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
    let width =
        |at: usize| rows.iter().map(|row| console::measure_text_width(row[at])).max().unwrap_or(0);
    let (user_width, broker_width, role_width) = (width(0), width(1), width(2));
    let lines = rows.iter().map(|[user, broker, role, created]| {
        format!("{user:user_width$}  {broker:broker_width$}  {role:role_width$}  {created}\n")
    });
    print(&lines.collect::<String>())
}

fn remove(args: &RemoveKeyArgs) -> Result<(), Failure> {
    let place = Place::of(&args.file)?;
    if !place.file.exists() {
        return Err(KeysFileError::Missing(place.file).into());
    }
    let removed = keys_file::update(&place.file, |keys| {
        let before = keys.len();
        keys.retain(|key| key.user.as_str() != args.user);
        before - keys.len()
    })?;
    let file = place.file.display();
    match removed {
        0 => Err(Failure::Usage(format!("{file} holds no key of {}", args.user))),
        1 => print(&format!("removed the key of {}; {NEXT}\n", args.user)),
        count => print(&format!("removed {count} keys of {}; {NEXT}\n", args.user)),
    }
}
