//! What everybody in a story shares, and what an operator sees of the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::time::Duration;

use tickgate::runtime::{Clock, Runtime, TaskEnded};
use tickgate::server::status::{BrokerState, SessionState, Status, TopicState};
use tickgate::topic::{Instrument, Mode, Topic};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::client::Client;
use super::feed::{EXCHANGE, Feed};

/// How long anything may take before it counts as never happening.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at something that does not tell by itself.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Where the gateway is, as `host:port`.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// For clients.
    pub websocket: String,
    /// For the operator.
    pub admin: String,
}

/// The place where a story happens. Clones are the same stage.
#[derive(Clone)]
pub struct Stage<R> {
    /// That of the clients and of the operator.
    pub runtime: R,
    /// Where the gateway is.
    pub addresses: Addresses,
    /// The adapter host.
    pub broker: Broker,
    /// The publisher.
    pub feed: Feed,
    /// Began with the story.
    pub clock: Clock,
    /// Tells the memory of this process, if that means anything here.
    pub resident_bytes: fn() -> Option<u64>,
}

impl<R: Runtime> Stage<R> {
    /// Waits until a condition is true.
    ///
    /// # Panics
    ///
    /// Panics if it never is.
    pub async fn until(&self, what: &str, mut is_true: impl FnMut() -> bool) {
        let waiting = async {
            while !is_true() {
                sleep(LOOK_PAUSE).await;
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("never happened: {what}; the broker's sessions: {:?}", self.broker.sessions());
        }
    }

    /// Waits for something.
    ///
    /// # Panics
    ///
    /// Panics if it never happens.
    pub async fn within<T>(&self, what: &str, happens: impl Future<Output = T>) -> T {
        match timeout(PATIENCE, happens).await {
            Ok(happened) => happened,
            Err(_) => panic!("never happened: {what}"),
        }
    }

    /// Runs tasks side by side and collects their results, in the order of the tasks.
    ///
    /// # Panics
    ///
    /// Panics if one of them does.
    pub async fn together<T, F>(&self, tasks: impl IntoIterator<Item = F>) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let start = |task: F| {
            let (done, result) = oneshot::channel();
            let task = self.runtime.spawn("actor", async move {
                // Nobody listens once another actor has failed.
                let _ = done.send(task.await);
            });
            (task, result)
        };
        let running: Vec<_> = tasks.into_iter().map(start).collect();
        let mut results = Vec::with_capacity(running.len());
        for (task, result) in running {
            assert_eq!(task.await, TaskEnded::Done, "an actor failed");
            results.push(result.await.expect("a task that is done has a result"));
        }
        results
    }

    /// A client that has authenticated as this user.
    pub async fn client_of(&self, user: &str) -> Client<R> {
        let mut client = self.client().await;
        client.sign_in(user).await;
        client
    }

    /// A client that has only connected.
    pub async fn client(&self) -> Client<R> {
        Client::connect(self).await
    }

    /// The status page.
    pub async fn status(&self) -> Status {
        self.try_status().await.expect("the status page answers")
    }

    /// Waits until the status page says so.
    ///
    /// # Panics
    ///
    /// Panics if it never does.
    pub async fn status_when(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let mut last = None;
        let waiting = async {
            loop {
                let status = self.try_status().await.ok();
                match status {
                    Some(status) if is_so(&status) => return status,
                    Some(_) | None => last = status,
                }
                sleep(LOOK_PAUSE).await;
            }
        };
        let seen = timeout(PATIENCE, waiting).await;
        seen.unwrap_or_else(|_| panic!("never happened: {what}; last seen: {last:#?}"))
    }

    /// Waits until everything that clients want is on, everything else is off, and the gateway
    /// and the broker agree about it.
    pub async fn is_settled(&self) -> Status {
        let broker = self.broker.clone();
        let what = "the gateway and the broker agree on what is wanted";
        self.status_when(what, |status| {
            let up = status.users.iter().all(|user| user.session.state == SessionState::Connected);
            let on = status.topics.iter().all(|topic| topic.state == TopicState::On);
            let wanted = status.topics.iter().all(|topic| topic.count > 0);
            let calm = status.brokers.iter().all(|broker| broker.commands_in_flight == 0);
            up && on && wanted && calm && wants(status) == broker.sessions()
        })
        .await
    }

