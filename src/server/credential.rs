//! Trying a credential: first the gate is asked, then the providers, and the gate is told.

use super::client::ClientContext;
use crate::auth::{Denied, Presented, Refusal, Verified, Way};
use crate::engine::{Attempt, Tried};
use crate::protocol::Reject;
use crate::runtime::Runtime;
use crate::topic::ClientId;

/// A credential was good.
#[derive(Debug)]
pub(super) struct Found {
    /// Whose it is.
    pub verified: Verified,
    /// How often credentials had been read when it was looked up, or fewer: whatever is revoked
    /// later concerns it, although it has not reached the hub yet.
    pub generation: u64,
}

/// A credential was not accepted.
#[derive(Debug)]
pub(super) struct TurnedDown {
    /// What the client is told; the log knows more.
    pub reject: Reject,
    /// Why.
    pub why: Why,
}

/// Why a credential was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is wrong.
    Wrong,
    /// There were too many wrong ones from its address.
    TooSoon,
    /// Its user is with no broker.
    NoBroker,
    /// Nobody can tell now.
    NotNow,
}

impl<R: Runtime> ClientContext<R> {
    /// Finds out who is behind a credential, when the gate says that it may be tried.
    ///
    /// # Errors
    ///
    /// Fails with what the client is to be told.
    pub async fn try_credential(
        &self,
        client: ClientId,
        presented: &Presented,
        loopback: bool,
    ) -> Result<Found, TurnedDown> {
        let turned_down = |reject, why| TurnedDown { reject, why };
        match self.gate.attempt(client).await {
            Some(Attempt::Go) => {}
            Some(Attempt::Wait(ms)) => {
                return Err(turned_down(Reject::too_many_attempts(ms), Why::TooSoon));
            }
            None => return Err(turned_down(Reject::shutting_down(), Why::NotNow)),
        }
        let unix_ms = self.runtime.unix_ms();
        let generation = self.verifier.generation();
        let found = self.verifier.verify(presented, loopback, unix_ms).await;
        let outcome = match &found {
            Ok(_) | Err(Denied::NoBroker) => Tried::Good,
            Err(Denied::Bad(_)) => Tried::Wrong,
            Err(Denied::Unavailable(_)) => Tried::Unknown,
        };
        self.gate.tried(client, outcome).await;
        found.map(|verified| Found { verified, generation }).map_err(|denied| match denied {
            Denied::Bad(refusal) => {
                tracing::debug!(%client, %refusal, "a credential is refused");
                let reject = match (refusal, presented.way) {
                    (Refusal::Unknown, Way::ApiKey) => Reject::invalid_api_key(),
                    _ => Reject::invalid_token(),
                };
                turned_down(reject, Why::Wrong)
            }
            Denied::NoBroker => turned_down(Reject::no_broker(), Why::NoBroker),
            Denied::Unavailable(why) => {
                tracing::warn!(%client, why, "a credential cannot be checked now");
                turned_down(Reject::cannot_verify_now(), Why::NotNow)
            }
        })
    }
}
