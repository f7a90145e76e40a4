//! Many clients, and the traces that they must not leave (RC-002, RC-005, WS-003).

use std::collections::BTreeMap;

use tickgate::runtime::Runtime;
use tickgate::server::status::Status;
use tickgate::topic::Mode::{self, Ltp, Quote};

use crate::story::broker::Deed;
use crate::story::stage::is_alone;
use crate::story::{Stage, Story, USERS};

/// A hundred clients authenticate and disconnect, rapidly: no session is leaked.
pub struct QuickVisitors;

impl Story for QuickVisitors {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        for wave in 0..10_usize {
            let visits = (0..10_usize).map(|n| quick_visit(stage.clone(), USERS[n % 2], wave + n));
            stage.together(visits).await;
        }
        let nobody = |status: &Status| status.clients.total == 0 && status.users_total == 0;
        let status = stage.status_when("all have gone", nobody).await;
        assert_eq!(status.clients.opened_total, 100);
        assert_eq!(stage.broker.replaced(), 0, "no session was opened beside another");
        assert_eq!(stage.broker.sessions(), BTreeMap::new(), "every session was closed");
        for user in &USERS[..2] {
            let opened = stage.broker.count(Deed::Connect, user);
            assert_eq!(opened, stage.broker.count(Deed::Disconnect, user), "each closed once");
            assert!(opened > 0, "{user} had a session");
        }

        let mut client = stage.client_of("alice").await;
        client.follow(&["TCS"], Ltp).await;
        let seq = stage.feed.tick("TCS", Ltp);
        client.reads("TCS", Ltp, seq).await;
    }
}

async fn quick_visit<R: Runtime>(stage: Stage<R>, user: &'static str, kind: usize) {
    let mut client = stage.client().await;
    match kind % 5 {
        0 => client.start_authenticate(user).await,
        1 => client.sign_in(user).await,
        2 => {
            client.start_authenticate(user).await;
            client.start_subscribe(&["TCS"], Ltp).await;
        }
        3 => {
            client.sign_in(user).await;
            client.close().await;
            return;
        }
        _ => {
            client.sign_in(user).await;
            client.follow(&["TCS"], Ltp).await;
            client.follow_orders().await;
        }
    }
    // Not a word of farewell.
    drop(client);
}

/// A hundred clients come, subscribe, read, unsubscribe and go.
pub struct HundredLifecycles;

/// What the n-th client follows: three of ten symbols.
fn symbols_of(n: usize) -> [&'static str; 3] {
    const SYMBOLS: [&str; 10] = ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"];
    [SYMBOLS[n % 10], SYMBOLS[(n * 3 + 1) % 10], SYMBOLS[(n * 7 + 5) % 10]]
}

/// Each client twice in one symbol would be a warning, not a success.
fn different_symbols_of(n: usize) -> Vec<&'static str> {
    let mut symbols = symbols_of(n).to_vec();
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

impl Story for HundredLifecycles {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        const CLIENTS: usize = 100;
        const TRADES: u64 = 20;
        let mut wanted: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for n in 0..CLIENTS {
            for symbol in different_symbols_of(n) {
                *wanted.entry((USERS[n % USERS.len()], symbol)).or_default() += 1;
            }
        }
        let arriving = (0..CLIENTS).map(|n| {
            let stage = stage.clone();
            async move {
                let mut client = stage.client().await;
                client.ping().await;
                client.sign_in(USERS[n % USERS.len()]).await;
                assert_eq!(client.adapter_status().await, "connected");
                client.follow(&different_symbols_of(n), Ltp).await;
                client.follow_orders().await;
                client
            }
        });
        let clients = stage.together(arriving).await;

        let status = stage.is_settled().await;
        assert_eq!(status.clients.authenticated, CLIENTS as u64);
        let counts = status.topics.iter();
        let counts: BTreeMap<(&str, &str), u64> =
            counts.map(|row| ((row.user.as_str(), &*row.symbol), row.count)).collect();
        assert_eq!(counts, wanted, "every reference count is exact");
        assert_eq!(status.broker_calls.connect, USERS.len() as u64, "one session for each user");
        assert_eq!(status.broker_calls.subscribe, wanted.len() as u64, "one call for each topic");

