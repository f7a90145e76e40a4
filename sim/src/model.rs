//! The reference model: what a gateway has to do, said a second time.
//!
//! It shares no code with the engine. It is written from wire-protocol.md, requirements.md and
//! ARCHITECTURE.md, over small numbers and short lists, and walks all of them after each step
//! instead of keeping track of what has changed. It predicts every answer, every change of routes,
//! every line for the log and every broker command.
//!
//! One thing it does not predict: pauses are jittered, so it knows only when a paused command may
//! come and when it must have come. In between it takes the engine's word.

mod accounts;
mod broker;
mod check;
mod clients;
pub mod delivery;
mod display;
pub mod list;
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
    /// In the order in which it asked for them.
    wants: Vec<Topic>,
    follows_orders: bool,
    queue: VecDeque<(Option<u32>, Ask)>,
    busy: Option<Busy>,
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
    Subscribing(List<OpenRow, 3>),
}

/// A row of a subscribe whose outcome may be open.
#[derive(Clone, Copy, Debug)]
enum OpenRow {
    Done(Row),
    Waits { topic: Topic, asked: u32 },
    SameAs { row: u8, topic: Topic },
}

/// A user with clients, or with a session that has to be closed.
#[derive(Clone, Debug)]
struct Account {
    broker: BrokerNo,
    /// In the order in which they came.
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
    /// In the order in which they asked.
    holders: Vec<Holder>,
    pause: Pause,
    /// The deepest book that anybody has asked for.
    deepest: u32,
    /// What the broker said it sends.
    sends: Option<u32>,
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
        let clients = self.clients.iter().flat_map(|client| {
            let nobody = client.authenticate_by_ms.map(|at| (at, Due::Nobody(client.no)));
            let busy = client.busy.as_ref().map(|busy| (busy.until_ms, Due::Request(client.no)));
            nobody.into_iter().chain(busy)
        });
        let commands =
            self.flights.iter().map(|flight| (flight.until_ms, Due::Command(flight.command)));
        clients.chain(commands).min()
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

    /// A command is due: finds it among those that the engine has sent.
    fn command(&mut self, user: UserNo, kind: Kind, topic: Option<Topic>) -> Sent {
        let found = self.find_sent(user, kind, topic);
        let sent = match found {
            Some(at) => self.sent.remove(at),
            None => {
                self.complain(|| format!("{} is missing", words::command(user, kind, topic)));
                Sent::placeholder(user, kind, topic, self.newest_command + 1)
            }
        };
        let timeout_ms = match kind {
            Kind::Connect | Kind::Disconnect => self.rules.connect_timeout_ms,
            Kind::Subscribe | Kind::Unsubscribe => self.rules.answer_timeout_ms,
        };
        let until_ms = self.now_ms + timeout_ms;
        self.flights.push(Flight { command: sent.command, user, topic, until_ms });
        if found.is_some() {
            self.judge_command(&sent, timeout_ms);
        }
        sent
    }

    fn judge_command(&mut self, sent: &Sent, timeout_ms: u64) {
        if sent.deadline_ms != timeout_ms {
            self.complain(|| format!("{sent} has a deadline of {} ms", sent.deadline_ms));
        }
        let account = self.accounts[sent.user as usize].as_ref().expect("an account sends it");
        let (broker, session) = (account.broker, account.session);
        if sent.broker != broker {
            self.complain(|| format!("{sent} goes to the wrong broker"));
        }
        match sent.kind {
            Kind::Connect => {}
            Kind::Disconnect | Kind::Subscribe | Kind::Unsubscribe if sent.session != session => {
                self.complain(|| format!("{sent} names another session than {session}"));
            }
            Kind::Disconnect | Kind::Subscribe | Kind::Unsubscribe => {}
        }
    }

    fn find_sent(&self, user: UserNo, kind: Kind, topic: Option<Topic>) -> Option<usize> {
        self.sent.iter().position(|sent| (sent.user, sent.kind, sent.topic) == (user, kind, topic))
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
