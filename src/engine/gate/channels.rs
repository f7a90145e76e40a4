//! Places in channels.

use super::{Gate, Refusal};
use crate::config::Config;
use crate::engine::ChannelId;
use crate::topic::ClientId;

/// Places by channel. A channel without an entry has as many as it likes.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    limits: Vec<u32>,
    pub taken: Vec<u32>,
}

impl Gate {
    /// The same gate with the channels that a configuration names.
    #[must_use]
    pub fn with_channels(mut self, config: &Config) -> Self {
        let limit = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let limits = config.channel.iter().map(|channel| limit(channel.clients_max));
        self.channels.limits = std::iter::once(u32::MAX).chain(limits).collect();
        self.channels.taken = vec![0; self.channels.limits.len()];
        self
    }

    /// A connection that has come in wants a place in a channel. It has it until it leaves.
    ///
    /// # Errors
    ///
    /// Says why it may not. It stays counted as a connection until it leaves.
    pub fn enter_channel(
        &mut self,
        now_ms: u64,
        id: ClientId,
        channel: ChannelId,
    ) -> Result<(), Refusal> {
        self.pass_time(now_ms);
        let Some(guest) = self.guests.get_mut(&id).filter(|guest| guest.channel.is_none()) else {
            return Ok(());
        };
        let Some(taken) = self.channels.taken.get_mut(channel.0) else { return Ok(()) };
        if *taken >= self.channels.limits[channel.0] {
            self.count(Refusal::ChannelFull);
            return Err(Refusal::ChannelFull);
        }
        *taken += 1;
        guest.channel = Some(channel);
        Ok(())
    }

    pub(super) fn leave_channel(&mut self, channel: Option<ChannelId>) {
        if let Some(channel) = channel {
            self.channels.taken[channel.0] -= 1;
        }
    }

    /// Places taken, by channel.
    #[must_use]
    pub fn in_channels(&self) -> &[u32] {
        &self.channels.taken
    }

    pub(super) fn check_channels(&self) {
        let mut taken = vec![0; self.channels.taken.len()];
        for channel in self.guests.values().filter_map(|guest| guest.channel) {
            taken[channel.0] += 1;
        }
        assert_eq!(taken, self.channels.taken, "places in channels are miscounted");
        for (taken, limit) in taken.iter().zip(&self.channels.limits) {
            assert!(taken <= limit, "{taken} clients in a channel for {limit}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::gate_with;
    use super::*;
    use crate::config::{ChannelEntry, ChannelKind};

    #[test]
    fn a_channel_has_its_places_and_gets_one_back_from_whoever_leaves() {
        let mut config = Config::default();
        let entry = ChannelEntry::new("/a", ChannelKind::Interactive);
        config.channel = vec![ChannelEntry { clients_max: 1, ..entry }];
        let mut gate = gate_with([1, 2, 3]).with_channels(&config);
        let channel = ChannelId(1);
        assert_eq!(gate.enter_channel(0, ClientId(1), channel), Ok(()));
        assert_eq!(gate.enter_channel(0, ClientId(1), channel), Ok(()), "it has its place");
        assert_eq!(gate.enter_channel(0, ClientId(2), channel), Err(Refusal::ChannelFull));
        assert_eq!(gate.enter_channel(0, ClientId(3), ChannelId::BUILT_IN), Ok(()));
        gate.check();
        assert_eq!(gate.in_channels(), [1, 1]);
        gate.leave(0, ClientId(1), &mut Vec::new());
        assert_eq!(gate.enter_channel(0, ClientId(2), channel), Ok(()));
        for id in [2, 3] {
            gate.leave(0, ClientId(id), &mut Vec::new());
        }
        gate.check();
        assert_eq!((gate.in_channels(), gate.totals().channel_full), (&[0, 0][..], 1));
    }
}
