//! Files that are read again while a gateway serves.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Gateway;
use crate::audit::{Audit, What};
use crate::auth::{BadCredentials, Keeper, Reloaded};
use crate::engine::Event;
use crate::server::hub::HubMessage;
use crate::server::tls::{BadCertificate, Certificate};

impl Gateway {
    /// The certificate that new clients are shown; `None` without TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        self.tls.as_ref().map(|tls| tls.certificate())
    }

    /// Reads the certificate and its key again. Handshakes that begin from now on see them; clients
    /// that are connected stay. `None` without TLS. Blocks as long as the files do.
    ///
    /// # Errors
    ///
    /// Fails if a file is bad; what was in force stays then.
    pub fn reload_certificate(&self) -> Result<Option<Certificate>, BadCertificate> {
        self.certificate_reader()()
    }

    /// What [`Self::reload_certificate`] does, to be done where it may block.
    pub fn certificate_reader(
        &self,
    ) -> impl FnOnce() -> Result<Option<Certificate>, BadCertificate> + Send + use<> {
        let tls = self.tls.clone();
        move || tls.map(|tls| tls.reload()).transpose()
    }

    /// Reads the files of credentials again. Whoever comes in from now on is judged by them;
    /// whoever is in by a credential that is gone, or gives another role now, is closed with 4403.
    ///
    /// # Errors
    ///
    /// Fails if a file is bad, or is not read within 30 seconds; what held before goes on holding
    /// then.
    pub async fn reload_credentials(&self) -> Result<Reloaded, BadCredentials> {
        let read = timeout(READ_MAX, self.keeper.reload()).await.unwrap_or_else(|_| {
            let seconds = READ_MAX.as_secs();
            Err(BadCredentials(vec![format!("they could not be read within {seconds} s")]))
        });
        let reloaded = match read {
            Ok(reloaded) => reloaded,
            Err(bad) => {
                self.audit.put(What::CredentialsNotReloaded {}.record());
                return Err(bad);
            }
        };
        if reloaded.generation > 0 {
            revoke(&reloaded, &self.hub_mailbox, &self.audit).await;
        }
        Ok(reloaded)
    }
}

/// How long the files of credentials may take to be read.
const READ_MAX: Duration = Duration::from_secs(30);

/// How often OpenAlgo's database is looked at for keys that have gone.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// Sends away whoever came in by what is gone or changed.
async fn revoke(reloaded: &Reloaded, hub: &mpsc::Sender<HubMessage>, audit: &Audit) {
    let (revoked, changed) = (reloaded.revoked.len() as u64, reloaded.changed.len() as u64);
    audit.put(What::CredentialsReloaded { revoked, changed }.record());
    let changed = reloaded.changed.iter().map(|(tag, _)| *tag);
    let tags = reloaded.revoked.iter().copied().chain(changed).collect();
    let event = Event::Revoke { generation: reloaded.generation, tags };
    // If the hub is gone, nobody is in.
    let _ = hub.send(HubMessage::Event(event)).await;
}

/// OpenAlgo announces no key that is gone: looks for them, until it is dropped.
pub(super) async fn watch_keys(keeper: Keeper, hub: mpsc::Sender<HubMessage>, audit: Audit) {
    loop {
        if let Some(reloaded) = keeper.look().await {
            tracing::info!(revoked = reloaded.revoked.len(), "keys of OpenAlgo are gone");
            revoke(&reloaded, &hub, &audit).await;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
