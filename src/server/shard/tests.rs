use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream, ReadBuf};

use super::writing::WRITES_PER_TURN;
use super::*;
use crate::config::OutboxPolicy;
use crate::engine::{
    Change, Content, Epoch, Manner, OutboxLimits, RESTARTING, RouteId, ShardOptions,
};
use crate::runtime::{Runtime, TokioRuntime};

const WRITES: WriteOptions = WriteOptions { bytes_max: 4_096, batch_window_ms: 0 };

/// Takes everything at once, and passes it on when it is flushed, as TLS does.
struct Hoarder {
    kept: Vec<u8>,
    socket: DuplexStream,
}

impl AsyncRead for Hoarder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Hoarder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.kept.is_empty() {
            match Pin::new(&mut this.socket).poll_write(cx, &this.kept) {
                Poll::Ready(written) => drop(this.kept.drain(..written?)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn what_a_buffering_stream_still_holds_goes_out_before_the_end() {
    let outbox = OutboxLimits {
        ticks_max: 8,
        tick_bytes_max: 4_096,
        latest_bytes_max: 4_096,
        control_bytes_max: 4_096,
    };
    let options = ShardOptions { outbox, close_timeout_ms: 60_000, stall_timeout_ms: 60_000 };
    let (mailbox, messages) = mpsc::channel(8);
    let shard = run_shard(Shard::new(options), messages, Clock::start(), WRITES);
    let _shard = TokioRuntime::new().spawn("shard", shard);
    // A socket that takes seven bytes at a time.
    let (mut peer, socket) = tokio::io::duplex(7);
    let (_reader, writer) = tokio::io::split(Hoarder { kept: Vec::new(), socket });
    let client = ClientId(1);
    let (ended, _end) = oneshot::channel();
    let credit = Arc::new(Semaphore::new(1));
    let manner =
        Manner { policy: OutboxPolicy::default(), ticks_max: 1_024, content: Content::Ticks };
    let attach = ShardMessage::Attach { client, writer, flushes: true, ended, credit, manner };
    let close = ShardMessage::Close { client, code: 1012, reason: "longer than the socket" };
    for message in [attach, close] {
        assert!(mailbox.send(message).await.is_ok());
    }
    let mut all = Vec::new();
    peer.read_to_end(&mut all).await.expect("it ends");
    assert_eq!(all[..2], [0x88, 24]);
    assert_eq!(&all[4..], b"longer than the socket");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_socket_takes_nothing_is_cut_off_and_one_that_reads_a_little_is_not() {
    for reads in [false, true] {
        let outbox = OutboxLimits {
            ticks_max: 8,
            tick_bytes_max: 4_096,
            latest_bytes_max: 4_096,
            control_bytes_max: 4_096,
        };
        let options = ShardOptions { outbox, close_timeout_ms: 60_000, stall_timeout_ms: 1_000 };
        let (mailbox, messages) = mpsc::channel(8);
        let shard = run_shard(Shard::new(options), messages, Clock::start(), WRITES);
        let _shard = TokioRuntime::new().spawn("shard", shard);
        let (mut peer, socket) = tokio::io::duplex(7);
        let (_reader, writer) = tokio::io::split(socket);
        let client = ClientId(1);
        let (ended, mut end) = oneshot::channel();
        let credit = Arc::new(Semaphore::new(1));
        let manner =
            Manner { policy: OutboxPolicy::default(), ticks_max: 1_024, content: Content::Ticks };
        let attach = ShardMessage::Attach { client, writer, flushes: false, ended, credit, manner };
        let frame = Bytes::from_static(&[0x8a; 400]);
        for message in [attach, ShardMessage::Control { client, frame }] {
            assert!(mailbox.send(message).await.is_ok());
        }
        for _ in 0..3 {
            tokio::time::sleep(std::time::Duration::from_millis(600)).await;
            if reads {
                let _ = peer.read(&mut [0; 7]).await.expect("there is more");
            }
        }
        match (reads, end.try_recv()) {
            (false, Ok(ejection)) => assert_eq!(ejection.code, 1013),
            (true, Err(oneshot::error::TryRecvError::Empty)) => {}
            (reads, end) => panic!("reads: {reads}, {end:?}"),
        }
    }
}

/// A shard with clients on one route, and what they read.
async fn crowd(count: u64, writes: WriteOptions) -> Crowd {
    let outbox = OutboxLimits {
        ticks_max: 65_536,
        tick_bytes_max: 65_536,
        latest_bytes_max: 65_536,
        control_bytes_max: 4_096,
    };
    let options = ShardOptions { outbox, close_timeout_ms: 60_000, stall_timeout_ms: 60_000 };
    let (mailbox, messages) = mpsc::channel(1_024);
    let shard = run_shard(Shard::new(options), messages, Clock::start(), writes);
    let task = TokioRuntime::new().spawn("shard", shard);
    let (route, since) = (RouteId(1), Epoch(1));
    assert!(mailbox.send(ShardMessage::Expect { route, since }).await.is_ok());
    let mut peers = Vec::new();
    for client in (1..=count).map(ClientId) {
        let (peer, socket) = tokio::io::duplex(65_536);
        let (_, writer) = tokio::io::split(socket);
        let (ended, _) = oneshot::channel();
        let credit = Arc::new(Semaphore::new(1));
        let (policy, content) = (OutboxPolicy::default(), Content::Ticks);
        let manner = Manner { policy, ticks_max: 65_536, content };
        let attach = ShardMessage::Attach { client, writer, flushes: false, ended, credit, manner };
        let change = Change { add: vec![RouteId(1)], ..Change::default() };
        let deliver = ShardMessage::Deliver { client, change, answer: None };
        for message in [attach, deliver] {
            assert!(mailbox.send(message).await.is_ok());
        }
        peers.push(peer);
    }
    Crowd { mailbox, peers, heard: Epoch(1), _task: task }
}

struct Crowd {
    mailbox: mpsc::Sender<ShardMessage<DuplexStream>>,
    peers: Vec<DuplexStream>,
    /// What the sender of ticks has heard of routes.
    heard: Epoch,
    _task: crate::runtime::Task,
}

impl Crowd {
    async fn tick(&self, frame: &'static [u8]) {
        self.ticks(&[frame]).await;
    }

    /// Ticks in one message.
    async fn ticks(&self, frames: &[&'static [u8]]) {
        let room = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("there is room");
        let tick = |frame: &&'static [u8]| (RouteId(1), Bytes::from_static(frame));
        let ticks: Vec<_> = frames.iter().map(tick).collect();
        let (heard, ticks) = (self.heard, ticks.into_iter());
        self.send(ShardMessage::Ticks { heard, ticks, room }).await;
    }

    async fn control(&self, client: u64, frame: &'static [u8]) {
        let (client, frame) = (ClientId(client), Bytes::from_static(frame));
        self.send(ShardMessage::Control { client, frame }).await;
    }

    async fn change(&self, client: u64, change: Change) {
        let client = ClientId(client);
        self.send(ShardMessage::Deliver { client, change, answer: None }).await;
    }

    async fn send(&self, message: ShardMessage<DuplexStream>) {
        assert!(self.mailbox.send(message).await.is_ok());
    }

    /// What a client reads next.
    async fn next(&mut self, client: usize) -> Vec<u8> {
        let mut buffer = [0; 256];
        let read = self.peers[client - 1].read(&mut buffer).await.expect("it lives");
        buffer[..read].to_vec()
    }

    /// What a client can read at once.
    async fn read(&mut self, client: usize) -> Vec<u8> {
        let mut buffer = [0; 256];
        let read = self.peers[client - 1].read(&mut buffer);
        match tokio::time::timeout(std::time::Duration::from_micros(100), read).await {
            Ok(read) => buffer[..read.expect("it lives")].to_vec(),
            Err(_) => Vec::new(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ticks_gather_for_the_window_and_answers_do_not_wait() {
    let mut crowd = crowd(2, WriteOptions { batch_window_ms: 5, ..WRITES }).await;
    crowd.tick(b"a").await;
    crowd.control(2, b"!").await;
    assert_eq!(crowd.read(2).await, b"!a", "together, and at once");
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    crowd.tick(b"b").await;
    assert_eq!(crowd.read(1).await, b"");
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    assert_eq!(crowd.read(1).await, b"ab", "in one write");
    assert_eq!(crowd.read(2).await, b"b");
    crowd.tick(b"c").await;
    assert_eq!(crowd.read(1).await, b"", "another window");
    tokio::time::sleep(std::time::Duration::from_millis(6)).await;
    assert_eq!(crowd.read(1).await, b"c");
}

#[tokio::test]
async fn a_tick_for_many_lets_others_on_the_same_core_have_their_turn() {
    let many = 40 * WRITES_PER_TURN as u64;
    let mut crowd = crowd(many, WRITES).await;
    // On this one thread the shard runs when this test waits, and this test when the shard yields.
    tokio::task::yield_now().await;
    crowd.tick(b"t").await;
    while crowd.read(1).await.is_empty() {}
    crowd.control(many, b"!").await;
    let last = usize::try_from(many).expect("small");
    while crowd.read(last).await.is_empty() {}
    let behind = last - 1;
    assert_eq!(crowd.read(behind).await, b"", "who has only ticks to read is not served yet");
    while crowd.read(behind).await.is_empty() {}
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_goes_before_ticks_that_wait_and_both_go_on() {
    let mut crowd = crowd(1, WRITES).await;
    tokio::task::yield_now().await;
    let most = 3 * usize::try_from(DELIVERIES_PER_TURN).expect("small");
    let frames: Vec<&'static [u8]> =
        std::iter::repeat_n(&b"t"[..], most).chain([&b"z"[..]]).collect();
    crowd.ticks(&frames).await;
    crowd.control(1, b"1").await;
    let mut read = crowd.next(1).await;
    assert_eq!(read[0], b'1', "although it was said later");
    assert!(read.contains(&b't') && !read.contains(&b'z'), "its turn is short: {read:?}");
    crowd.control(1, b"2").await;
    while !read.contains(&b'z') {
        read.extend(crowd.next(1).await);
    }
    let second = read.iter().position(|byte| *byte == b'2').expect("it was sent");
    assert!(read[second..].contains(&b't'), "ticks waited for it as well: {read:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_to_a_route_that_was_begun_anew_gets_nothing_of_before() {
    let mut crowd = crowd(1, WRITES).await;
    let route = RouteId(1);
    crowd.tick(b"1").await;
    crowd.change(1, Change { remove: vec![route], ..Change::default() }).await;
    crowd.send(ShardMessage::Forget { route }).await;
    crowd.send(ShardMessage::Expect { route, since: Epoch(3) }).await;
    crowd.change(1, Change { add: vec![route], ..Change::default() }).await;
    // By a feed that has heard neither, or only that it ended.
    crowd.tick(b"2").await;
    crowd.heard = Epoch(2);
    crowd.tick(b"3").await;
    // What the feed had between the two was for nobody here, so a tick from before would be
    // followed by a gap that nobody is told of.
    crowd.heard = Epoch(3);
    crowd.tick(b"5").await;
    assert_eq!(crowd.read(1).await, b"5");
    crowd.tick(b"6").await;
    assert_eq!(crowd.read(1).await, b"6");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_later_never_passes_what_fills_a_turn() {
    let mut crowd = crowd(2, WRITES).await;
    // More joins than there are in a turn, and all of this in one batch.
    let many: Vec<RouteId> = (1_000..2_000).map(RouteId).collect();
    for route in many.iter().chain([&RouteId(2)]) {
        crowd.send(ShardMessage::Expect { route: *route, since: Epoch(1) }).await;
    }
    tokio::task::yield_now().await;
    crowd.change(1, Change { add: many, ..Change::default() }).await;
    crowd.send(ShardMessage::Forget { route: RouteId(2) }).await;
    crowd.send(ShardMessage::Expect { route: RouteId(2), since: Epoch(1) }).await;
    crowd.change(2, Change { add: vec![RouteId(2)], ..Change::default() }).await;
    let room = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("there is room");
    let ticks = vec![(RouteId(2), Bytes::from_static(b"t"))].into_iter();
    crowd.send(ShardMessage::Ticks { heard: Epoch(1), ticks, room }).await;
    crowd.send(ShardMessage::Close { client: ClientId(2), code: RESTARTING, reason: "" }).await;
    let mut all = Vec::new();
    let end = crowd.peers[1].read_to_end(&mut all);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), end).await;
    assert_eq!(all, b"t\x88\x02\x03\xf4");
}

#[tokio::test(start_paused = true)]
async fn the_last_close_stays_behind_the_ticks_that_came_before_it_and_no_other_does() {
    for (code, gone, expected) in [
        (RESTARTING, false, &b"!t\x88\x02\x03\xf4"[..]),
        (4_403, false, b"\x88\x02\x11\x33"),
        (RESTARTING, true, b"!\x88\x02\x03\xf4"),
    ] {
        let mut crowd = crowd(1, WRITES).await;
        let client = ClientId(1);
        crowd.tick(b"t").await;
        crowd.send(ShardMessage::Close { client, code, reason: "" }).await;
        crowd.control(1, b"!").await;
        if gone {
            crowd.send(ShardMessage::Detach { client }).await;
        }
        assert_eq!(crowd.read(1).await, expected, "{code} {gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_done_although_nobody_is_left_to_say_more() {
    let mut crowd = crowd(1, WRITES).await;
    let most = 2 * usize::try_from(DELIVERIES_PER_TURN).expect("small");
    let frames: Vec<&'static [u8]> =
        std::iter::repeat_n(&b"t"[..], most).chain([&b"z"[..]]).collect();
    crowd.ticks(&frames).await;
    crowd.mailbox = mpsc::channel(1).0;
    let mut all = Vec::new();
    crowd.peers[0].read_to_end(&mut all).await.expect("it ends");
    assert_eq!(all.last(), Some(&b'z'));
}
