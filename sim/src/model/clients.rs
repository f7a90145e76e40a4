//! Clients: coming, asking, going.

use std::collections::VecDeque;

use super::words::{
    Ask, BrokerNo, ClientNo, Delivery, Line, NO_BROKER, OrdersChange, Outcome, Refusal, Say, UserNo,
};
use super::{Account, Busy, Client, Model, Standing, Work, take_out};

impl Model {
    pub(super) fn opened(&mut self, no: ClientNo, shard: u8) {
        self.clients.push(Client {
            no,
            shard,
            account: None,
            authenticate_by_ms: Some(self.now_ms + self.rules.auth_timeout_ms),
            wants: Vec::new(),
            follows_orders: false,
            queue: VecDeque::new(),
            busy: None,
            failures: 0,
            closing: false,
        });
        if self.draining {
            self.close(no, 1012);
        }
    }

    pub(super) fn closed(&mut self, no: ClientNo) {
        if self.client(no).is_none() {
            return;
        }
        self.leave(no);
        self.movers.retain(|mover| *mover != no);
        self.clients.retain(|client| client.no != no);
        self.expected.gone.push(no);
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        let clients: Vec<ClientNo> = self.clients.iter().map(|client| client.no).collect();
        for client in clients {
            self.close(client, 1012);
        }
    }

    pub(super) fn stayed_nobody(&mut self, no: ClientNo) {
        let client = self.client(no).expect("a deadline has an owner");
        client.authenticate_by_ms = None;
        self.close(no, 4401);
    }

    fn close(&mut self, no: ClientNo, code: u16) {
        let Some(client) = self.client(no) else { return };
        if !client.closing {
            client.closing = true;
            client.queue.clear();
            self.expected.closes.push((no, code));
        }
    }

    pub(super) fn asked(&mut self, no: ClientNo, id: Option<u32>, ask: Ask) {
        let Some(client) = self.client(no) else { return };
        if !client.closing {
            client.queue.push_back((id, ask));
            self.ready.push_back(no);
        }
    }

    /// Serves a client's requests in order, until one has to wait.
    pub(super) fn serve(&mut self, no: ClientNo) {
        loop {
            let Some(client) = self.client(no) else { return };
            if client.busy.is_some() || client.closing {
                return;
            }
            let Some((id, ask)) = client.queue.pop_front() else { return };
            self.serve_one(no, id, ask);
        }
    }

    pub(super) fn authenticate(
        &mut self,
        no: ClientNo,
        id: Option<u32>,
        user: UserNo,
        broker: BrokerNo,
    ) {
        let is_other = |client: &ClientNo| *client != no;
        let account = self.accounts[user as usize].as_ref();
        let there = account.filter(|account| account.broker != broker);
        let is_shared = there.is_some_and(|account| account.clients.iter().any(is_other));
        let words = match broker {
            NO_BROKER => Some("not known"),
            _ if is_shared => Some("other clients"),
            _ => None,
        };
        if let Some(words) = words {
            self.refuse_authentication(no, id, Refusal { code: "BROKER_ERROR", words });
            return;
        }
        if there.is_some() {
            self.wait_to_move(no, id, user, broker);
            return;
        }
        let already = self.client(no).and_then(|client| client.account).map(|(user, _)| user);
        let of_user = self.accounts[user as usize].as_ref().map_or(0, |acc| acc.clients.len());
        if already != Some(user) && of_user >= self.rules.clients_per_user_max {
            let words = "connections at a time";
            self.refuse_authentication(no, id, Refusal { code: "LIMIT_EXCEEDED", words });
            return;
        }
        if already != Some(user) {
            self.leave(no);
            self.accounts[user as usize].get_or_insert_with(|| Account::new(broker));
            self.account(user).clients.push(no);
            self.client(no).expect("it asks").account = Some((user, Standing::Joining));
        }
        let until_ms = self.now_ms + self.rules.request_timeout_ms;
        let client = self.client(no).expect("it asks");
        client.authenticate_by_ms = None;
        client.busy = Some(Busy { id, until_ms, with: Work::Authenticating });
        if self.account(user).is_open() {
            self.let_in(no);
        } else {
            self.account(user).pause.hurry();
        }
    }

    pub(super) fn refuse_authentication(
        &mut self,
        no: ClientNo,
        id: Option<u32>,
        refusal: Refusal,
    ) {
        self.log_failure(no, refusal.code);
        self.tell(no, id, Say::Refused(refusal));
    }

