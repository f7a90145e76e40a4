use std::collections::BTreeSet;

use tickgate::config::ChannelAuth;
use tickgate::topic::ANONYMOUS;

use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Reply, Seen};
use crate::plan::Plan;

/// Topics that an anonymous client may hold.
const TOPICS_MAX: usize = 3;

/// Whoever has not said who it is gets something only where nobody need say it; never more than
/// three topics, and never order updates.
pub(super) struct AnonymousIsBounded {
    /// Clients of channels that let everybody in.
    welcome: BTreeSet<ClientName>,
}

impl AnonymousIsBounded {
    pub fn new(plan: &Plan) -> Self {
        let is_open = |path: &String| {
            let mut channels = plan.gateway.channels.iter();
            channels.any(|it| it.path == *path && it.auth == ChannelAuth::Anonymous)
        };
        let welcome = plan.clients.iter().filter(|it| it.channel.as_ref().is_some_and(is_open));
        Self { welcome: welcome.map(|client| client.name.as_str().into()).collect() }
    }
}

impl Invariant for AnonymousIsBounded {
    fn name(&self) -> &'static str {
        "anonymous_is_bounded"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let (Actor::Client(client), Seen::Answered(answer)) = (&event.actor, &event.seen) else {
            return Ok(());
        };
        let Some(holding) = held.client else { return Ok(()) };
        let is_anonymous = holding.user.as_ref().is_none_or(|user| user.as_str() == ANONYMOUS);
        if !is_anonymous {
            return Ok(());
        }
        let count = holding.topics.len();
        if answer.reply == Reply::OrdersOn {
            Err(format!("{client} is anonymous and gets order updates"))
        } else if holding.user.is_some() && !self.welcome.contains(client) {
            Err(format!("{client} was served and has not said who it is"))
        } else if count > TOPICS_MAX {
            Err(format!("{client} is anonymous and holds {count} topics"))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use tickgate::config::{ChannelEntry, ChannelKind};

    use super::super::testing::{Story, named, plan, subscribed};
    use super::*;
    use crate::history::Request;

    fn story() -> Story<AnonymousIsBounded> {
        let mut plan = plan();
        let entry = ChannelEntry::new("/c", ChannelKind::Interactive);
        plan.gateway.channels = vec![ChannelEntry { auth: ChannelAuth::Anonymous, ..entry }];
        plan.clients[0].channel = Some("/c".into());
        Story::of(AnonymousIsBounded::new(&plan))
    }

    #[test]
    fn a_fourth_topic_is_noticed() {
        let mut story = story();
        story.connect("alice-1");
        for topic in ["NSE:A/LTP", "NSE:B/LTP", "NSE:M/LTP"] {
            story.subscribe("alice-1", topic);
        }
        let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:M/Quote")]));
        assert!(story.answer("alice-1", id, subscribed("NSE:M/Quote")).is_err());
    }

    #[test]
    fn order_updates_and_other_channels_are_noticed() {
        let mut story = story();
        story.connect("alice-1");
        let id = story.send("alice-1", Request::SubscribeOrders);
        assert!(story.answer("alice-1", id, Reply::OrdersOn).is_err());
        story.connect("alice-2");
        let id = story.send("alice-2", Request::Subscribe(vec![named("NSE:A/LTP")]));
        assert!(story.answer("alice-2", id, subscribed("NSE:A/LTP")).is_err());
    }
}
