//! The same plan in real time: the gateway's own program on loopback sockets.
//!
//! The actors are those of a simulation, on tokio's clock as it runs. Who is not struck by any
//! fault holds real sockets. A connection that a fault may strike goes over the network of events
//! up to a bridge, which is the gateway's end of it and carries the bytes on to a real socket:
//! that way a fault is the same code as in a simulation.

mod bridge;
mod child;
mod judged;
mod log;
mod places;

use std::future::poll_fn;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tickgate::runtime::{Runtime as _, Task, TaskGroup};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::child::{Launch, Order};
pub use self::judged::limits;
use self::places::Places;
use super::weather::{Sky, Weather};
use super::{Outcome, fault_book, finish, last_moment, leaps};
use crate::actors::{Stage, broker, client, feed, operator};
use crate::fault::Party;
use crate::history::Recorder;
use crate::plan::{BrokerPlan, Plan, TimedKind};
use crate::runtime::{
    Crash, FaultBook, Interleavings, Network, SimRuntime, TaskOrder, clock, crash,
};

/// The longest that a message takes, in milliseconds: loopback adds nothing, but each process has
/// to get a core first. Actors and invariants reckon with it as with a simulated network's.
const LATENCY_MAX_MS: u64 = 100;

/// Orders that wait for the keeper of the gateway.
const ORDERS_MAX: usize = 64;

/// Somebody asked the program to end.
#[derive(Debug)]
pub struct Interrupted;

/// Why a plan cannot be played in real time.
#[must_use]
pub fn obstacle(plan: &Plan) -> Option<String> {
    plan.faults.timed.iter().find_map(|timed| match &timed.what {
        TimedKind::ClockStep { by_ms } => Some(format!(
            "the plan of seed {} has `clock_step` at {} ms (by {by_ms} ms): the wall clock of a \
             real process is the machine's. Choose another seed, or run it without --real",
            plan.seed, timed.at_ms
        )),
        _ => None,
    })
}

/// Plays a plan against this program in real time, on a thread of its own. Blocks until the end.
///
/// # Errors
///
/// Fails if the process was asked to end: by Ctrl-C or SIGTERM.
pub fn play(plan: &Plan, program: &Path, keep_trace: bool) -> Result<Outcome, Interrupted> {
    let (plan, program) = (for_real(plan), program.to_owned());
    let (done, outcome) = sync_channel(1);
    let thread = std::thread::Builder::new().name("real".into()).spawn(move || {
        let _ = done.send(play_on_this_thread(&plan, &program, keep_trace));
    });
    let received = thread.map_err(|error| error.to_string()).and_then(|thread| {
        let received = outcome.recv().map_err(|_| "the actors panicked".to_owned());
        // It has nothing more to say.
        let _ = thread.join();
        received
    });
    received.unwrap_or_else(|why| Ok(Outcome::without_history(why)))
}

/// The plan as the actors and the invariants are told.
fn for_real(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.network.latency_ms = [0, LATENCY_MAX_MS];
    plan.task_order = TaskOrder::None;
    plan.yield_share = 0.0;
    plan
}

fn play_on_this_thread(
    plan: &Plan,
    program: &Path,
    keep_trace: bool,
) -> Result<Outcome, Interrupted> {
    let stage = Stage::new(Recorder::new(judged::invariants(plan), keep_trace));
    let subscriber = crate::log_capture::subscriber(stage.clone());
    crash::catch_on_this_thread();
    let played = tracing::subscriber::with_default(subscriber, || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Ended::Crashed(error.to_string().into()))?;
        let played = runtime.block_on(play_here(plan, &stage, program));
        if matches!(played, Err(Ended::Crashed(_))) {
            std::mem::forget(runtime);
        }
        played
    });
    let crash = match played {
        Ok(()) => {
            finish(&stage);
            None
        }
        Err(Ended::Crashed(crash)) => Some(crash),
        Err(Ended::Interrupted) => return Err(Interrupted),
    };
    Ok(Outcome::of(&stage, crash, Interleavings::default()))
}

/// How a story ends before its time.
enum Ended {
    Crashed(Crash),
    Interrupted,
}

impl From<String> for Crash {
    fn from(message: String) -> Self {
        Self { message, place: String::new() }
    }
}

async fn play_here(plan: &Plan, stage: &Stage, program: &Path) -> Result<(), Ended> {
    clock::start_on_this_thread();
    let crashed = |message: String| Ended::Crashed(message.into());
    let places =
        Places::reserve(plan).map_err(|error| crashed(format!("no free port: {error}")))?;
    let launch = Launch::prepare(plan, program, &places).map_err(crashed)?;
    let (give, orders) = mpsc::channel(ORDERS_MAX);
    let book = fault_book(plan, stage);
    let mut house = House::open(plan, stage, &book, &places, give);
    let mut weather = Weather::new(&without_latency(plan), book);
    let result = tokio::select! {
        biased;
        // Before the child is there, or it would outlive a program that is ended just then.
        () = interrupted() => Err(Ended::Interrupted),
        crash = poll_fn(|cx| crash::poll_first(cx)) => Err(Ended::Crashed(crash)),
        Err(message) = child::keep(launch, plan, stage, orders) => Err(crashed(message)),
        () = stage.ended() => Ok(()),
        () = sleep(last_moment(plan)) => Ok(()),
        () = leaps::bring(&mut weather, &mut house, stage) => Ok(()),
    };
    if matches!(result, Err(Ended::Crashed(_))) {
        // Nothing of a broken world is dropped. The child is not part of it.
        std::mem::forget(house);
    }
    result
}

