//! Reads the status page, as an operator would, and leads the simulation from phase to phase.

use std::collections::BTreeMap;
use std::time::Duration;

use tickgate::runtime::Runtime;
use tickgate::server::status::{
    BrokerState, GatewayState, SessionState, Status, TopicState, TopicStatus,
};
use tickgate::topic::Mode;
use tokio::time::sleep;

use super::{ADMIN_ADDR, Stage, http};
use crate::fault::Party;
use crate::history::{Actor, Phase, Seen};
use crate::plan::{Plan, TimedFault, TimedKind};
use crate::runtime::clock::now_us;
use crate::topic_name::TopicName;

/// Pause between two looks while waiting.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Pause between two looks during the story.
const STORY_LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How long the gateway may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take until everything wanted is served, after the faults have ended.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until nothing is left, after the last client has gone.
const EMPTY_WITHIN: Duration = Duration::from_secs(20);
/// Looks without a change that mean rest.
const REST_LOOKS: u32 = 3;

/// Leads the simulation through all phases.
pub async fn lead<R: Runtime>(runtime: R, stage: Stage, plan: Plan) {
    let crash = |timed: &TimedFault| matches!(timed.what, TimedKind::GatewayCrash);
    let may_be_down = plan.faults.timed.iter().any(crash);
    let operator = Operator { runtime, stage, plan, may_be_down };
    let Some(idle_tasks) = operator.warm_up().await else { return };
    operator.stage.enter(Phase::Play);
    operator.watch_the_story().await;
    if operator.plan.stop_at_ms.is_some() {
        operator.stage.enter(Phase::Stop);
        return;
    }
    operator.stage.enter(Phase::Settle);
    if !operator.settle().await {
        return;
    }
    operator.stage.enter(Phase::Rest);
    operator.look().await;
    sleep(operator.rest()).await;
    operator.stage.enter(Phase::Silence);
    sleep(operator.there_and_back() + operator.longest_interval()).await;
    operator.stage.enter(Phase::Leave);
    operator.until_empty(&idle_tasks).await;
    operator.stage.enter(Phase::Empty);
    // The operator's own connections are tasks of the gateway too.
    sleep(operator.there_and_back()).await;
    operator.look().await;
    operator.stage.enter(Phase::Stop);
}

struct Operator<R> {
    runtime: R,
    stage: Stage,
    plan: Plan,
    /// Whether the gateway crashes in the story.
    may_be_down: bool,
}

impl<R: Runtime> Operator<R> {
    /// Waits until the gateway is ready and nothing moves; gives its idle tasks.
    async fn warm_up(&self) -> Option<BTreeMap<String, u64>> {
        let mut missing = "the status page".to_owned();
        let began_us = now_us();
        while now_us() - began_us < micros(READY_WITHIN) {
            sleep(LOOK_PAUSE).await;
            let Some(status) = self.status().await else { continue };
            match not_ready(&status) {
                Some(what) => missing = what,
                None => {
                    // The gateway's subscription has to reach the publisher.
                    sleep(self.there_and_back()).await;
                    let status = self.look().await?;
                    return Some(status.tasks);
                }
            }
        }
        self.stuck(format!("after {} s the gateway lacks {missing}", READY_WITHIN.as_secs()));
        None
    }

    async fn watch_the_story(&self) {
        let to_ms = self.plan.stop_at_ms.unwrap_or(self.plan.duration_ms);
        loop {
            let left = self.stage.until(to_ms);
            if left.is_zero() {
                return;
            }
            sleep(left.min(STORY_LOOK_PAUSE)).await;
            // A gateway that has crashed says nothing.
            if !self.may_be_down {
                self.look().await;
            } else if let Some(status) = self.status().await {
                self.stage.saw(&Actor::Operator, Seen::Status(Box::new(status)));
            }
        }
    }

    /// Waits until every request is answered and nothing is in flight.
    async fn settle(&self) -> bool {
        let began_us = now_us();
        let fed_from_us = self.feed_may_be_dead().then(|| {
            self.stage.watch_ticks();
            began_us + micros(self.there_and_back())
        });
        let mut calm_looks = 0;
        let mut moving = "the status page".to_owned();
        while now_us() - began_us < micros(SETTLE_WITHIN) {
            sleep(LOOK_PAUSE).await;
            let unrest = match self.status().await {
                Some(status) => {
                    let unfed = || fed_from_us.and_then(|from_us| self.unfed(&status, from_us));
                    self.unrest(&status).or_else(unfed)
                }
                None => Some("the status page".into()),
            };
            match unrest {
                Some(what) => (calm_looks, moving) = (0, what),
                None => calm_looks += 1,
            }
            if calm_looks == REST_LOOKS {
                return true;
            }
        }
        self.look().await;
        let seconds = SETTLE_WITHIN.as_secs();
        self.stuck(format!("{seconds} s after the story there is no rest: {moving}"));
        false
    }

    /// Whether the gateway may have to find out by itself that its publisher is gone.
    fn feed_may_be_dead(&self) -> bool {
        let mut timed = self.plan.faults.timed.iter();
        timed.any(|timed| match &timed.what {
            TimedKind::Partition { of } | TimedKind::PartitionOneWay { of, .. } => {
                *of == Party::Feed
            }
            _ => false,
        })
    }

    /// A topic that is on, but nobody has read it since this moment.
    fn unfed(&self, status: &Status, from_us: u64) -> Option<String> {
        let topics = status.topics.iter().filter_map(|row| {
            let mode = Mode::from_number(row.mode.into())?;
            Some(TopicName::new(&row.exchange, &row.symbol, mode))
        });
        let mut unfed = topics
            .filter(|topic| self.stage.last_tick_us(topic).is_none_or(|last_us| last_us < from_us));
        unfed.next().map(|topic| format!("no tick of {topic} is read"))
    }

