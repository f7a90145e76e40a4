//! Users whose credential names another broker than the one at which they still have a session.
//!
//! A user is at one broker. As long as clients of it are at the old one, those who come by the new
//! credential are refused. When there are none, nobody needs the old session: it is ended, neither
//! lingering nor kept, and who has come waits for that. A session that is in doubt at a broker that
//! cannot be reached is waited for as well: given up, it would be left there for ever.

use super::client::{Auth, Current, CurrentKind};
use super::{Effect, Hub, TimerKey, reject};
use crate::engine::{Identity, Request};
use crate::protocol::{Answer, RequestId};
use crate::topic::{ClientId, UserId};

impl Hub {
    /// Whether somebody waits for the end of what this user has at its broker.
    pub(super) fn is_moving(&self, user: &UserId) -> bool {
        self.movers.contains_key(user)
    }

    /// A client has come as a user that is at another broker, and has no clients there but this.
    pub(super) fn wait_to_move(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        identity: Identity,
        effects: &mut Vec<Effect>,
    ) {
        let user_id = identity.user.clone();
        if self.clients[&id].attached() == Some(&user_id) {
            self.leave(id, effects);
        }
        self.timers.cancel(&TimerKey::Authenticate(id));
        self.timers.set(TimerKey::Request(id), self.now_ms + self.options.times.request_timeout_ms);
        self.clients[&id].current = Some(Current { request_id, kind: CurrentKind::Move(identity) });
        let user = self.users.get_mut(&user_id).expect("a user at another broker is there");
        for (at, session) in user.sessions.iter_mut().enumerate() {
            session.backoff.hurry();
            self.work.sessions.insert((user_id.clone(), at));
        }
        self.movers.entry(user_id).or_default().push(id);
    }

    /// Nothing is left of a user where it was: those who have waited for that are served.
    pub(super) fn all_move(&mut self, user: &UserId) {
        for id in self.movers.remove(user).unwrap_or_default() {
            let Some((request_id, identity)) = self.moves_no_more(id) else { continue };
            let client = &mut self.clients[&id];
            if !client.closing {
                client.queue.push_front((request_id, Request::Authenticate(Ok(identity))));
                self.work.clients.push_back(id);
            }
        }
    }

    /// What a client has waited for has not come in time.
    pub(super) fn cannot_move(&mut self, id: ClientId, user: &UserId, effects: &mut Vec<Effect>) {
        let user = &self.users[user];
        let why = if user.clients.is_empty() { reject::not_ended } else { reject::other_broker };
        let reject = why(&user.broker);
        self.note_turned_down(id, &reject, effects);
        if let Some((request_id, _)) = self.moves_no_more(id) {
            self.answer(id, request_id, Answer::Rejected(reject), effects);
            self.work.clients.push_back(id);
        }
    }

    /// A client waits no longer for its user's end elsewhere. What it has asked for, if it did.
    pub(super) fn moves_no_more(&mut self, id: ClientId) -> Option<(Option<RequestId>, Identity)> {
        let client = self.clients.get_mut(&id)?;
        let at = client.current.take_if(|at| matches!(at.kind, CurrentKind::Move(_)))?;
        let CurrentKind::Move(identity) = at.kind else { return None };
        let is_nobody = client.auth == Auth::Nobody;
        if let Some(movers) = self.movers.get_mut(&identity.user) {
            movers.retain(|mover| *mover != id);
            if movers.is_empty() {
                self.movers.remove(&identity.user);
            }
        }
        self.timers.cancel(&TimerKey::Request(id));
        if is_nobody {
            self.arm_authentication(id);
        }
        Some((at.request_id, identity))
    }
}
