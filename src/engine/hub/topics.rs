//! Topics of a user: who wants them, and what the broker is doing about it.

use std::collections::BTreeSet;

use super::calls::Call;
use super::reached::topic_event;
use super::topic_state::{TopicState, Want};
use super::user::SessionState;
use super::{Effect, Hub, Note, TimerKey};
use crate::broker::{BrokerError, BrokerErrorCode, CommandId, CommandKind, Done};
use crate::engine::Urgency;
use crate::engine::backoff::Backoff;
use crate::engine::{Upstream, UpstreamCommand};
use crate::marks::{TopicEvent, mark};
use crate::topic::{ClientId, Topic, UserId};

impl Hub {
    /// Sends the command that brings a topic in line with whether it is wanted.
    pub(super) fn settle_topic(
        &mut self,
        user_id: &UserId,
        topic: &Topic,
        effects: &mut Vec<Effect>,
    ) {
        let Some(user) = self.users.get(user_id) else { return };
        let Some(state) = user.topics.get(topic) else { return };
        let wanted = !state.wants.is_empty();
        if !wanted && state.upstream == Upstream::Off {
            if state.bound.is_none() {
                self.forget_topic(user_id, topic);
            }
            return;
        }
        let Some(at) = state.seat.or_else(|| self.seat(user_id, topic)) else { return };
        let state = self.topic_mut(user_id, topic);
        state.is_compared(wanted);
        if wanted {
            state.lingers_until_ms = None;
        }
        let Some(command) = state.upstream.reconcile(wanted) else { return };
        if command == UpstreamCommand::Unsubscribe && self.lingers(user_id, topic) {
            return;
        }
        // A client that waits is worth a try at once; what is merely to be restored is paced.
        let state = self.topic_mut(user_id, topic);
        let urgent = state.wants.values().any(|want| *want == Want::Waiting);
        let (depth, backoff) = (state.depth, state.backoff);
        let paused = backoff.wait_until_ms(self.now_ms);
        mark!(TopicUrgent if urgent && paused.is_some());
        if let Some(at_ms) = paused.filter(|_| !urgent) {
            mark!(TopicPaused);
            self.timers.set(TimerKey::Topic(user_id.clone(), topic.clone()), at_ms);
            return;
        }
        let urgency = if urgent { Urgency::Urgent } else { Urgency::Calm };
        let joins = (command == UpstreamCommand::Subscribe).then_some(at);
        if !self.may_call(user_id, Call::Topic(topic.clone()), urgency, joins) {
            return;
        }
        let kind = match command {
            UpstreamCommand::Subscribe => CommandKind::Subscribe { topic: topic.clone(), depth },
            UpstreamCommand::Unsubscribe => CommandKind::Unsubscribe { topic: topic.clone() },
        };
        self.sit(user_id, topic, at);
        let id = self.send_command(user_id, at, kind, effects);
        let state = self.topic_mut(user_id, topic);
        state.upstream = Upstream::sent(command, id);
        if command == UpstreamCommand::Subscribe {
            state.levels.requested = depth;
        }
    }

    /// Whether a topic that is on and that nobody wants stays on for now.
    fn lingers(&mut self, user_id: &UserId, topic: &Topic) -> bool {
        let user = &self.users[user_id];
        let linger_ms = self.rules_of_broker(&user.broker).linger_ms;
        let needs_place = !user.homeless.is_empty();
        let (now_ms, draining) = (self.now_ms, self.draining);
        let state = self.topic_mut(user_id, topic);
        // What is in doubt is settled at once.
        if linger_ms == 0 || state.upstream != Upstream::On || draining {
            return false;
        }
        if needs_place {
            mark!(LingererMakesRoom);
            return false;
        }
        let until_ms = *state.lingers_until_ms.get_or_insert(now_ms + linger_ms);
        if until_ms <= now_ms {
            return false;
        }
        mark!(TopicLingers);
        self.timers.set(TimerKey::Topic(user_id.clone(), topic.clone()), until_ms);
        true
    }

