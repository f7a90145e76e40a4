//! Users whose key names another broker than the one at which they still have a session.

use super::words::{Ask, BrokerNo, ClientNo, Refusal, UserNo};
use super::{Busy, Model, Work};

impl Model {
    /// Nobody else is there as this user: its session is closed, and then it comes in.
    pub(super) fn wait_to_move(
        &mut self,
        no: ClientNo,
        id: Option<u32>,
        user: UserNo,
        broker: BrokerNo,
    ) {
        if self.client(no).and_then(|client| client.account).is_some_and(|(own, _)| own == user) {
            self.leave(no);
        }
        self.account(user).pause.hurry();
        let until_ms = self.now_ms + self.rules.request_timeout_ms;
        let client = self.client(no).expect("it asks");
        client.authenticate_by_ms = None;
        client.busy = Some(Busy { id, until_ms, with: Work::Moving(user, broker) });
        self.movers.push(no);
    }

    /// As whom a client waits to come in at another broker, and at which.
    pub(super) fn moves(&mut self, no: ClientNo) -> Option<(UserNo, BrokerNo)> {
        match self.client(no)?.busy.as_ref()?.with {
            Work::Moving(user, broker) => Some((user, broker)),
            Work::Authenticating | Work::Subscribing(_) => None,
        }
    }

    /// Nothing is left of an account: those who have waited for that ask once more.
    pub(super) fn forget(&mut self, user: UserNo) {
        self.accounts[user as usize] = None;
        for no in self.movers.clone() {
            let (moving, broker) = self.moves(no).expect("it moves");
            if moving != user {
                continue;
            }
            let busy = self.stops_moving(no);
            let client = self.client(no).expect("it moves");
            if !client.closing {
                client.queue.push_front((busy.id, Ask::Authenticate(user, broker)));
                self.ready.push_back(no);
            }
        }
    }

    /// The old session has not ended in time, or somebody else has come there.
    pub(super) fn cannot_move(&mut self, no: ClientNo, user: UserNo) {
        let is_empty = self.account(user).clients.is_empty();
        let words = if is_empty { "has not ended yet" } else { "other clients" };
        let busy = self.stops_moving(no);
        self.refuse_authentication(no, busy.id, Refusal { code: "BROKER_ERROR", words });
        self.ready.push_back(no);
    }

    fn stops_moving(&mut self, no: ClientNo) -> Busy {
        self.movers.retain(|mover| *mover != no);
        let by_ms = self.now_ms + self.rules.auth_timeout_ms;
        let client = self.client(no).expect("it moves");
        if client.account.is_none() {
            client.authenticate_by_ms = Some(by_ms);
        }
        client.busy.take().expect("it moves")
    }
}
