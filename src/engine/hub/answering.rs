//! Answers to clients.

use super::client::CurrentKind;
use super::{Effect, Hub, TimerKey};
use crate::engine::Change;
use crate::protocol::{Answer, RequestId};
use crate::topic::ClientId;

impl Hub {
    /// Answers the current request and lets the next one start.
    pub(super) fn finish(&mut self, id: ClientId, answer: Answer, effects: &mut Vec<Effect>) {
        self.finish_with(id, Change::default(), answer, effects);
    }

    pub(super) fn finish_with(
        &mut self,
        id: ClientId,
        change: Change,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        self.timers.cancel(&TimerKey::Request(id));
        let client = self.clients.get_mut(&id).expect("the client exists");
        let current = client.current.take().expect("a request is being served");
        match current.kind {
            CurrentKind::Authenticate
            | CurrentKind::Move(_)
            | CurrentKind::Admin(_)
            | CurrentKind::Subscribe { .. } => {
                self.answer_with(id, current.request_id, change, answer, effects);
            }
            CurrentKind::Enter => {}
        }
        self.work.clients.push_back(id);
    }

    pub(super) fn answer(
        &mut self,
        id: ClientId,
        request_id: Option<RequestId>,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        self.answer_with(id, request_id, Change::default(), answer, effects);
    }

    pub(super) fn answer_with(
        &mut self,
        client: ClientId,
        request_id: Option<RequestId>,
        change: Change,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        self.totals.answers += 1;
        let shard = self.clients[&client].shard;
        let answer = Some((answer, request_id));
        effects.push(Effect::Deliver { client, shard, change, answer });
    }
}
