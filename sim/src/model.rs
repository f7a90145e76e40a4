//! The reference model: what a gateway has to do, said a second time.
//!
//! It shares no code with the engine. It is written from wire-protocol.md, requirements.md and
//! ARCHITECTURE.md, over small numbers and short lists, and walks all of them after each step
//! instead of keeping track of what has changed. It predicts every answer, every change of routes,
//! every line for the log and every broker command.
//!
//! One thing it does not predict: pauses are jittered, so it knows only when one may be over and
//! when it must be. In between it takes the engine's word, from before the step.

mod accounts;
mod broker;
mod check;
mod clients;
mod commands;
pub mod delivery;
mod display;
pub mod list;
mod moving;
mod pause;
mod requests;
mod shares;
pub mod words;

use std::collections::VecDeque;

pub use broker::words_of;
pub use check::Summary;
use list::List;
use pause::Pause;
use words::{
    Ask, BROKERS, BrokerNo, ClientNo, Delivery, Kind, Line, Row, Sent, Step, Topic, USERS, UserNo,
};

/// Deadlines, pauses and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a client may stay nobody.
    pub auth_timeout_ms: u64,
    /// How long a broker may take to open or close a session.
    pub connect_timeout_ms: u64,
    /// How long a broker may take to subscribe or unsubscribe.
    pub answer_timeout_ms: u64,
    /// How long a request may wait in all.
    pub request_timeout_ms: u64,
    /// First pause after a failure.
    pub retry_min_ms: u64,
    /// Longest pause after a failure.
    pub retry_max_ms: u64,
    /// Topics that a client may want.
    pub topics_per_client_max: usize,
    /// Topics that a user's clients may want together, each counted for each client.
    pub topics_per_user_max: usize,
    /// Clients that a user may have.
    pub clients_per_user_max: usize,
}

/// What one step must lead to, apart from broker commands.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// What clients are told, and what changes for them.
    pub deliveries: Vec<Delivery>,
    /// Clients to be closed, with the code.
    pub closes: Vec<(ClientNo, u16)>,
    /// Clients to be forgotten.
    pub gone: Vec<ClientNo>,
    /// What the log says.
    pub log: Vec<Line>,
}

/// A gateway as it should be.
#[derive(Clone, Debug)]
pub struct Model {
    rules: Rules,
    now_ms: u64,
    draining: bool,
    reachable: [bool; BROKERS],
    clients: Vec<Client>,
    accounts: [Option<Account>; USERS],
    flights: Vec<Flight>,
    /// Clients whose next request may be served, in order.
    ready: VecDeque<ClientNo>,
    /// Clients whose user moves to another broker, in the order in which they asked.
    movers: Vec<ClientNo>,
    newest_command: u64,
    newest_session: u64,
    /// Commands of this step that nothing has explained yet.
    sent: Vec<Sent>,
    expected: Expected,
    complaint: Option<String>,
}

#[derive(Clone, Debug)]
struct Client {
    no: ClientNo,
    shard: u8,
    /// The account it belongs to, and whether it has been told so.
    account: Option<(UserNo, Standing)>,
    /// While it is nobody.
    authenticate_by_ms: Option<u64>,
    /// In the order in which it asked for them, but for [`take_out`].
    wants: Vec<Topic>,
    follows_orders: bool,
    queue: VecDeque<(Option<u32>, Ask)>,
    busy: Option<Busy>,
    /// Times that it was not let in.
    failures: u64,
    closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Joining,
    Joined,
}

/// The request that a client waits for.
#[derive(Clone, Debug)]
struct Busy {
    id: Option<u32>,
    until_ms: u64,
    with: Work,
}

#[derive(Clone, Debug)]
enum Work {
    Authenticating,
    /// Until nothing of the user is left at its old broker.
    Moving(UserNo, BrokerNo),
    Subscribing(List<OpenRow, 3>),
}

/// A row of a subscribe whose outcome may be open.
#[derive(Clone, Copy, Debug)]
enum OpenRow {
    Done(Row),
    Waits { topic: Topic, asked: u32, pace_ms: u64 },
    SameAs { row: u8, topic: Topic },
}