    /// The command in flight for a topic was answered.
    pub(super) fn topic_answered(
        &mut self,
        user_id: &UserId,
        topic: &Topic,
        id: CommandId,
        result: Result<Done, BrokerError>,
        effects: &mut Vec<Effect>,
    ) {
        let state = self.topic_mut(user_id, topic);
        state.meets(topic_event(&result));
        if let (Upstream::TurningOn(_), Err(error)) = (state.upstream, &result)
            && self.rebuilds_for(user_id, topic, error)
        {
            self.work.topics.push_back((user_id.clone(), topic.clone()));
            return;
        }
        let state = self.topic_mut(user_id, topic);
        match (state.upstream, result) {
            (Upstream::TurningOn(current), Ok(done)) if current == id => {
                state.upstream = Upstream::On;
                state.doubt = false;
                state.backoff = Backoff::default();
                state.levels.actual = done.depth;
                let at = state.seat.expect("a topic that is on has a session");
                self.session_mut(user_id, at).rebuilt = false;
                self.topic_on(user_id, topic, effects);
            }
            (Upstream::TurningOn(current), Err(error)) if current == id => {
                // A refusal says nothing about an earlier try that was not answered.
                mark!(TopicTimedOut if error.code == BrokerErrorCode::Timeout);
                let is_settled = error.code != BrokerErrorCode::Timeout;
                mark!(TopicDoubtOutlivesRefusal if state.doubt && is_settled);
                state.doubt |= error.code == BrokerErrorCode::Timeout;
                state.upstream = if state.doubt { Upstream::Unsure } else { Upstream::Off };
                if state.upstream == Upstream::Off {
                    self.stand_up(user_id, topic);
                }
                self.subscribe_failed(user_id, topic, &error, effects);
            }
            (Upstream::TurningOff(current), Ok(_)) if current == id => {
                state.upstream = Upstream::Off;
                state.doubt = false;
                state.backoff = Backoff::default();
                self.stand_up(user_id, topic);
            }
            (Upstream::TurningOff(current), Err(error)) if current == id => {
                mark!(TopicNotTurnedOff);
                state.upstream = Upstream::Unsure;
                state.doubt = true;
                self.pause_topic(user_id, topic);
                Self::note_failure(user_id, topic, &error, effects);
            }
            (_, _) => unreachable!("a topic has one command in flight"),
        }
        self.work.topics.push_back((user_id.clone(), topic.clone()));
    }

    /// A topic was refused for the credentials of its session: the session is opened once more
    /// with fresh ones, and who waits for the topic waits on.
    fn rebuilds_for(&mut self, user_id: &UserId, topic: &Topic, error: &BrokerError) -> bool {
        let user = &self.users[user_id];
        let Some(at) = user.topics[topic].seat else { return false };
        let session = &user.sessions[at];
        if error.code != BrokerErrorCode::InitFailed
            || !self.rules_of_broker(&user.broker).reinitialize
            || session.rebuilt
            || session.state != SessionState::Up
        {
            return false;
        }
        mark!(SessionRebuiltForTopic);
        let session = self.session_mut(user_id, at);
        (session.rebuilt, session.stale) = (true, true);
        let state = self.topic_mut(user_id, topic);
        state.upstream = Upstream::Off;
        // An earlier try that was not answered may have turned it on.
        if std::mem::take(&mut state.doubt) {
            state.bound = Some(at);
        }
        self.stand_up(user_id, topic);
        self.work.sessions.insert((user_id.clone(), at));
        true
    }

    /// The broker has agreed: everyone who waited for the topic holds it now.
    fn topic_on(&mut self, user_id: &UserId, topic: &Topic, effects: &mut Vec<Effect>) {
        let state = self.topic_mut(user_id, topic);
        let waiting = state.waiting();
        mark!(TopicOnForNobody if state.wants.is_empty());
        mark!(TopicOnForSeveral if waiting.len() > 1);
        for want in state.wants.values_mut() {
            *want = Want::Held;
        }
        for (client, mode) in waiting {
            self.entry_done(client, &topic.in_mode(mode), Ok(()), effects);
        }
    }

    /// The broker has not agreed: everyone who waited is told and wants the topic no longer. Who
    /// already held it goes on wanting it; it is tried again later.
    fn subscribe_failed(
        &mut self,
        user_id: &UserId,
        topic: &Topic,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        for (client, mode) in self.topic_mut(user_id, topic).waiting() {
            self.entry_done(client, &topic.in_mode(mode), Err(error), effects);
        }
        let state = self.topic_mut(user_id, topic);
        let held = !state.wants.is_empty();
        mark!(TopicRefusedToHolders if held);
        if held {
            self.pause_topic(user_id, topic);
        } else {
            // Nobody is left: what the broker may have done is undone at once.
            state.backoff = Backoff::default();
        }
        if held || error.code != BrokerErrorCode::Refused {
            Self::note_failure(user_id, topic, error, effects);
        } else {
            let (user, topic, reason) = (user_id.clone(), topic.clone(), error.message.clone());
            Self::note(effects, Note::TopicRefused { user, topic, reason });
        }
    }