/// The links of the harness are as fast as they can be, unless a fault slows them.
fn without_latency(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.network.latency_ms = [0, 0];
    plan
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

/// Everybody but the gateway, and the network between those whom faults strike.
struct House {
    network: Network,
    orders: mpsc::Sender<Order>,
    _tasks: Vec<Task>,
}

impl House {
    fn open(
        plan: &Plan,
        stage: &Stage,
        book: &FaultBook,
        places: &Places,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        let network = Network::new(plan.seed, [Duration::ZERO; 2]);
        let sockets = Sockets { plan, book, network: &network, places };
        let world = SimRuntime::new(plan.seed, "world", TaskOrder::None);
        let mut tasks = Vec::new();
        let mut run = |part: Part| tasks.push(world.spawn("host", part));

        for broker in plan.brokers() {
            let runtime = sockets.of(broker.host.host(), &Party::Broker(broker.host.clone()));
            run(play_broker(runtime, stage.clone(), broker.clone(), plan.clone()));
        }
        let publisher = sockets.of("feed", &Party::Feed);
        run(Box::pin(feed::play(publisher, stage.clone(), plan.clone())));
        // Nothing ever happens to the operator.
        let watcher = sockets.direct("operator");
        run(Box::pin(operator::lead(watcher, stage.clone(), plan.clone())));
        for host in 0..plan.network.client_hosts {
            run(Box::pin(play_clients(plan, stage, &sockets, host)));
        }
        let gateway = sockets.bridged("gateway").acting_as(Party::Gateway);
        for part in bridge::parts(&gateway, places, bridges_broker(plan)) {
            run(part);
        }
        Self { network, orders, _tasks: tasks }
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            crash::report("nobody keeps the gateway".to_owned().into());
        }
    }
}

/// What a host does.
type Part = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn play_broker(runtime: SimRuntime, stage: Stage, broker: BrokerPlan, plan: Plan) -> Part {
    Box::pin(async move {
        if let Err(message) = broker::play(runtime, stage, broker, &plan).await {
            crash::report(message.into());
        }
    })
}

fn play_clients(
    plan: &Plan,
    stage: &Stage,
    sockets: &Sockets<'_>,
    host: u32,
) -> impl Future<Output = ()> + Send + use<> {
    let clients = plan.clients.iter().filter(|client| client.host == host);
    let clients: Vec<_> = clients
        .map(|client| {
            let name = format!("{}{host}", super::CLIENTS);
            (sockets.of(&name, &Party::Client(client.name.clone())), client.clone())
        })
        .collect();
    let (stage, brokers) = (stage.clone(), plan.broker_names());
    async move {
        let group = TaskGroup::new();
        for (runtime, client) in clients {
            let part = client::play(runtime.clone(), stage.clone(), client, brokers.clone());
            group.spawn(&runtime, "client", part);
        }
        group.emptied().await;
    }
}

/// Who is on which kind of socket.
struct Sockets<'a> {
    plan: &'a Plan,
    book: &'a FaultBook,
    network: &'a Network,
    places: &'a Places,
}

impl Sockets<'_> {
    /// What a party on a host has of the world.
    fn of(&self, host: &str, party: &Party) -> SimRuntime {
        let bridged = match party {
            Party::Broker(_) => bridges_broker(self.plan),
            _ => is_struck(self.plan, host, party),
        };
        let runtime = match party {
            _ if bridged => self.bridged(host),
            Party::Broker(host) => {
                let places = self.places.loopback(Some(host));
                self.runtime(host.host()).on_loopback(&places)
            }
            _ => self.direct(host),
        };
        match party {
            // It is the gateway that connects to it.
            Party::Broker(_) => runtime,
            _ => runtime.acting_as(party.clone()),
        }
    }

    fn direct(&self, host: &str) -> SimRuntime {
        self.runtime(host).on_loopback(&self.places.loopback(None))
    }

    fn bridged(&self, host: &str) -> SimRuntime {
        self.runtime(host).on(self.network)
    }

    fn runtime(&self, host: &str) -> SimRuntime {
        let runtime = SimRuntime::new(self.plan.seed, host, TaskOrder::None);
        runtime.with_faults(self.book.clone())
    }
}

/// Where anything goes wrong, the connections to the broker are counted.
const fn bridges_broker(plan: &Plan) -> bool {
    !plan.faults.is_empty()
}

/// Whether a fault of the plan strikes connections or the link of a party.
fn is_struck(plan: &Plan, host: &str, party: &Party) -> bool {
    let link = |what: &TimedKind| match what {
        TimedKind::Stall { of, .. }
        | TimedKind::Hold { of }
        | TimedKind::Partition { of }
        | TimedKind::PartitionOneWay { of, .. }
        | TimedKind::Latency { of, .. } => of == party || of.to_string() == host,
        TimedKind::GatewayCrash
        | TimedKind::ClockStep { .. }
        | TimedKind::FeedRestart
        | TimedKind::FeedSilence
        | TimedKind::FeedDuplicates
        | TimedKind::FeedFlood { .. } => false,
    };
    plan.faults.connections.iter().any(|struck| struck.of == *party)
        || plan.faults.timed.iter().any(|timed| link(&timed.what))
}

impl Sky for House {
    fn hold(&mut self, a: &str, b: &str, held: bool) {
        self.network.hold(a, b, held);
    }

    fn cut(&mut self, from: &str, to: &str, cut: bool) {
        self.network.cut(from, to, cut);
    }

    fn slow(&mut self, a: &str, b: &str, most: Duration) {
        self.network.slow(a, b, most);
    }

    fn crash(&mut self, _gateway: &str) {
        self.order(Order::Kill);
    }

    fn restart(&mut self, _gateway: &str) {
        self.order(Order::Start);
    }
}
