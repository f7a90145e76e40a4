//! What administrators do to clients and users.
//!
//! A client's command is checked here against its role, handed out as an effect, and answered when
//! it has been carried out: until then it is the client's current request like any other.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::client::{Client, Current, CurrentKind};
use super::{Effect, Hub, Note, TimerKey};
use crate::engine::Request;
use crate::protocol::{AdminAnswer, AdminCommand, Answer, Reject, RequestId};
use crate::topic::{ClientId, Role, UserId};

/// Users that can be refused at the same time.
const BANS_MAX: usize = 1_000;

/// WebSocket close code of those whom an administrator removes, and its reason.
const REMOVED: (u16, &str) = (4403, "removed by an administrator");

/// Users who are refused, each until some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Bans(BTreeMap<UserId, u64>);

impl Bans {
    /// For how long a user is refused still, if it is.
    pub fn left_ms(&self, user: &UserId, now_ms: u64) -> Option<u64> {
        self.0.get(user).and_then(|until_ms| until_ms.checked_sub(now_ms)).filter(|ms| *ms > 0)
    }

    /// Refuses a user until a moment; one that has passed ends it. `false`: there are too many.
    fn set(&mut self, user: &UserId, now_ms: u64, until_ms: u64) -> bool {
        self.0.remove(user);
        self.0.retain(|_, until_ms| *until_ms > now_ms);
        if until_ms <= now_ms {
            return true;
        }
        let has_room = self.0.len() < BANS_MAX;
        if has_room {
            self.0.insert(user.clone(), until_ms);
        }
        has_room
    }
}

/// One client, as the hub knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubClient {
    /// Its number.
    pub client: ClientId,
    /// As whom it has authenticated.
    pub user: Option<UserId>,
    /// What it may do.
    pub role: Role,
    /// For how long it has been here.
    pub age_ms: u64,
    /// Topics that it wants.
    pub topics: usize,
}

impl Hub {
    /// Hands out a command that the client's role allows.
    pub(super) fn administer(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        user: UserId,
        command: AdminCommand,
        effects: &mut Vec<Effect>,
    ) {
        self.next_admin += 1;
        let number = self.next_admin;
        self.clients[&id].current = Some(Current { request_id, kind: CurrentKind::Admin(number) });
        self.timers.set(TimerKey::Request(id), self.now_ms + self.options.times.request_timeout_ms);
        effects.push(Effect::Administer { client: id, number, user, command });
    }

    /// Has it written down that a client gave a command that its role does not allow.
    pub(super) fn note_forbidden(
        &mut self,
        id: ClientId,
        request: &Request,
        effects: &mut Vec<Effect>,
    ) {
        let Request::Admin(command) = request else { return };
        let client = &mut self.clients[&id];
        client.forbidden += 1;
        let (count, command) = (client.forbidden, command.name());
        if let Some(user) = client.user().filter(|_| count.is_power_of_two()) {
            let user = user.clone();
            Self::note(effects, Note::AdminForbidden { client: id, user, command, count });
        }
    }

    /// A command has been carried out, or not. If its client waits for it no more, nobody cares.
    pub(super) fn administered(
        &mut self,
        id: ClientId,
        number: u64,
        result: Result<AdminAnswer, Reject>,
        effects: &mut Vec<Effect>,
    ) {
        let current = self.clients.get(&id).and_then(|client| client.current.as_ref());
        if current.is_some_and(|at| matches!(at.kind, CurrentKind::Admin(own) if own == number)) {
            let answer = result.map_or_else(Answer::Rejected, Answer::Admin);
            self.finish(id, answer, effects);
        }
    }

