//! What the tests of brokers share: a runtime with a fixed calendar, a gateway's end of a
//! broker, a broker that does as it is told, and a bus.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tickgate::broker::{
    Answer, Broker, BrokerErrorCode, BrokerEvent, Command, CommandId, CommandKind, SessionId,
};
use tickgate::runtime::{Runtime, Task, TaskRegistry, TokioRuntime};
use tickgate::topic::{Instrument, Mode, Topic};
use tickgate::zmtp::{Options, Sub};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// No step of a test takes longer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for what should not come to have come.
pub const A_WHILE: Duration = Duration::from_millis(300);
/// What every calendar shows.
pub const UNIX_MS: u64 = 1_800_000_000_000;

/// Real sockets, a calendar that stands still, entropy that counts.
#[derive(Clone, Debug, Default)]
pub struct FixedRuntime {
    inner: TokioRuntime,
    entropy: Arc<AtomicU64>,
}

impl Runtime for FixedRuntime {
    type Stream = <TokioRuntime as Runtime>::Stream;
    type Listener = <TokioRuntime as Runtime>::Listener;

    fn bind(&self, addr: &str) -> impl Future<Output = io::Result<Self::Listener>> + Send {
        self.inner.bind(addr)
    }

    fn connect(&self, addr: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        self.inner.connect(addr)
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        self.inner.spawn(name, task)
    }

    fn offload<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        self.inner.offload(work)
    }

    fn tasks(&self) -> &TaskRegistry {
        self.inner.tasks()
    }

    fn entropy(&self) -> u64 {
        self.entropy.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }

    fn unix_ms(&self) -> u64 {
        UNIX_MS
    }
}

