//! Who may come in, by where they come from: connections, attempts to authenticate, blocks.
//!
//! A connection is counted from the moment it is accepted until its socket is gone, so a limit
//! holds at every instant, whatever a handshake does meanwhile (RC-009, WS-006). The gate decides;
//! its shell accepts, answers and closes.
//!
//! Addresses are counted by network: an IPv4 address is one, and so are the 2^64 addresses of an
//! IPv6 /64, because whoever has one of them has them all.

mod address;
mod blocking;
mod blocks;
mod channels;
mod check;
mod options;
#[cfg(test)]
mod ordered_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use indexmap::IndexMap;
use ipnet::IpNet;

use super::ChannelId;
use super::timers::Timers;
use crate::topic::ClientId;

use address::Address;
pub use blocking::NotBlocked;
use blocks::Blocks;
use channels::Channels;
pub use options::GateOptions;

/// Visitors of one network who are told at the same time why they may not come in. More are
/// dropped without a word: a flood must not take the places of others.
pub const TOLD_PER_NETWORK_MAX: u32 = 16;

/// What becomes of somebody who arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Comes in.
    Admitted,
    /// Is told why not. Is counted until it leaves.
    Told(Refusal),
    /// Gets no answer at all, and is not counted.
    Dropped,
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The gateway has all the connections it can have.
    Full,
    /// The address has all the connections it may have.
    Crowded,
    /// The channel has all the connections it may have.
    ChannelFull,
    /// The address is blocked, for so many milliseconds more; `None`: until somebody lifts it.
    Blocked(Option<u64>),
}

/// Whether a credential may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may. Say with [`Gate::tried`] how it ended.
    Go,
    /// Not for so many milliseconds: there were too many failures from this address.
    Wait(u64),
}

/// How an attempt to authenticate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The credential was good.
    Good,
    /// The credential was wrong.
    Wrong,
    /// Nobody could tell: it counts for nothing.
    Unknown,
}

/// Something the shell is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateEffect {
    /// Answers what a client asked with [`Gate::attempt`].
    Answer(ClientId, Attempt),
    /// The client's address is blocked: close it.
    Close(ClientId),
    /// A network is blocked for its clients' conduct, for so many milliseconds.
    Blocked(IpNet, u64),
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Guest {
    /// Where it comes from. `None`: a trusted proxy has not said yet for whom it stands.
    address: Option<IpAddr>,
    admitted: bool,
    /// Where it has a place.
    channel: Option<ChannelId>,
    attempt: Trying,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trying {
    No,
    /// It has asked, and others of its network are before it.
    Queued,
    Yes,
}

/// What has happened at the gate since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateTotals {
    /// Turned away because the gateway was full.
    pub full: u64,
    /// Turned away because their address had too many connections.
    pub crowded: u64,
    /// Turned away because their channel was full.
    pub channel_full: u64,
    /// Turned away because their address was blocked.
    pub blocked: u64,
    /// Attempts to authenticate that came too soon after failures.
    pub attempts_refused: u64,
    /// Attempts that failed.
    pub attempts_failed: u64,
    /// Clients closed for their conduct.
    pub strikes: u64,
    /// Blocks begun.
    pub blocks: u64,
}

/// Connections by network, and what each network has done.
#[derive(Clone, Debug)]
pub struct Gate {
    options: GateOptions,
    now_ms: u64,
    guests: IndexMap<ClientId, Guest>,
    admitted: u32,
    channels: Channels,
    addresses: BTreeMap<IpNet, Address>,
    /// For their clients' conduct.
    blocks: Blocks,
    /// By administrators.
    ordered: Blocks,
    /// When what a network has done is forgotten.
    memory: Timers<IpNet>,
    totals: GateTotals,
}

impl Gate {
    /// A gate through which nobody has come.
    #[must_use]
    pub fn new(options: GateOptions) -> Self {
        Self {
            options,
            now_ms: 0,
            guests: IndexMap::new(),
            admitted: 0,
            channels: Channels::default(),
            addresses: BTreeMap::new(),
            blocks: Blocks::default(),
            ordered: Blocks::default(),
            memory: Timers::new(),
            totals: GateTotals::default(),
        }
    }

    /// Somebody connects, from `address`; `None`: through a trusted proxy, which will say from
    /// where. Whoever is not dropped must [`Gate::leave`].
    pub fn arrive(&mut self, now_ms: u64, id: ClientId, address: Option<IpAddr>) -> Arrival {
        self.pass_time(now_ms);
        let refusal = if self.admitted >= self.options.clients_max {
            Some(Refusal::Full)
        } else {
            address.and_then(|address| self.refusal(address))
        };
        let network = address.map(network_of);
        let Some(refusal) = refusal else {
            self.admitted += 1;
            self.enter(id, address, true);
            return Arrival::Admitted;
        };
        self.count(refusal);
        let told = self.guests.len() - self.admitted as usize;
        let known = network.and_then(|network| self.addresses.get(&network));
        let told_here = known.map_or(0, |address| address.told);
        if told >= self.options.told_max as usize || told_here >= TOLD_PER_NETWORK_MAX {
            return Arrival::Dropped;
        }
        self.enter(id, address, false);
        Arrival::Told(refusal)
    }

    /// A trusted proxy has said for whom an admitted connection stands.
    ///
    /// # Errors
    ///
    /// Says why whoever that is may not come in. It stays counted until it leaves.
    pub fn locate(&mut self, now_ms: u64, id: ClientId, address: IpAddr) -> Result<(), Refusal> {
        self.pass_time(now_ms);
        let Some(&Guest { address: None, admitted: true, .. }) = self.guests.get(&id) else {
            return Ok(());
        };
        let refusal = self.refusal(address);
        let guest = &mut self.guests[&id];
        guest.address = Some(address);
        guest.admitted = refusal.is_none();
        let entry = self.addresses.entry(network_of(address)).or_default();
        match refusal {
            None => {
                entry.admitted += 1;
                Ok(())
            }
            Some(refusal) => {
                entry.told += 1;
                self.admitted -= 1;
                self.count(refusal);
                Err(refusal)
            }
        }
    }

