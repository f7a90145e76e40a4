//! What the broker is doing about one topic.

use crate::broker::CommandId;

/// Where a topic stands at the broker, as far as we know.
///
/// At most one command is in flight. The state changes when it is sent and when it is answered;
/// in between, wishes may change as often as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Not subscribed.
    Off,
    /// A subscribe is in flight.
    TurningOn(CommandId),
    /// Subscribed.
    On,
    /// An unsubscribe is in flight.
    TurningOff(CommandId),
    /// A command failed in a way that leaves open what the broker did.
    Unsure,
}

/// The next command to send for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamCommand {
    /// Subscribe it.
    Subscribe,
    /// Unsubscribe it.
    Unsubscribe,
}

impl Upstream {
    /// The command that brings the broker closer to `wanted`, if one can be sent now.
    ///
    /// Both commands are idempotent at the broker, so they also resolve [`Upstream::Unsure`].
    #[must_use]
    pub const fn reconcile(self, wanted: bool) -> Option<UpstreamCommand> {
        match (self, wanted) {
            (Self::Off | Self::Unsure, true) => Some(UpstreamCommand::Subscribe),
            (Self::On | Self::Unsure, false) => Some(UpstreamCommand::Unsubscribe),
            // Nothing to do, or a command is in flight: its answer brings us back here.
            (Self::Off | Self::TurningOn(_) | Self::TurningOff(_), false)
            | (Self::On | Self::TurningOn(_) | Self::TurningOff(_), true) => None,
        }
    }

    /// The state after `command` was sent under the number `id`.
    #[must_use]
    pub const fn sent(command: UpstreamCommand, id: CommandId) -> Self {
        match command {
            UpstreamCommand::Subscribe => Self::TurningOn(id),
            UpstreamCommand::Unsubscribe => Self::TurningOff(id),
        }
    }

    /// The command in flight.
    #[must_use]
    pub const fn in_flight(self) -> Option<CommandId> {
        match self {
            Self::TurningOn(id) | Self::TurningOff(id) => Some(id),
            Self::Off | Self::On | Self::Unsure => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_is_in_flight_whatever_is_wished() {
        for state in [Upstream::TurningOn(CommandId(1)), Upstream::TurningOff(CommandId(1))] {
            assert_eq!(state.reconcile(true), None);
            assert_eq!(state.reconcile(false), None);
        }
    }

    #[test]
    fn a_settled_topic_moves_towards_the_wish() {
        assert_eq!(Upstream::Off.reconcile(true), Some(UpstreamCommand::Subscribe));
        assert_eq!(Upstream::On.reconcile(false), Some(UpstreamCommand::Unsubscribe));
        assert_eq!(Upstream::Off.reconcile(false), None);
        assert_eq!(Upstream::On.reconcile(true), None);
    }

    #[test]
    fn doubt_is_resolved_by_saying_it_again() {
        assert_eq!(Upstream::Unsure.reconcile(true), Some(UpstreamCommand::Subscribe));
        assert_eq!(Upstream::Unsure.reconcile(false), Some(UpstreamCommand::Unsubscribe));
    }
}