/// Waits until every task has ended.
pub async fn no_task_is_left(runtime: &impl Runtime) {
    let ended = timeout(PATIENCE, async {
        while runtime.tasks().total() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    ended.await.unwrap_or_else(|_| panic!("left: {:?}", runtime.tasks().counts()));
}

/// A gateway's end of a broker.
pub struct Caller {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<BrokerEvent>,
    task: Task,
    next: u64,
}

impl Caller {
    pub fn of(runtime: &impl Runtime, broker: impl Broker) -> Self {
        let (commands, commands_out) = mpsc::channel(64);
        let (events_in, events) = mpsc::channel(64);
        let task = runtime.spawn("test_broker", broker.run(commands_out, events_in));
        Self { commands, events, task, next: 1 }
    }

    /// The next event.
    pub async fn event(&mut self) -> BrokerEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event").expect("a running broker")
    }

    pub async fn is_up(&mut self) {
        assert_eq!(self.event().await, BrokerEvent::Up);
    }

    pub async fn is_down(&mut self) -> String {
        match self.event().await {
            BrokerEvent::Down { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    pub async fn hears_nothing(&mut self) {
        let heard = timeout(A_WHILE, self.events.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Sends a command and returns its number.
    pub async fn send(&mut self, user: &str, session: u64, kind: CommandKind) -> CommandId {
        self.send_within(Duration::from_secs(5), user, session, kind).await
    }

    /// Sends a command whose answer nobody waits for longer than this.
    pub async fn send_within(
        &mut self,
        deadline: Duration,
        user: &str,
        session: u64,
        kind: CommandKind,
    ) -> CommandId {
        let id = CommandId(self.next);
        self.next += 1;
        let (user, connection, more) = (user.into(), 0, false);
        let session = SessionId(session);
        let command = Command { id, user, connection, session, kind, deadline, more };
        self.commands.send(command).await.expect("a running broker");
        id
    }

    /// Sends a command and waits for its answer, which is the next event.
    pub async fn ask(&mut self, user: &str, session: u64, kind: CommandKind) -> Answer {
        let id = self.send(user, session, kind).await;
        self.answer_to(id).await
    }

    /// The next event, which is the answer to this command.
    pub async fn answer_to(&mut self, id: CommandId) -> Answer {
        match self.event().await {
            BrokerEvent::Answer(answer) => {
                assert_eq!(answer.id, id);
                answer
            }
            other => panic!("{other:?}"),
        }
    }

    pub async fn done(&mut self, user: &str, session: u64, kind: CommandKind) -> Option<u32> {
        self.ask(user, session, kind).await.result.expect("success").depth
    }

    pub async fn fails(&mut self, user: &str, session: u64, kind: CommandKind) -> BrokerErrorCode {
        self.ask(user, session, kind).await.result.expect_err("a failure").code
    }

    /// Stops as a gateway does, and waits for the broker.
    pub async fn stop(self) {
        drop(self.commands);
        timeout(PATIENCE, self.task).await.expect("the broker returns");
    }

    /// Ends as a gateway that crashed.
    pub fn crash(self) {
        drop(self.task);
    }
}

pub fn topic(symbol: &str, mode: Mode) -> Topic {
    Topic::new(Instrument::new("NSE", symbol), mode)
}

pub fn subscribe(symbol: &str, mode: Mode) -> CommandKind {
    CommandKind::Subscribe { topic: topic(symbol, mode), depth: 20 }
}

pub fn unsubscribe(symbol: &str, mode: Mode) -> CommandKind {
    CommandKind::Unsubscribe { topic: topic(symbol, mode) }
}

/// A broker that does nothing but show what it was asked and say what it is told to.
pub struct Puppet {
    asked: mpsc::Sender<Command>,
    says: mpsc::Receiver<BrokerEvent>,
}

/// The strings of a [`Puppet`].
pub struct Strings {
    asked: mpsc::Receiver<Command>,
    says: mpsc::Sender<BrokerEvent>,
}

pub fn puppet() -> (Puppet, Strings) {
    let (asked_in, asked) = mpsc::channel(64);
    let (says, says_out) = mpsc::channel(64);
    (Puppet { asked: asked_in, says: says_out }, Strings { asked, says })
}

impl Broker for Puppet {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<BrokerEvent>,
    ) {
        loop {
            tokio::select! {
                biased;
                event = self.says.recv() => match event {
                    Some(event) => events.send(event).await.expect("a host"),
                    None => return,
                },
                command = commands.recv() => match command {
                    Some(command) => drop(self.asked.send(command).await),
                    None => return,
                },
            }
        }
    }
}

impl Strings {
    /// The next command.
    pub async fn asked(&mut self) -> Command {
        timeout(PATIENCE, self.asked.recv()).await.expect("a command").expect("a running puppet")
    }

    pub async fn is_asked_nothing(&mut self) {
        let asked = timeout(A_WHILE, self.asked.recv()).await;
        assert!(asked.is_err(), "{asked:?}");
    }

    pub async fn say(&self, event: BrokerEvent) {
        self.says.send(event).await.expect("a running puppet");
    }

    pub async fn answer(&self, id: CommandId) {
        self.say(BrokerEvent::Answer(Answer { id, result: Ok(Default::default()) })).await;
    }
}

/// The gateway's end of the bus.
pub struct Bus {
    sub: Sub,
    waiting: std::collections::VecDeque<(String, String)>,
}

impl Bus {
    pub async fn start(runtime: &impl Runtime) -> Self {
        let bind = ["127.0.0.1:0".to_owned()];
        let all = [bytes::Bytes::new()];
        let sub = Sub::start(runtime, Options::default(), &bind, &[], &all).await.unwrap();
        Self { sub, waiting: Default::default() }
    }

    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.sub.bound()[0])
    }

    /// The next tick: topic and payload.
    pub async fn tick(&mut self) -> (String, String) {
        loop {
            if let Some(tick) = self.waiting.pop_front() {
                return tick;
            }
            let batch = timeout(PATIENCE, self.sub.recv()).await.expect("a tick").expect("a bus");
            for message in batch {
                let [topic, payload] = message.parts() else { panic!("{message:?}") };
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                self.waiting.push_back((text(topic), text(payload)));
            }
        }
    }

    /// The next tick of this topic.
    pub async fn tick_of(&mut self, topic: &str) -> Value {
        loop {
            let (seen, payload) = self.tick().await;
            if seen == topic {
                return serde_json::from_str(&payload).unwrap();
            }
        }
    }

    /// Throws away what is on its way, then makes sure that nothing more comes.
    pub async fn falls_silent(&mut self) {
        let _ = timeout(A_WHILE, async {
            loop {
                self.tick().await;
            }
        })
        .await;
        self.waiting.clear();
        let heard = timeout(A_WHILE, self.tick()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}
