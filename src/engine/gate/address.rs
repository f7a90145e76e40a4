//! What is known of one network, and its attempts to authenticate.

use std::collections::VecDeque;

use ipnet::IpNet;

use super::{Attempt, Gate, GateEffect, Tried, Trying, doubled, network_of};
use crate::topic::ClientId;

/// What is known of one network.
#[derive(Clone, Debug, Default)]
pub(super) struct Address {
    /// Connections that have come in.
    pub admitted: u32,
    /// Connections that are being told why they may not.
    pub told: u32,
    /// Attempts to authenticate that were let go and have not ended.
    pub trying: u32,
    /// Clients whose attempt waits for those before it, in their order.
    pub queue: VecDeque<ClientId>,
    /// Attempts that failed.
    pub failures: u32,
    /// No attempt before, once there were too many failures.
    pub paused_until_ms: u64,
    /// Clients closed for their conduct since the last block.
    pub strikes: u32,
    /// Blocks that the gate decided on itself.
    pub blocks: u32,
}

impl Address {
    /// Whether it has done anything worth remembering.
    pub const fn has_history(&self) -> bool {
        self.failures > 0 || self.strikes > 0 || self.blocks > 0
    }

    pub const fn is_empty(&self) -> bool {
        self.admitted == 0 && self.told == 0 && !self.has_history()
    }

    pub const fn forget(&mut self) {
        self.failures = 0;
        self.paused_until_ms = 0;
        self.strikes = 0;
        self.blocks = 0;
    }
}

impl Gate {
    /// Answers those of a network who wait to try a credential, as far as that is possible now.
    ///
    /// As long as all attempts under way could fail and still be within the limit, one more goes.
    /// Beyond the limit they go one by one, each after a pause that grows with the failures.
    pub(super) fn serve_attempts(&mut self, network: IpNet, effects: &mut Vec<GateEffect>) {
        let (now_ms, options) = (self.now_ms, self.options);
        let Some(address) = self.addresses.get_mut(&network) else { return };
        while let Some(&id) = address.queue.front() {
            let over = address.failures >= options.auth_failures_max;
            let attempt = if over && now_ms < address.paused_until_ms {
                Attempt::Wait(address.paused_until_ms - now_ms)
            } else if address.trying == 0
                || address.failures.saturating_add(address.trying) < options.auth_failures_max
            {
                Attempt::Go
            } else {
                return;
            };
            address.queue.pop_front();
            let guest = self.guests.get_mut(&id).expect("whoever waits is here");
            match attempt {
                Attempt::Go => {
                    guest.attempt = Trying::Yes;
                    address.trying += 1;
                }
                Attempt::Wait(_) => {
                    guest.attempt = Trying::No;
                    self.totals.attempts_refused += 1;
                }
            }
            effects.push(GateEffect::Answer(id, attempt));
        }
    }

    /// Ends a guest's attempt, if it has one, and lets the next one go.
    pub(super) fn end_attempt(
        &mut self,
        id: ClientId,
        outcome: Tried,
        effects: &mut Vec<GateEffect>,
    ) {
        let (now_ms, options) = (self.now_ms, self.options);
        let guest = self.guests.get_mut(&id).expect("the caller has seen it");
        let Some(network) = guest.address.map(network_of) else { return };
        let was = std::mem::replace(&mut guest.attempt, Trying::No);
        let address = self.addresses.get_mut(&network).expect("a guest's network is known");
        match was {
            Trying::No => return,
            Trying::Queued => address.queue.retain(|queued| *queued != id),
            Trying::Yes => address.trying -= 1,
        }
        if was == Trying::Yes && outcome == Tried::Wrong {
            self.totals.attempts_failed += 1;
            address.failures = address.failures.saturating_add(1);
            if let Some(beyond) = address.failures.checked_sub(options.auth_failures_max) {
                let pause_ms = doubled(options.auth_delay_ms, beyond, options.auth_delay_max_ms);
                address.paused_until_ms = now_ms.saturating_add(pause_ms);
            }
            self.remember(network, now_ms);
        }
        self.serve_attempts(network, effects);
    }
}