    /// What still moves.
    fn unrest(&self, status: &Status) -> Option<String> {
        if self.stage.key_changes() > 0 {
            return Some("keys are about to change".into());
        }
        for (name, client) in self.stage.clients() {
            if !client.finished {
                return Some(format!("{name} has not done all that was planned"));
            }
            if client.returning {
                return Some(format!("{name} is about to come back"));
            }
            if client.unanswered > 0 {
                return Some(format!("{name} waits for {} answers", client.unanswered));
            }
        }
        let connected = self.stage.clients().values().filter(|client| client.connected).count();
        if status.clients.total != connected as u64 {
            return Some(format!(
                "the gateway counts {} clients, {connected} are connected",
                status.clients.total
            ));
        }
        unsettled(status, self.plan.gateway.quirks.keep_session)
    }

    /// Waits until the gateway is as it was before the first client came; gives up silently.
    async fn until_empty(&self, idle_tasks: &BTreeMap<String, u64>) {
        let began_us = now_us();
        while now_us() - began_us < micros(EMPTY_WITHIN) {
            sleep(LOOK_PAUSE).await;
            let gone = self.stage.clients().values().all(|client| !client.connected);
            let Some(status) = self.status().await else { continue };
            // What keeps its sessions keeps its users.
            let kept = self.plan.gateway.quirks.keep_session;
            let empty = status.clients.total == 0
                && (status.users_total == 0 || kept && is_calm(&status))
                && status.topics_total == 0
                && own_tasks(&status.tasks) == own_tasks(idle_tasks);
            if gone && empty {
                return;
            }
        }
    }

    /// Reads the page and reports it.
    async fn look(&self) -> Option<Status> {
        let status = self.status().await;
        match &status {
            Some(status) => {
                self.stage.saw(&Actor::Operator, Seen::Status(Box::new(status.clone())));
            }
            None => self.stuck("the status page does not answer".into()),
        }
        status
    }

    async fn status(&self) -> Option<Status> {
        let (code, body) = http::get(&self.runtime, ADMIN_ADDR, "/status").await.ok()?;
        if code == 200 { serde_json::from_slice(&body).ok() } else { None }
    }

    fn stuck(&self, what: String) {
        self.stage.saw(&Actor::Operator, Seen::Stuck(what));
    }

    /// Time for a few ticks of the slowest topic.
    fn rest(&self) -> Duration {
        let slowest = self.plan.feed.topics.iter().map(|topic| topic.period_ms).max();
        Duration::from_millis(slowest.unwrap_or(0) * 2 + 50) + self.there_and_back()
    }

    /// Time in which the latest values come to whoever gets them at intervals.
    fn longest_interval(&self) -> Duration {
        let longest_us = self.plan.intervals_us().into_values().max();
        Duration::from_micros(longest_us.unwrap_or(0))
    }

    /// Time in which anything that is under way arrives and is answered.
    fn there_and_back(&self) -> Duration {
        Duration::from_millis(self.plan.network.latency_ms[1] * 4 + 20)
    }
}

/// All tasks but those that serve the operator.
fn own_tasks(tasks: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let tasks = tasks.iter().map(|(name, count)| (name.as_str(), *count));
    tasks.filter(|(name, _)| *name != "admin_connection").collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn not_ready(status: &Status) -> Option<String> {
    if status.gateway.state != GatewayState::Ready {
        return Some("bound sockets".into());
    }
    if status.feed.publishers == 0 {
        return Some("a publisher".into());
    }
    let down = status.brokers.iter().find(|broker| broker.state != BrokerState::Up);
    down.map(|broker| format!("the broker {}", broker.name))
}

/// Whether nothing is on its way to or from a broker.
fn is_calm(status: &Status) -> bool {
    status.brokers.iter().all(|broker| broker.commands_in_flight + broker.calls_waiting == 0)
}

/// What is in flight between gateway and broker. `kept`: sessions stay when nobody needs them.
fn unsettled(status: &Status, kept: bool) -> Option<String> {
    if let Some(what) = not_ready(status) {
        return Some(format!("the gateway lacks {what}"));
    }
    if let Some(broker) = status.brokers.iter().find(|broker| broker.commands_in_flight > 0) {
        return Some(format!("{} commands are in flight", broker.commands_in_flight));
    }
    if let Some(broker) = status.brokers.iter().find(|broker| broker.calls_waiting > 0) {
        return Some(format!("{} calls wait for their turn", broker.calls_waiting));
    }
    for user in &status.users {
        let state = user.session.state;
        let settled = match state {
            // A broadcast wants topics without being a client.
            SessionState::Connected => {
                let wants = |topic: &TopicStatus| topic.user == user.user && topic.count > 0;
                kept || user.clients > 0 || status.topics.iter().any(wants)
            }
            // One that is down and listed may have to be closed once more, if nobody wants it.
            SessionState::Down | SessionState::Connecting | SessionState::Closing => false,
        };
        if !settled {
            return Some(format!("the session of {} is {}", user.user, state.label()));
        }
    }
    let unsettled = |topic: &&TopicStatus| topic.state != TopicState::On || topic.count == 0;
    status.topics.iter().find(unsettled).map(|topic| {
        let (user, exchange, symbol) = (&topic.user, &topic.exchange, &topic.symbol);
        let (mode, state, count) = (topic.mode, topic.state.label(), topic.count);
        format!("{exchange}:{symbol} mode {mode} of {user} is {state}, {count} clients want it")
    })
}