    /// Closes all clients of a user, and says how many. With `for_ms`, refuses the user for so
    /// long, on its way in too; 0 ends that. `by`: who says so, if it is a client.
    ///
    /// # Errors
    ///
    /// Fails if an administrator would remove itself, or if too many users are refused already.
    pub fn remove_user(
        &mut self,
        now_ms: u64,
        by: Option<ClientId>,
        user: &UserId,
        for_ms: Option<u64>,
        effects: &mut Vec<Effect>,
    ) -> Result<usize, Reject> {
        self.now_ms = now_ms;
        let own = by.and_then(|id| self.clients.get(&id)).and_then(|client| client.attached());
        if own == Some(user) {
            return Err(Reject::not_administered("you cannot remove your own user"));
        }
        let clients: Vec<ClientId> = self
            .users
            .get(user)
            .map_or_else(Vec::new, |user| user.clients.iter().copied().collect());
        clients.iter().try_for_each(|id| self.is_above(by, *id))?;
        if let Some(ms) = for_ms
            && !self.bans.set(user, now_ms, now_ms.saturating_add(ms))
        {
            let why = format!("{BANS_MAX} users are refused already; let one in again first");
            return Err(Reject::not_administered(&why));
        }
        let closed = clients.into_iter().filter(|id| self.remove_client(*id, effects));
        Ok(closed.count())
    }

    /// Closes a client. `by`: who says so, if it is a client.
    ///
    /// # Errors
    ///
    /// Fails if there is no such client, or if it is the one that says so.
    pub fn close_client(
        &mut self,
        now_ms: u64,
        by: Option<ClientId>,
        id: ClientId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Reject> {
        self.now_ms = now_ms;
        if by == Some(id) {
            return Err(Reject::not_administered("that is your own connection"));
        }
        self.is_above(by, id)?;
        if self.remove_client(id, effects) {
            Ok(())
        } else {
            Err(Reject::not_administered(&format!("there is no client {}", id.0)))
        }
    }

    /// Gives a frame to all who have authenticated, and says how many there are.
    pub fn broadcast(&self, frame: Bytes, effects: &mut Vec<Effect>) -> usize {
        let told = |id: &ClientId, at: &Client| at.user().is_some() && !at.closing && !id.is_own();
        let told = self.clients.iter().filter(|(id, at)| told(id, at));
        let clients: Vec<_> = told.map(|(id, at)| (*id, at.shard)).collect();
        let reached = clients.len();
        effects.push(Effect::Notice { clients, frame });
        reached
    }

    /// The first `rows_max` clients in the order in which they came, of this user and among these
    /// if given, and how many match. `now_ms` as in [`Hub::handle`].
    #[must_use]
    pub fn list_clients(
        &self,
        now_ms: u64,
        user: Option<&UserId>,
        among: Option<&BTreeSet<ClientId>>,
        rows_max: usize,
    ) -> (Vec<HubClient>, usize) {
        let fits = |id: &ClientId, of: Option<&UserId>| {
            user.is_none_or(|user| of == Some(user)) && among.is_none_or(|ids| ids.contains(id))
        };
        let clients = self.clients.iter().filter(|(id, at)| !id.is_own() && fits(id, at.user()));
        let mut ids: Vec<ClientId> = clients.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let row = |id: &ClientId| {
            let client = &self.clients[id];
            HubClient {
                client: *id,
                user: client.user().cloned(),
                role: client.role,
                age_ms: now_ms.saturating_sub(client.since_ms),
                topics: client.topics.len(),
            }
        };
        (ids.iter().take(rows_max).map(row).collect(), ids.len())
    }

    /// Nobody sends away those who may do more.
    fn is_above(&self, by: Option<ClientId>, id: ClientId) -> Result<(), Reject> {
        let role = |id: ClientId| self.clients.get(&id).map(|client| client.role);
        match (by.and_then(role), role(id)) {
            (Some(own), Some(other)) if other > own => {
                Err(Reject::not_administered("that is somebody whose role is above yours"))
            }
            (_, _) => Ok(()),
        }
    }

    /// `false`: it is not here, being closed already, or the gateway's own.
    fn remove_client(&mut self, id: ClientId, effects: &mut Vec<Effect>) -> bool {
        let Some(client) = self.clients.get_mut(&id).filter(|at| !at.closing && !id.is_own())
        else {
            return false;
        };
        let (code, reason) = REMOVED;
        client.close(id, code, reason, effects);
        true
    }
}