/// A user with clients, or with a session that has to be closed.
#[derive(Clone, Debug)]
struct Account {
    broker: BrokerNo,
    /// In the order in which they came, but for [`take_out`].
    clients: Vec<ClientNo>,
    life: Life,
    session: u64,
    /// The broker may have a session all the same.
    in_doubt: bool,
    /// The credentials have changed since.
    outdated: bool,
    pause: Pause,
    shares: Vec<Share>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Life {
    None,
    Opening(u64),
    Open,
    Closing(u64),
    Unknown,
}

/// A topic that clients of one user share.
#[derive(Clone, Debug)]
struct Share {
    topic: Topic,
    at_broker: AtBroker,
    /// The broker may send it all the same.
    in_doubt: bool,
    /// In the order in which they asked, but for [`take_out`].
    holders: Vec<Holder>,
    pause: Pause,
    /// The deepest book that anybody has asked for.
    deepest: u32,
    levels: shares::Levels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum AtBroker {
    Off,
    TurningOn(u64),
    On,
    TurningOff(u64),
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    client: ClientNo,
    asked: u32,
    /// The broker has agreed to it.
    agreed: bool,
}

/// A command that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Flight {
    command: u64,
    user: UserNo,
    topic: Option<Topic>,
    until_ms: u64,
}

impl Model {
    /// A gateway without clients, all of whose brokers are down.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            now_ms: 0,
            draining: false,
            reachable: [false; BROKERS],
            clients: Vec::new(),
            accounts: [const { None }; USERS],
            flights: Vec::new(),
            ready: VecDeque::new(),
            movers: Vec::new(),
            newest_command: 0,
            newest_session: 0,
            sent: Vec::new(),
            expected: Expected::default(),
            complaint: None,
        }
    }

    /// Takes one step. `sent`: the commands that the engine has sent in it, in its order.
    ///
    /// # Errors
    ///
    /// Fails if a command is missing, wrong, or one too many.
    pub fn step(&mut self, now_ms: u64, step: &Step, sent: &[Sent]) -> Result<(), String> {
        self.begin(now_ms, sent);
        match *step {
            Step::Open { client, shard } => self.opened(client, shard),
            Step::Ask { client, id, ask } => self.asked(client, id, ask),
            Step::Close { client } => self.closed(client),
            Step::BrokerUp(broker) => self.broker_up(broker),
            Step::BrokerDown(broker) => self.broker_down(broker),
            Step::Answered { command, result } => self.answered(command, result),
            Step::SessionLost { user, broker, session } => self.lost(user, broker, session),
            Step::Invalidate(user) => self.invalidated(user),
            Step::Timer => {}
            Step::Drain => self.drain(),
        }
        self.pass_deadlines();
        self.reach_consequences();
        self.end()
    }

    /// Whether there is a pause of which only the engine knows if it is over.
    #[must_use]
    pub fn has_open_pauses(&self, now_ms: u64) -> bool {
        self.accounts.iter().flatten().any(|account| {
            account.pause.is_open(now_ms)
                || account.shares.iter().any(|share| share.pause.is_open(now_ms))
        })
    }

    /// The engine says whether the pause of a session (`topic` is `None`) or of a topic is over.
    pub fn learn_pause(&mut self, now_ms: u64, user: UserNo, topic: Option<Topic>, is_over: bool) {
        let Some(account) = &mut self.accounts[user as usize] else { return };
        let share = account.shares.iter_mut().find(|share| Some(share.topic) == topic);
        match (topic, share) {
            (None, _) => account.pause.learn(now_ms, is_over),
            (Some(_), Some(share)) => share.pause.learn(now_ms, is_over),
            (Some(_), None) => {}
        }
    }

    fn begin(&mut self, now_ms: u64, sent: &[Sent]) {
        self.now_ms = now_ms;
        self.sent.clear();
        self.sent.extend_from_slice(sent);
        self.complaint = None;
        self.expected.deliveries.clear();
        self.expected.closes.clear();
        self.expected.gone.clear();
        self.expected.log.clear();
        for sent in sent {
            if sent.command <= self.newest_command {
                self.complain(|| format!("command {} is not a new number", sent.command));
            }
            self.newest_command = sent.command;
            if sent.kind == Kind::Connect {
                if sent.session <= self.newest_session {
                    self.complain(|| format!("{sent} reuses a session number"));
                }
                self.newest_session = sent.session;
            }
        }
    }

    /// What the last step must lead to, apart from broker commands.
    #[must_use]
    pub const fn expected(&self) -> &Expected {
        &self.expected
    }

    fn end(&mut self) -> Result<(), String> {
        if let Some(sent) = self.sent.first().copied() {
            self.complain(|| format!("nothing explains the command {sent}"));
        }
        match self.complaint.take() {
            Some(complaint) => Err(complaint),
            None => Ok(()),
        }
    }

    /// The first complaint counts: what follows from a mistake is noise.
    fn complain(&mut self, complaint: impl FnOnce() -> String) {
        if self.complaint.is_none() {
            self.complaint = Some(complaint());
        }
    }

    /// Whatever is due by now happens, the earliest first.
    fn pass_deadlines(&mut self) {
        while let Some((at_ms, due)) = self.next_due() {
            if at_ms > self.now_ms {
                return;
            }
            match due {
                Due::Nobody(client) => self.stayed_nobody(client),
                Due::Request(client) => self.request_overdue(client),
                Due::Command(command) => self.answered(command, words::Outcome::Timeout),
            }
        }
    }

    /// The earliest deadline that must not pass unnoticed.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.next_due().map(|(at_ms, _)| at_ms)
    }

    fn next_due(&self) -> Option<(u64, Due)> {
        let mut next = (u64::MAX, Due::Command(u64::MAX));
        for client in &self.clients {
            if let Some(at_ms) = client.authenticate_by_ms {
                next = next.min((at_ms, Due::Nobody(client.no)));
            }
            if let Some(busy) = &client.busy {
                next = next.min((busy.until_ms, Due::Request(client.no)));
            }
        }
        for flight in &self.flights {
            next = next.min((flight.until_ms, Due::Command(flight.command)));
        }
        (next.0 < u64::MAX).then_some(next)
    }

    /// Brings sessions and topics in line with what is wanted, and serves who can be served: the
    /// brokers hear of one client's wishes before the next client is served.
    fn reach_consequences(&mut self) {
        loop {
            for user in 0..USERS {
                self.decide_session(user as UserNo);
                self.decide_topics(user as UserNo);
            }
            let Some(client) = self.ready.pop_front() else { return };
            self.serve(client);
        }
    }

    fn log(&mut self, line: Line) {
        self.expected.log.push(line);
    }

    fn client(&mut self, no: ClientNo) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.no == no)
    }

    fn account(&mut self, user: UserNo) -> &mut Account {
        self.accounts[user as usize].as_mut().expect("a client's account exists")
    }
}

/// A deadline's owner. At the same millisecond those of clients come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Nobody(ClientNo),
    Request(ClientNo),
    Command(u64),
}

/// Takes one item out of a list; the last one takes its place. Nobody is promised an order, but it
/// is the same in every run, and taking one of many out costs nothing.
fn take_out<T>(list: &mut Vec<T>, is_it: impl FnMut(&T) -> bool) -> Option<T> {
    let at = list.iter().position(is_it)?;
    Some(list.swap_remove(at))
}
