//! A thread full of clients.
//!
//! One thread, one epoll, one large buffer: what a client costs here is what the system's `read`
//! costs, so that the gateway and not the load is what is measured.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::client::{Client, Greeting, Progress, State};
use super::stopwatch::Stopwatch;
use super::tally::{Live, Reader, Tally, Times, add};
use super::workload::Workload;
pub(super) use unread::Arrived;
use unread::{Unread, connect};

mod unread;

/// Connections that are being opened at the same time.
const OPENING_MAX: usize = 256;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1_024;
/// How long a thread waits for something to read before it looks whether it is told something.
pub(super) const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// What a thread is told.
pub(super) enum Order {
    /// Count from here on, the lateness of what is due in this time; what was counted before comes
    /// back.
    Count(Range<u64>, SyncSender<Tally>),
    /// Every n-th client reads no more (`true`), or all do again.
    Stall(usize, bool),
    /// So many clients a second close and come again as others do.
    Churn(f64),
    /// A client asks again and again for a topic that others have, with this pause.
    Probe(Duration),
    /// Says what was published of each topic; what the clients have missed of it comes back, those
    /// left out that have ended or do not read.
    Missing(Arc<Vec<u32>>, SyncSender<u64>),
    /// How long clients took to be ready, in nanoseconds.
    ReadyTimes(SyncSender<Times>),
    /// Nobody reads what comes from the answer on, of one topic whose ticks are all of a size.
    LeaveUnread(SyncSender<()>),
    /// What has arrived at clients that do not read.
    Arrived(SyncSender<Arrived>),
    /// The same when so many ticks have arrived at each, or nothing comes any more. Then all read
    /// again.
    Arrive(u64, SyncSender<Arrived>),
}

/// What a thread of clients is.
pub(super) struct Load {
    pub address: SocketAddr,
    pub greeting: Greeting,
    pub workload: Workload,
    /// Of the workload's clients: the first, and the distance to the next.
    pub first: usize,
    pub step: usize,
    /// Whether clients look at nothing that they read.
    pub trimmed: bool,
    /// Bytes that the system keeps for a client that does not read. None: what it likes.
    pub receive_bytes: Option<usize>,
    pub watch: Stopwatch,
    pub live: Arc<Live>,
}

struct Crowd {
    load: Load,
    poll: Poll,
    clients: Vec<Option<Client>>,
    /// Which client of the workload each is.
    opened: usize,
    opening: usize,
    tally: Tally,
    ready_times: Times,
    stalled: Option<usize>,
    unread: Option<Unread>,
    churn: Churn,
    probe: Option<Probe>,
    random: ChaCha8Rng,
}

#[derive(Default)]
struct Churn {
    /// Whether clients have come again: from then on they count from the first tick that they read.
    begun: bool,
    per_second: f64,
    since_ns: u64,
    done: u64,
}

struct Probe {
    pause_ns: u64,
    next_ns: u64,
    subscribed: bool,
    asked: u64,
    /// What it reads besides its answers, which counts for nothing.
    tally: Tally,
}