    /// Waits until everybody has appeared; tells the gateway's tasks before the first client.
    pub(super) async fn is_ready(&self) -> BTreeMap<String, u64> {
        self.until("the gateway subscribes to the publisher", || self.feed.is_heard()).await;
        let ready = |status: &Status| {
            status.brokers.iter().all(|broker| broker.state == BrokerState::Up)
                && status.feed.publishers == 1
                && is_alone(status)
        };
        self.status_when("the gateway greets the broker and the publisher", ready).await.tasks
    }

    /// Waits until nothing is left of the story.
    pub(super) async fn is_idle_again(&self, idle: &BTreeMap<String, u64>) {
        let published = self.feed.messages();
        let nothing = |status: &Status| {
            let dropped: u64 = status.feed.dropped_total.values().sum();
            let shards = status.shards.iter();
            status.clients.total == 0
                && status.clients.opened_total == status.clients.closed_total
                && status.users_total == 0
                && status.topics_total == 0
                && status.subscriptions == 0
                && status.timers == 0
                && status.tasks == *idle
                && status.brokers.iter().all(|broker| broker.commands_in_flight == 0)
                && shards.map(|shard| shard.routes + shard.topics + shard.clients).sum::<u64>() == 0
                && status.feed.messages_total == published
                && status.feed.routed_total + dropped == published
        };
        let what = format!(
            "the gateway is as before the story, tasks {idle:?}, all {published} messages counted"
        );
        self.status_when(&what, nothing).await;
        assert_eq!(self.broker.sessions(), BTreeMap::new(), "sessions are left at the broker");
    }

    async fn try_status(&self) -> io::Result<Status> {
        let body =
            timeout(PATIENCE, get(&self.runtime, &self.addresses.admin, "/status")).await??;
        serde_json::from_slice(&body).map_err(io::Error::from)
    }
}

/// Whether the operator's own connection is the only one: that of the last look has ended.
#[must_use]
pub fn is_alone(status: &Status) -> bool {
    status.tasks.get("admin_connection") == Some(&1)
}

/// What a status page says is wanted, in the form of [`Broker::sessions`].
fn wants(status: &Status) -> BTreeMap<String, BTreeSet<Topic>> {
    let mut wants: BTreeMap<String, BTreeSet<Topic>> =
        status.users.iter().map(|user| (user.user.to_string(), BTreeSet::new())).collect();
    for row in &status.topics {
        let mode = Mode::from_number(row.mode.into()).expect("a mode");
        let topic = Topic::new(Instrument::new(row.exchange.clone(), row.symbol.clone()), mode);
        wants.entry(row.user.to_string()).or_default().insert(topic);
    }
    wants
}

/// How many clients of a user want a symbol in a mode, and what the broker does about it.
#[must_use]
pub fn topic_of(
    status: &Status,
    user: &str,
    symbol: &str,
    mode: Mode,
) -> Option<(u64, TopicState)> {
    let mut rows = status.topics.iter();
    let row = rows.find(|row| {
        row.user.as_str() == user
            && &*row.exchange == EXCHANGE
            && &*row.symbol == symbol
            && row.mode == mode.number()
    });
    row.map(|row| (row.count, row.state))
}

/// How many clients of a user want a symbol's last price.
#[must_use]
pub fn count_of(status: &Status, user: &str, symbol: &str) -> u64 {
    topic_of(status, user, symbol, Mode::Ltp).map_or(0, |(count, _)| count)
}

/// The state of a user's session.
#[must_use]
pub fn session_of(status: &Status, user: &str) -> Option<SessionState> {
    let row = status.users.iter().find(|row| row.user.as_str() == user);
    row.map(|row| row.session.state)
}

/// Fetches a page of a server that closes the connection behind it.
async fn get<R: Runtime>(runtime: &R, address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = runtime.connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "no page");
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(bad)?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(bad());
    }
    Ok(answer.split_off(head + 4))
}