    /// Tells everyone who waits for one of these topics of this user that it will not come, in the
    /// order in which they became the user's clients.
    pub(super) fn fail_waiting(
        &mut self,
        user_id: &UserId,
        topics: &BTreeSet<Topic>,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        let clients: Vec<ClientId> = self.users[user_id].clients.iter().copied().collect();
        for client in clients {
            for topic in self.clients[&client].waits_for() {
                if topics.contains(&self.carrier(user_id, &topic)) {
                    self.entry_done(client, &topic, Err(error), effects);
                }
            }
        }
    }

    /// The topic that the broker is asked for where a client wants this one: in the leanest mode
    /// that it has and that is enough. The feed serves lower modes from higher ones.
    pub(super) fn carrier(&self, user_id: &UserId, topic: &Topic) -> Topic {
        let modes = &self.rules_of_broker(&self.users[user_id].broker).modes;
        let mode = modes.iter().find(|mode| **mode >= topic.mode);
        topic.in_mode(mode.copied().unwrap_or(topic.mode))
    }

    /// The state of the topic that serves a client's.
    pub(super) fn serving(&self, user_id: &UserId, topic: &Topic) -> &TopicState {
        &self.users[user_id].topics[&self.carrier(user_id, topic)]
    }

    /// Notes that a client wants a topic. Says whether it holds it at once, and at what depth.
    pub(super) fn want(
        &mut self,
        user_id: &UserId,
        client_id: ClientId,
        topic: &Topic,
        depth: u32,
        effects: &mut Vec<Effect>,
    ) -> Want {
        let carrier = self.carrier(user_id, topic);
        let user = self.users.get_mut(user_id).expect("the user exists");
        user.topic_meets(&carrier, TopicEvent::Wanted);
        let state = user.topics.entry(carrier.clone()).or_insert_with(|| TopicState::new(depth));
        if state.wants.is_empty() {
            state.depth = depth;
        }
        state.depth = state.depth.max(depth);
        let want = if state.upstream == Upstream::On { Want::Held } else { Want::Waiting };
        let is_new = state.wants.insert((client_id, topic.mode), want).is_none();
        assert!(is_new, "{client_id} wants {topic} twice");
        let client = self.clients.get_mut(&client_id).expect("the client exists");
        client.topics.insert(topic.clone());
        self.routes.add(topic, &user.broker, client.shard, effects);
        self.wanting_changes(user_id, topic, true);
        self.work.topics.push_back((user_id.clone(), carrier));
        want
    }

    /// Takes a client's want back, and says how far it had come.
    pub(super) fn unwant(&mut self, user_id: &UserId, client_id: ClientId, topic: &Topic) -> Want {
        self.wanting_changes(user_id, topic, false);
        let carrier = self.carrier(user_id, topic);
        let user = self.users.get_mut(user_id).expect("the user exists");
        let state = user.topics.get_mut(&carrier).expect("a want has a topic");
        state.meets(TopicEvent::Unwanted);
        let wants = &mut state.wants;
        let want = wants.swap_remove(&(client_id, topic.mode)).expect("the client wants the topic");
        let client = self.clients.get_mut(&client_id).expect("the client exists");
        client.topics.swap_remove(topic);
        self.routes.remove(topic, &user.broker, client.shard);
        self.work.topics.push_back((user_id.clone(), carrier));
        want
    }

    fn forget_topic(&mut self, user_id: &UserId, topic: &Topic) {
        self.timers.cancel(&TimerKey::Topic(user_id.clone(), topic.clone()));
        if let Some(user) = self.users.get_mut(user_id) {
            user.topics.swap_remove(topic);
            user.homeless.remove(topic);
            // It may have been waiting to take a place that another one waits for.
            let next = user.homeless.pop_first();
            self.work.topics.extend(next.map(|next| (user_id.clone(), next)));
            // Fewer sessions may do now.
            for at in 1..user.sessions.len() {
                if user.sessions[at].topics == 0 {
                    self.work.sessions.insert((user_id.clone(), at));
                }
            }
        }
    }

    fn pause_topic(&mut self, user_id: &UserId, topic: &Topic) {
        let (min_ms, max_ms) = (self.options.times.retry_min_ms, self.options.times.retry_max_ms);
        let user = self.users.get_mut(user_id).expect("the user exists");
        let state = user.topics.get_mut(topic).expect("the topic exists");
        state.backoff.failed(self.now_ms, min_ms, max_ms, &mut self.rng);
    }

    fn note_failure(
        user_id: &UserId,
        topic: &Topic,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        let (user, topic, reason) = (user_id.clone(), topic.clone(), error.message.clone());
        Self::note(effects, Note::TopicFailed { user, topic, reason });
    }

    fn topic_mut(&mut self, user_id: &UserId, topic: &Topic) -> &mut TopicState {
        let user = self.users.get_mut(user_id).expect("the user exists");
        user.topics.get_mut(topic).expect("the topic exists")
    }
}
