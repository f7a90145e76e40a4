//! `tickgate serve`: a gateway until it is asked to end.

use std::time::Duration;

use tokio::time::timeout;

use super::args::ServeArgs;
use super::check::{exposed, exposed_channels};
use super::running::{Running, asked_to_end, not_bound, until_asked};
use super::signals::Signals;
use super::welcome::welcome;
use super::{Failure, load, logging, multi_thread_runtime, print};
use crate::auth::{BadCredentials, Credentials};
use crate::config::{Address, Config, Loaded};
use crate::runtime::calendar::utc;
use crate::runtime::{Runtime, TokioRuntime};
use crate::server::{Certificate, Gateway, LogControl, StartError};

/// Files that are open besides the clients' sockets, generously.
const OTHER_FILES: u64 = 256;

/// How long the files of the certificate may take to be read again.
const CERTIFICATE_READ_MAX: Duration = Duration::from_secs(30);

/// How often an operator is told that the certificate expires soon.
const EXPIRY_TOLD_EVERY: Duration = Duration::from_secs(86_400);

/// Serves until a signal comes.
///
/// # Errors
///
/// Fails if the configuration, the keys or an address cannot be used, or if a part of the gateway
/// dies.
pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let loaded = load(args.config.as_deref(), args.openalgo.as_deref())?;
    let credentials = credentials(&loaded)?;
    let config = loaded.config;
    let log = logging::start(&config.log)?;
    let tokio = multi_thread_runtime()?;
    let result = tokio.block_on(serve(config, credentials, log));
    // What is still running has had its time.
    tokio.shutdown_background();
    result
}

/// What the configuration and the environment grant.
///
/// # Errors
///
/// Fails with everything that is wrong with it.
pub(super) fn credentials(loaded: &Loaded) -> Result<Credentials, Failure> {
    let of_installation = |name: &str| loaded.installation.as_ref()?.secret(name);
    let variable = |name: &str| std::env::var(name).ok().or_else(|| of_installation(name));
    Ok(Credentials::load(&loaded.config, variable)?)
}

async fn serve(config: Config, credentials: Credentials, log: LogControl) -> Result<(), Failure> {
    for address in &config.bus.bind {
        if Address::parse_tcp(address).is_ok_and(|address| !address.is_loopback()) {
            tracing::warn!(%address, "whoever reaches this address can publish prices");
        }
    }
    if can_be_overheard(&config) {
        tracing::warn!(
            address = %config.server.listen,
            "clients beyond this machine are served without TLS, so whoever is between can read \
             their credentials; set `server.tls_certificate` and `server.tls_key`, or have a \
             reverse proxy do it"
        );
    }
    for path in exposed_channels(&config) {
        tracing::warn!("{}", exposed(path));
    }
    for reason in credentials.warnings() {
        tracing::warn!(%reason, "a key of OpenAlgo cannot be used");
    }
    let mut signals = Signals::install()?.with_reload()?;
    let mut signal = async || signals.next().await;
    let drain_timeout = Duration::from_millis(config.server.drain_timeout_ms);
    let gateway = tokio::select! {
        biased;
        () = asked_to_end(&mut signal) => return Ok(()),
        gateway = Gateway::start(TokioRuntime::new(), config.clone(), credentials) => {
            gateway.map_err(not_started)?
        }
    };
    if let Some(certificate) = gateway.certificate() {
        tell_expiry(&certificate);
    }
    raise_open_files_limit(config.limits.clients_max);
    gateway.administrator().set_log_control(log);
    #[cfg(unix)]
    let _open =
        super::admin::open(&config.admin, gateway.addresses(), gateway.administrator().clone())?;
    print(&welcome(&config, gateway.addresses(), &program()))?;
    until_asked(gateway, signal, drain_timeout).await
}

/// Whether clients come from beyond this machine, as far as is known, and without TLS.
fn can_be_overheard(config: &Config) -> bool {
    let is_public = Address::parse(&config.server.listen).is_ok_and(|at| !at.is_loopback());
    is_public && config.server.tls_certificate.is_none()
}

/// Says until when a certificate is good that has come into force.
fn tell_expiry(certificate: &Certificate) {
    let (expires, now_ms) = (certificate.expires_unix_ms(), TokioRuntime::new().unix_ms());
    let until = utc(expires);
    if expires <= now_ms {
        tracing::warn!(%until, "the certificate has expired: clients will refuse it");
    } else if certificate.expires_soon(now_ms) {
        tracing::warn!(%until, "the certificate expires soon; SIGHUP has a new one read");
    } else {
        tracing::info!(%until, "clients are served over TLS");
    }
}

/// Lets the process open as many files as it may: a client is one, and the usual limit is low.
fn raise_open_files_limit(clients_max: usize) {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            return;
        }
    };
    let needed = clients_max as u64 + OTHER_FILES;
    if limit < needed {
        let clients = limit.saturating_sub(OTHER_FILES);
        tracing::warn!(
            "no more than {clients} clients can connect: this process may open {limit} files; \
             raise that (`ulimit -n {needed}`) or lower `limits.clients_max`"
        );
    }
}

/// How this program was called, for commands to be typed next.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.is_empty() { "tickgate".into() } else { called }
}

impl From<BadCredentials> for Failure {
    fn from(bad: BadCredentials) -> Self {
        Self::Usage(bad.to_string())
    }
}

impl Running for Gateway {
    async fn failed(&mut self) -> String {
        loop {
            if let Ok(failure) = timeout(EXPIRY_TOLD_EVERY, Self::failed(self)).await {
                return failure.to_string();
            }
            let now_ms = TokioRuntime::new().unix_ms();
            if let Some(certificate) = self.certificate().filter(|it| it.expires_soon(now_ms)) {
                tell_expiry(&certificate);
            }
        }
    }

    async fn reload(&mut self) {
        let runtime = TokioRuntime::new();
        let reading = runtime.offload(self.certificate_reader());
        match timeout(CERTIFICATE_READ_MAX, reading).await {
            Ok(Ok(Some(certificate))) => tell_expiry(&certificate),
            Ok(Ok(None)) => {}
            Ok(Err(reason)) => tracing::error!(%reason, "the certificate stays as it was"),
            Err(reason) => tracing::error!(%reason, "the certificate takes too long to be read"),
        }
        match self.reload_credentials().await {
            Ok(reloaded) => tracing::info!(
                revoked = reloaded.revoked.len(),
                changed = reloaded.changed.len(),
                "the files of credentials were read again"
            ),
            Err(BadCredentials(reasons)) => {
                for reason in reasons {
                    tracing::error!(%reason, "credentials stay as they were");
                }
            }
        }
    }

    async fn stop(self) {
        Self::stop(self).await;
    }
}

fn not_started(error: StartError) -> Failure {
    match error {
        StartError::Bind { address, key, error } => not_bound(key, &address, &error),
        StartError::Config(sentence) => Failure::Usage(sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_can_be_overheard_beyond_loopback_without_tls() {
        let mut config = Config::default();
        assert!(!can_be_overheard(&config));
        config.server.listen = "0.0.0.0:8765".into();
        assert!(can_be_overheard(&config));
        config.server.tls_certificate = Some("certificate.pem".into());
        assert!(!can_be_overheard(&config));
    }
}