    /// The log tells of the first, the second, the fourth failure of a client and so on.
    fn log_failure(&mut self, no: ClientNo, code: &'static str) {
        let client = self.client(no).expect("it asks");
        client.failures += 1;
        let failures = client.failures;
        if failures.is_power_of_two() {
            self.log(Line::AuthenticationFailed(no, code, failures));
        }
    }

    fn is_authenticating(&self, no: ClientNo) -> bool {
        self.clients.iter().any(|client| {
            client.no == no && matches!(client.busy, Some(Busy { with: Work::Authenticating, .. }))
        })
    }

    /// The session is there: a client that waits for it is told.
    pub(super) fn let_in(&mut self, no: ClientNo) {
        if !self.is_authenticating(no) {
            return;
        }
        let client = self.client(no).expect("it waits");
        let (user, standing) = client.account.expect("it authenticates");
        client.account = Some((user, Standing::Joined));
        if standing == Standing::Joining {
            self.log(Line::Authenticated(no, user));
        }
        let broker = self.account(user).broker;
        self.finish(no, Say::Authenticated(user, broker));
    }

    /// There will be no session: a client that waits for it is told, and is nobody again unless
    /// it had come in before.
    pub(super) fn turn_away(&mut self, no: ClientNo, outcome: Outcome, words: &'static str) {
        if !self.is_authenticating(no) {
            return;
        }
        let code = match outcome {
            Outcome::InitFailed => "BROKER_INIT_ERROR",
            Outcome::Refused | Outcome::NotConnected | Outcome::Timeout | Outcome::Done(_) => {
                "BROKER_CONNECTION_ERROR"
            }
        };
        self.log_failure(no, code);
        self.finish(no, Say::Refused(Refusal { code, words }));
        let client = self.client(no).expect("it waited");
        if matches!(client.account, Some((_, Standing::Joining))) {
            self.leave(no);
            let by_ms = self.now_ms + self.rules.auth_timeout_ms;
            self.client(no).expect("it waited").authenticate_by_ms = Some(by_ms);
        }
    }

    /// Everything that a client has as its user is taken from it, order updates included.
    pub(super) fn leave(&mut self, no: ClientNo) {
        let client = self.client(no).expect("it leaves");
        client.busy = None;
        let Some((user, _)) = client.account.take() else { return };
        let orders = match std::mem::take(&mut client.follows_orders) {
            true => OrdersChange::Stop,
            false => OrdersChange::Keep,
        };
        let wants = std::mem::take(&mut client.wants);
        let remove = wants.iter().fold(0, |set, topic| set | topic.bit());
        for topic in wants {
            self.give_up(user, no, topic);
        }
        take_out(&mut self.account(user).clients, |client| *client == no);
        if remove != 0 || orders != OrdersChange::Keep {
            let delivery =
                Delivery { client: no, answer: None, add: 0, paces: Vec::new(), remove, orders };
            self.expected.deliveries.push(delivery);
        }
    }

    /// A request has waited too long: what of it still waits has failed.
    pub(super) fn request_overdue(&mut self, no: ClientNo) {
        let client = self.client(no).expect("a deadline has an owner");
        let user = client.account.map(|(user, _)| user);
        let broker = user.map(|user| self.account(user).broker);
        let words = match broker {
            Some(broker) if !self.reachable[broker as usize] => "cannot be reached",
            Some(_) | None => "did not answer in time",
        };
        if self.is_authenticating(no) {
            self.turn_away(no, Outcome::Timeout, words);
        } else if let Some((user, _)) = self.moves(no) {
            self.cannot_move(no, user);
        } else {
            for topic in self.waits_for(no) {
                self.row_done(no, topic, Outcome::Timeout, words);
            }
        }
    }

    /// Answers a request that is not waited for.
    pub(super) fn tell(&mut self, no: ClientNo, id: Option<u32>, say: Say) {
        self.deliver(no, id, say, 0, 0, OrdersChange::Keep);
    }

    /// Answers the request that is being waited for. The next may be served.
    pub(super) fn finish(&mut self, no: ClientNo, say: Say) {
        self.finish_and_route(no, say, 0);
    }

    pub(super) fn finish_and_route(&mut self, no: ClientNo, say: Say, add: u32) {
        let busy = self.client(no).and_then(|client| client.busy.take()).expect("it waits");
        self.deliver(no, busy.id, say, add, 0, OrdersChange::Keep);
        self.ready.push_back(no);
    }

    pub(super) fn deliver(
        &mut self,
        client: ClientNo,
        id: Option<u32>,
        say: Say,
        add: u32,
        remove: u32,
        orders: OrdersChange,
    ) {
        let answer = Some((say, id));
        let paces = Vec::new();
        self.expected.deliveries.push(Delivery { client, answer, add, paces, remove, orders });
    }
}
