//! `tickgate check` and `tickgate config`: what holds, and whether it may.

use std::path::Path;

use super::args::{CheckArgs, ServeArgs};
use super::{Failure, load, print, serve};
use crate::config::{
    Address, Became, BrokerKind, ChannelAuth, ChannelEntry, Config, Loaded, Setting,
};
use crate::recording;
use crate::runtime::calendar::utc;
use crate::runtime::{Runtime, TokioRuntime};
use crate::server::{BadCertificate, Certificate};

impl From<BadCertificate> for Failure {
    fn from(bad: BadCertificate) -> Self {
        Self::Usage(bad.to_string())
    }
}

/// Says whether a configuration is valid, and what it comes to.
///
/// # Errors
///
/// Fails with everything that is wrong.
pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let loaded = load(args.file.as_deref(), args.openalgo.as_deref())?;
    let credentials = serve::credentials(&loaded)?;
    let certificate = Certificate::read(&loaded.config.server)?;
    recordings(&loaded.config)?;
    let summary = summary(&loaded, certificate.as_ref(), credentials.warnings());
    let file = args.file.as_ref().or(args.openalgo.as_ref()).expect("clap demands one");
    print(&format!("{} is valid\n{summary}", file.display()))
}

/// Looks whether there is a recording where a replay is to take it from.
fn recordings(config: &Config) -> Result<(), Failure> {
    for broker in config.brokers.iter().filter(|broker| broker.kind == BrokerKind::Replay) {
        let file = broker.file.as_deref().unwrap_or(Path::new(""));
        recording::open(file).map_err(|bad| {
            let (name, file) = (&broker.name, file.display());
            Failure::Usage(format!("broker {name}: {file} cannot be replayed: {bad}"))
        })?;
    }
    Ok(())
}

/// Prints the configuration that holds. There is no secret in it: keys live in a file of their
/// own.
///
/// # Errors
///
/// Fails with everything that is wrong.
pub(super) fn config(args: &ServeArgs) -> Result<(), Failure> {
    let loaded = load(args.config.as_deref(), args.openalgo.as_deref())?;
    let text = toml::to_string_pretty(&loaded.config)
        .map_err(|error| Failure::Runtime(format!("the configuration has no text: {error}")))?;
    print(&format!("{}\n{text}", sources(&loaded)))
}

/// Where the values came from, as TOML comments.
fn sources(loaded: &Loaded) -> String {
    let file = match &loaded.file {
        Some(file) => format!("# {}", file.display()),
        None => "# defaults, no file".into(),
    };
    let variables: Vec<_> =
        loaded.overridden_by.iter().map(|name| format!("# overridden by {name}\n")).collect();
    let openalgo: Vec<_> = installation(loaded).map(|line| format!("# {line}\n")).collect();
    format!("{file}\n{}{}", openalgo.concat(), variables.concat())
}

fn summary(loaded: &Loaded, certificate: Option<&Certificate>, warnings: &[String]) -> String {
    let config = &loaded.config;
    let mut lines = vec![
        format!("  clients     {}://{}", scheme(config), config.server.listen),
        format!("  TLS         {}", certificate.map_or("none".into(), validity)),
        format!("  bus         {}", bus(config)),
        format!("  admin       {}", or_none(&config.admin.listen)),
        format!("  brokers     {}", brokers(config)),
        format!("  keys        {}", keys(config)),
        format!(
            "  log         {}{}",
            config.log.level,
            if config.log.json { ", JSON" } else { "" }
        ),
    ];
    lines.extend(channels(config));
    lines.extend(exposed_channels(config).map(|path| format!("  warning     {}", exposed(path))));
    lines.extend(warnings.iter().map(|reason| format!("  warning     OpenAlgo: {reason}")));
    lines.extend(installation(loaded).map(|line| format!("  OpenAlgo    {line}")));
    lines.extend(loaded.overridden_by.iter().map(|name| format!("  overridden  by {name}")));
    lines.join("\n") + "\n"
}