        for _ in 0..TRADES {
            for n in 0..10 {
                stage.feed.tick(symbols_of(n)[0], Ltp);
            }
            for user in USERS {
                stage.feed.order(user);
            }
        }
        let leaving = clients.into_iter().enumerate().map(|(n, mut client)| async move {
            let symbols = different_symbols_of(n);
            for symbol in &symbols {
                client.reads(symbol, Ltp, TRADES).await;
                assert_eq!(client.ticks(symbol, Ltp), TRADES, "each tick once");
            }
            client.reads_order(TRADES).await;
            let answer = client.unsubscribe(&symbols[..1], Ltp).await;
            assert_eq!(answer["status"], "success", "{answer}");
            client.leave_orders().await;
            client.unsubscribe_all().await;
            client.ping().await;
            client.close().await;
        });
        stage.together(leaving).await;
        let gone = |status: &Status| status.clients.total == 0 && status.users_total == 0;
        let status = stage.status_when("all have gone", gone).await;
        assert_eq!(status.broker_calls.disconnect, USERS.len() as u64);
        let delivered: u64 = status.shards.iter().map(|shard| shard.ticks_delivered_total).sum();
        assert_eq!(delivered, wanted.values().sum::<u64>() * TRADES);
    }
}

/// A thousand connections come and go: tasks, clients, topics, sessions and memory stay flat.
pub struct ThousandCycles;

/// What 800 connections may add to the memory of the process, in bytes.
const GROWTH_BYTES_MAX: u64 = 3 * 1_024 * 1_024;

impl Story for ThousandCycles {
    const SEEDS: u64 = 3;

    const MEASURES_PROCESS: bool = true;

    async fn play<R: Runtime>(stage: &Stage<R>) {
        // One stays, so that there is something to compare with.
        let mut stayer = stage.client_of("alice").await;
        stayer.follow(&["TCS"], Ltp).await;
        let at_200 = rest_after_cycles(stage, 0..200).await;
        let memory_at_200 = (stage.resident_bytes)();
        let at_1000 = rest_after_cycles(stage, 200..1_000).await;
        let memory_at_1000 = (stage.resident_bytes)();
        assert_eq!(at_1000.clients.opened_total, 1_001);
        assert_eq!(at_1000.tasks, at_200.tasks, "no task is left");
        if let (Some(before), Some(after)) = (memory_at_200, memory_at_1000) {
            let growth = after.saturating_sub(before);
            eprintln!("memory after 200 cycles: {before} bytes, after 1000: {after}");
            assert!(growth <= GROWTH_BYTES_MAX, "memory grew by {growth} bytes");
        }
        let last = stage.feed.trades("TCS");
        stayer.reads("TCS", Ltp, last).await;
        assert_eq!(stayer.ticks("TCS", Ltp), last, "who stays misses nothing");
        stayer.close().await;
    }
}

/// The status once these cycles are over and only the one who stays is left.
async fn rest_after_cycles<R: Runtime>(stage: &Stage<R>, cycles: std::ops::Range<usize>) -> Status {
    const AT_ONCE: usize = 10;
    let visitors = (0..AT_ONCE).map(|first| {
        let stage = stage.clone();
        let own = cycles.clone().skip(first).step_by(AT_ONCE);
        async move {
            for cycle in own {
                visit(&stage, cycle).await;
            }
        }
    });
    stage.together(visitors).await;
    stage.broker.forget_calls();
    let only_one = |status: &Status| {
        status.clients.total == 1
            && status.users_total == 1
            && status.topics_total == 1
            && status.subscriptions == 1
            && status.timers == 0
            && status.tasks.get("client") == Some(&1)
            && is_alone(status)
    };
    stage.is_settled().await;
    let status = stage.status_when("only the one who stays is left", only_one).await;
    assert_eq!(stage.broker.sessions().len(), 1, "one session is left");
    status
}

async fn visit<R: Runtime>(stage: &Stage<R>, cycle: usize) {
    const MODES: [Mode; 2] = [Ltp, Quote];
    let mode = MODES[cycle / 2 % 2];
    let mut client = stage.client_of(USERS[cycle % USERS.len()]).await;
    let symbol = ["TCS", "INFY", "WIPRO"][cycle % 3];
    client.follow(&[symbol], mode).await;
    let seq = stage.feed.trade(symbol, &MODES, 0);
    client.reads(symbol, mode, seq).await;
    match cycle % 4 {
        0 => client.close().await,
        1 => {
            client.unsubscribe_all().await;
            client.close().await;
        }
        2 => {
            client.start_subscribe(&["S1", "S2", "S3"], Ltp).await;
            drop(client);
        }
        _ => drop(client),
    }
}