    /// A connection is gone. An attempt that it had begun has failed: whoever breaks it off could
    /// otherwise try as often as it likes.
    pub fn leave(&mut self, now_ms: u64, id: ClientId, effects: &mut Vec<GateEffect>) {
        self.pass_time(now_ms);
        if let Some(guest) = self.guests.get(&id) {
            let begun = guest.attempt == Trying::Yes;
            let outcome = if begun { Tried::Wrong } else { Tried::Unknown };
            self.end_attempt(id, outcome, effects);
        }
        let Some(guest) = self.guests.swap_remove(&id) else { return };
        self.admitted -= u32::from(guest.admitted);
        self.leave_channel(guest.channel);
        let Some(network) = guest.address.map(network_of) else { return };
        let address = self.address(network);
        match guest.admitted {
            true => address.admitted -= 1,
            false => address.told -= 1,
        }
        self.tidy(network);
    }

    /// A client wants to try a credential. It is answered with [`GateEffect::Answer`], at once or
    /// when the attempts before it have ended, unless it leaves.
    pub fn attempt(&mut self, now_ms: u64, id: ClientId, effects: &mut Vec<GateEffect>) {
        self.pass_time(now_ms);
        let Some(guest) = self.guests.get_mut(&id) else { return };
        let Some(network) = guest.address.map(network_of) else {
            // Nobody knows where it comes from: there is nothing to count it with.
            effects.push(GateEffect::Answer(id, Attempt::Go));
            return;
        };
        assert_eq!(guest.attempt, Trying::No, "{id} tries twice at once");
        guest.attempt = Trying::Queued;
        self.address(network).queue.push_back(id);
        self.serve_attempts(network, effects);
    }

    /// An attempt that was let go has ended.
    pub fn tried(
        &mut self,
        now_ms: u64,
        id: ClientId,
        outcome: Tried,
        effects: &mut Vec<GateEffect>,
    ) {
        self.pass_time(now_ms);
        if self.guests.get(&id).is_some_and(|guest| guest.attempt == Trying::Yes) {
            self.end_attempt(id, outcome, effects);
        }
    }

    /// What has happened since the start.
    #[must_use]
    pub const fn totals(&self) -> GateTotals {
        self.totals
    }

    /// Connections that have come in, their handshakes included.
    #[must_use]
    pub const fn admitted(&self) -> u32 {
        self.admitted
    }

    /// Networks that have a connection or are remembered for what they did.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.addresses.len()
    }

    fn refusal(&self, address: IpAddr) -> Option<Refusal> {
        if let Some(until_ms) = self.blocked_until(address) {
            return Some(Refusal::Blocked(until_ms.map(|ms| ms - self.now_ms)));
        }
        let entry = self.addresses.get(&network_of(address))?;
        (entry.admitted >= self.options.connections_per_address_max).then_some(Refusal::Crowded)
    }

    const fn count(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Full => self.totals.full += 1,
            Refusal::Crowded => self.totals.crowded += 1,
            Refusal::ChannelFull => self.totals.channel_full += 1,
            Refusal::Blocked(_) => self.totals.blocked += 1,
        }
    }

    fn enter(&mut self, id: ClientId, address: Option<IpAddr>, admitted: bool) {
        let guest = Guest { address, admitted, channel: None, attempt: Trying::No };
        let old = self.guests.insert(id, guest);
        assert!(old.is_none(), "{id} arrived twice");
        if let Some(address) = address {
            let entry = self.addresses.entry(network_of(address)).or_default();
            match admitted {
                true => entry.admitted += 1,
                false => entry.told += 1,
            }
        }
    }

    /// Forgets what is over.
    fn pass_time(&mut self, now_ms: u64) {
        debug_assert!(now_ms >= self.now_ms, "time went back");
        self.now_ms = now_ms;
        self.blocks.expire(now_ms);
        self.ordered.expire(now_ms);
        while let Some(network) = self.memory.pop_due(now_ms) {
            if let Some(address) = self.addresses.get_mut(&network) {
                address.forget();
            }
            self.tidy(network);
        }
    }

    fn address(&mut self, network: IpNet) -> &mut Address {
        self.addresses.get_mut(&network).expect("a guest's network is known")
    }

    /// Keeps what a network did until the memory's time after `from_ms`.
    fn remember(&mut self, network: IpNet, from_ms: u64) {
        self.memory.set(network, from_ms.saturating_add(self.options.memory_ms));
        while self.memory.len() > self.options.remembered_max {
            let Some(oldest) = self.memory.pop_due(u64::MAX) else { return };
            if let Some(address) = self.addresses.get_mut(&oldest) {
                address.forget();
            }
            self.tidy(oldest);
        }
    }

    /// Drops what is kept of a network if there is nothing to keep.
    fn tidy(&mut self, network: IpNet) {
        if self.addresses.get(&network).is_some_and(Address::is_empty) {
            self.addresses.remove(&network);
        }
    }
}

/// The network that an address is counted with.
#[must_use]
pub fn network_of(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = if address.is_ipv4() { 32 } else { 64 };
    IpNet::new(address, prefix).expect("a prefix of its family").trunc()
}

/// `ms` doubled so many times, at most `max_ms`.
fn doubled(ms: u64, times: u32, max_ms: u64) -> u64 {
    1_u64.checked_shl(times).and_then(|factor| ms.checked_mul(factor)).unwrap_or(max_ms).min(max_ms)
}