/// What became of the variables of an installation of OpenAlgo, one a line, without any value.
fn installation(loaded: &Loaded) -> impl Iterator<Item = String> {
    let settings = loaded.installation.iter().flat_map(|installation| &installation.settings);
    settings.map(|Setting { variable, place, became }| {
        let place = place.as_ref().map_or("OpenAlgo's default".into(), ToString::to_string);
        let place = if place == *variable { "environment".into() } else { place };
        match became {
            Became::Key(key) => format!("{variable} ({place}) is {key}"),
            Became::Overridden(key) => format!("{variable} ({place}) gives way to our {key}"),
            Became::Used(what) => format!("{variable} ({place}) is {what}"),
            Became::Noted(why) => format!("{variable} ({place}) is not used: {why}"),
        }
    })
}

/// How clients connect.
pub(super) fn scheme(config: &Config) -> &'static str {
    if config.server.tls_certificate.is_some() { "wss" } else { "ws" }
}

fn validity(certificate: &Certificate) -> String {
    let (expires, now_ms) = (certificate.expires_unix_ms(), TokioRuntime::new().unix_ms());
    let warning = if expires <= now_ms {
        ": it HAS EXPIRED, so clients will refuse it"
    } else if certificate.expires_soon(now_ms) {
        ", soon: see to a new one"
    } else {
        ""
    };
    format!("certificate good until {}{warning}", utc(expires))
}

fn bus(config: &Config) -> String {
    let bind = config.bus.bind.iter().cloned();
    let connect = config.bus.connect.iter().map(|address| format!("to {address}"));
    bind.chain(connect).collect::<Vec<_>>().join(", ")
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".into() } else { format!("http://{text}") }
}

/// E.g. `/ws/index (broadcast, anonymous)`, one a line.
fn channels(config: &Config) -> impl Iterator<Item = String> {
    config.channel.iter().map(|channel| {
        let ChannelEntry { path, kind, auth, .. } = channel;
        format!("  channel     {path} ({}, {})", kind.word(), auth.word())
    })
}

/// Channels that serve strangers from other machines.
pub(super) fn exposed_channels(config: &Config) -> impl Iterator<Item = &str> {
    let beyond = Address::parse(&config.server.listen).is_ok_and(|address| !address.is_loopback());
    let anonymous = move |channel: &&ChannelEntry| beyond && channel.auth == ChannelAuth::Anonymous;
    config.channel.iter().filter(anonymous).map(|channel| channel.path.as_str())
}

/// What an operator must have meant.
pub(super) fn exposed(path: &str) -> String {
    format!("whoever reaches this machine gets prices from {path} without a credential")
}

/// E.g. `paper (paper), zerodha (remote at tcp://127.0.0.1:5560)`.
pub(super) fn brokers(config: &Config) -> String {
    let brokers = config.effective_brokers();
    let shown = brokers.iter().map(|broker| match broker.kind {
        BrokerKind::Paper => format!("{} (paper)", broker.name),
        BrokerKind::Replay => {
            let file = broker.file.as_deref().unwrap_or(Path::new("?"));
            format!("{} (replay of {})", broker.name, file.display())
        }
        BrokerKind::Remote => {
            format!("{} (remote at {})", broker.name, broker.address.as_deref().unwrap_or("?"))
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn keys(config: &Config) -> String {
    let file = config.auth.keys_file.as_ref().map(|path| path.display().to_string());
    let demo = config.auth.demo_key.then(|| "the demo key on this machine".to_owned());
    let jwt = config.auth.jwt_keys_file.as_ref().map(|path| format!("JWTs by {}", path.display()));
    let openalgo = config.auth.openalgo_database.as_ref();
    let openalgo = openalgo.map(|path| format!("those of OpenAlgo in {}", path.display()));
    let all: Vec<_> = file.into_iter().chain(jwt).chain(openalgo).chain(demo).collect();
    if all.is_empty() { "none: nobody can log in".into() } else { all.join(", ") }
}