/// Opens the clients and reads what they are sent until the orders end.
///
/// # Errors
///
/// Fails if the system gives no epoll.
pub(super) fn run(load: Load, orders: &Receiver<Order>) -> io::Result<()> {
    let count = (load.first..load.workload.clients).step_by(load.step).count();
    let mut crowd = Crowd {
        poll: Poll::new()?,
        clients: (0..count).map(|_| None).collect(),
        opened: 0,
        opening: 0,
        tally: Tally::of(0..u64::MAX),
        ready_times: Times::new(),
        stalled: None,
        unread: None,
        churn: Churn::default(),
        probe: None,
        random: ChaCha8Rng::seed_from_u64(load.first as u64),
        load,
    };
    let mut events = Events::with_capacity(1_024);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut sink = vec![MaybeUninit::uninit(); BUFFER_BYTES];
    loop {
        match orders.try_recv() {
            Ok(order) => crowd.obey(order),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
        if crowd.look() {
            continue;
        }
        crowd.open_more();
        crowd.churn();
        crowd.ask();
        match crowd.poll.poll(&mut events, Some(LOOK_PAUSE)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        let (delivered, skipped) = (crowd.tally.delivered, crowd.tally.skipped);
        for event in &events {
            crowd.serve(event.token().0, &mut buffer, &mut sink);
        }
        let read = crowd.tally.delivered - delivered;
        add(&crowd.load.live.delivered, read);
        add(&crowd.load.live.settled, read + crowd.tally.skipped - skipped);
    }
}

impl Crowd {
    fn obey(&mut self, order: Order) {
        // Whoever asked may have given up.
        match order {
            Order::Count(due, answer) => {
                let counted = std::mem::replace(&mut self.tally, Tally::of(due));
                let _ = answer.send(counted);
            }
            Order::Stall(every, true) => self.stall(every),
            Order::Stall(_, false) => self.resume(),
            Order::Churn(per_second) => {
                let begun = self.churn.begun || per_second > 0.0;
                self.churn = Churn { begun, per_second, since_ns: self.load.watch.ns(), done: 0 };
            }
            Order::Probe(pause) => {
                self.probe = Some(Probe {
                    pause_ns: u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX),
                    next_ns: 0,
                    subscribed: true,
                    asked: 0,
                    tally: Tally::of(0..0),
                });
                self.clients.push(None);
                self.open(self.clients.len() - 1);
            }
            Order::Missing(published, answer) => {
                let residents = self.clients.iter().enumerate();
                let reads = |(place, client)| (!self.is_stalled(place)).then_some(client);
                let clients = residents.filter_map(reads).flatten();
                let missing = clients.map(|client: &Client| client.reader.missing(&published));
                let _ = answer.send(missing.sum());
            }
            Order::ReadyTimes(answer) => {
                let _ = answer.send(self.ready_times.clone());
            }
            Order::LeaveUnread(answer) => {
                self.leave_unread();
                let _ = answer.send(());
            }
            Order::Arrived(answer) => drop(answer.send(self.arrived())),
            Order::Arrive(ticks, answer) => drop(answer.send(self.arrive(ticks))),
        }
    }

    /// Whether a place is the client's that asks again and again.
    fn is_probe(&self, place: usize) -> bool {
        self.probe.is_some() && place + 1 == self.clients.len()
    }

    /// Whether the client at a place is one of those that do not read.
    fn is_stalled(&self, place: usize) -> bool {
        self.stalled.is_some_and(|every| place.is_multiple_of(every)) && !self.is_probe(place)
    }

    fn open_more(&mut self) {
        let residents = self.clients.len() - usize::from(self.probe.is_some());
        while self.opening < OPENING_MAX && self.opened < residents {
            self.opened += 1;
            self.open(self.opened - 1);
        }
    }

    fn open(&mut self, place: usize) {
        let now_ns = self.load.watch.ns();
        let topics = if self.is_probe(place) {
            vec![0]
        } else {
            self.load.workload.topics_of(self.load.first + place * self.load.step)
        };
        let from_start = !self.churn.begun;
        let opened = connect(self.load.address, self.load.receive_bytes).and_then(|mut stream| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(place), interest)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => {
                self.opening += 1;
                let mut client = Client::new(stream, topics, from_start, now_ns);
                client.trim = self.load.trimmed;
                self.clients[place] = Some(client);
            }
            Err(error) => self.failed(&error, None),
        }
    }

    fn failed(&self, error: &io::Error, reader: Option<Reader>) {
        let mut ended = self.load.live.ended();
        ended.reason.get_or_insert_with(|| error.to_string());
        ended.readers.extend(reader);
        add(&self.load.live.failed, 1);
    }

    fn serve(&mut self, place: usize, buffer: &mut [u8], sink: &mut [MaybeUninit<u8>]) {
        let (probe, stalled) = (self.is_probe(place), self.is_stalled(place));
        let Some(client) = self.clients.get_mut(place).and_then(Option::as_mut) else { return };
        if client.state == State::Connecting {
            if let Err(error) = client.connected(&self.load.greeting) {
                self.gone(place, &error);
            }
            return;
        }
        if stalled {
            return;
        }
        if let Some(trimmed) = &mut client.trimmed {
            let Client { stream, reader, .. } = client;
            if let Err(error) = trimmed.discard(stream, sink, reader, &mut self.tally) {
                self.gone(place, &error);
            }
            return;
        }
        let watch = self.load.watch;
        let tally = match &mut self.probe {
            Some(asking) if probe => &mut asking.tally,
            _ => &mut self.tally,
        };
        let result = client
            .flush()
            .and_then(|()| client.read(buffer, &self.load.greeting, tally, || watch.ns()));
        match result {
            Ok(Progress::None | Progress::Answered(_)) => {}
            Ok(Progress::Ready) => {
                self.opening -= 1;
                let began_ns = client.began_ns;
                if !probe {
                    add(&self.load.live.ready, 1);
                    self.ready_times.record(watch.ns().saturating_sub(began_ns));
                }
            }
            Err(error) => self.gone(place, &error),
        }
        if probe && let Some(asking) = &mut self.probe {
            self.tally.answers.add(&asking.tally.answers);
            asking.tally = Tally::of(0..0);
        }
    }

    fn gone(&mut self, place: usize, error: &io::Error) {
        let Some(client) = self.clients[place].take() else { return };
        if client.state != State::Ready {
            self.opening -= 1;
        }
        self.failed(error, (!self.is_probe(place)).then_some(client.reader));
    }

    fn stall(&mut self, every: usize) {
        self.stalled = Some(every);
        for place in 0..self.clients.len() {
            if self.is_stalled(place)
                && let Some(client) = &mut self.clients[place]
            {
                // An epoll that forgets a socket has nothing to fail at.
                let _ = self.poll.registry().deregister(&mut client.stream);
            }
        }
    }

    fn resume(&mut self) {
        let mut failed = Vec::new();
        for place in 0..self.clients.len() {
            if !self.is_stalled(place) {
                continue;
            }
            let Some(client) = &mut self.clients[place] else { continue };
            let registry = self.poll.registry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = registry.register(&mut client.stream, Token(place), interest) {
                failed.push((place, error));
            }
        }
        self.stalled = None;
        for (place, error) in failed {
            self.gone(place, &error);
        }
    }

    fn churn(&mut self) {
        if self.churn.per_second == 0.0 || self.clients.is_empty() {
            return;
        }
        let elapsed_ns = self.load.watch.ns().saturating_sub(self.churn.since_ns);
        let due = Duration::from_nanos(elapsed_ns).as_secs_f64() * self.churn.per_second;
        while (self.churn.done as f64) < due && self.opening < OPENING_MAX {
            self.churn.done += 1;
            let place = self.random.random_range(0..self.clients.len());
            let ready = |client: &Client| client.state == State::Ready;
            if self.is_probe(place) || self.is_stalled(place) {
                continue;
            }
            if self.clients[place].as_ref().is_some_and(ready) {
                self.clients[place] = None;
                self.tally.reconnects += 1;
                self.open(place);
            }
        }
    }

    /// Has the client that asks again and again ask, if it is time.
    fn ask(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        let Some(Some(client)) = self.clients.last_mut() else { return };
        let now_ns = self.load.watch.ns();
        if client.state != State::Ready || client.asked.is_some() || now_ns < probe.next_ns {
            return;
        }
        probe.subscribed = !probe.subscribed;
        probe.asked += 1;
        // Ticks come at equal distances: asked at equal distances too, it would meet each of them
        // at the same moment of its way.
        let pause_ns = probe.pause_ns / 2 + self.random.random_range(0..=probe.pause_ns);
        probe.next_ns = now_ns.saturating_add(pause_ns);
        let (subscribe, dialect) = (probe.subscribed, self.load.greeting.dialect);
        if let Err(error) = client.ask(dialect, subscribe, 0, probe.asked, now_ns) {
            self.gone(self.clients.len() - 1, &error);
        }
    }
}
