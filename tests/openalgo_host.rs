//! The adapter host for OpenAlgo alone, against adapters that misbehave in every way: it is
//! asked by the gateway's own end of the control protocol, and the broker says what it saw.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use tickgate::broker::remote::{Remote, RemoteOptions};
use tickgate::broker::{BrokerError, BrokerErrorCode, BrokerEvent, CommandKind, SessionId};
use tickgate::topic::Mode;
use tickgate::zmtp::{Dealer, DealerEvent, Message, Options};
use tokio::time::sleep;

use crate::broker_support::{Bus, Caller, FixedRuntime, subscribe, unsubscribe};
use crate::openalgo_support::{Installation, Process, TOKEN};

const SOON: Duration = Duration::from_millis(400);

/// A host, and a gateway's end of it.
struct World {
    runtime: FixedRuntime,
    bus: Bus,
    installation: Installation,
    host: Process,
    caller: Caller,
}

impl World {
    async fn new(options: &[&str]) -> Self {
        Self::with(options, "").await
    }

    /// With these lines in the installation's environment.
    async fn with(options: &[&str], environment: &str) -> Self {
        let runtime = FixedRuntime::default();
        let bus = Bus::start(&runtime).await;
        let port = bus.endpoint().rsplit_once(':').expect("a port").1.parse().expect("a port");
        let installation = Installation::new(port);
        installation.set(environment);
        let host = installation.host(options);
        let caller = gateway(&runtime, &installation).await;
        Self { runtime, bus, installation, host, caller }
    }

    fn is_told(&self, rules: Value) {
        self.installation.is_told(&rules);
    }

    async fn connect(&mut self, user: &str, session: u64) {
        self.caller.done(user, session, CommandKind::Connect).await;
    }

    /// Sends what is not answered in time.
    async fn times_out(&mut self, user: &str, session: u64, kind: CommandKind) {
        let id = self.caller.send_within(SOON, user, session, kind).await;
        let failed = self.caller.answer_to(id).await.result.expect_err("no answer in time");
        assert_eq!(failed.code, BrokerErrorCode::Timeout, "{failed}");
    }

    async fn fails(&mut self, user: &str, session: u64, kind: CommandKind) -> BrokerError {
        self.caller.ask(user, session, kind).await.result.expect_err("a failure")
    }

    fn settles_on(&self, wanted: &[(&str, &[&str])]) {
        tokio::task::block_in_place(|| self.installation.settles_on(wanted));
    }
}

async fn gateway(runtime: &FixedRuntime, installation: &Installation) -> Caller {
    let options = RemoteOptions {
        heartbeat_interval: Duration::from_millis(200),
        heartbeat_timeout: Duration::from_secs(3),
        ..RemoteOptions::new("standin", installation.host_address())
    };
    let remote = Remote::new(runtime.clone(), options).expect("an address");
    let mut caller = Caller::of(runtime, remote);
    caller.is_up().await;
    caller
}

fn is_lost(event: BrokerEvent, whose: &str, number: u64) -> String {
    match event {
        BrokerEvent::SessionLost { user, session, reason } => {
            assert_eq!((user.as_str(), session), (whose, SessionId(number)));
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_published_once_however_often_they_are_asked_for() {
    let mut world = World::new(&[]).await;
    assert_eq!(world.fails("alice", 1, subscribe("TCS", Mode::Ltp)).await.code, NOT_CONNECTED);
    world.connect("alice", 1).await;
    world.connect("alice", 1).await;
    world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    assert_eq!(world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await, None);
    assert_eq!(world.caller.done("alice", 1, subscribe("TCS", Mode::Depth)).await, Some(20));
    let tick = world.bus.tick_of("NSE_TCS_LTP").await;
    assert_eq!(tick["user"], "alice");
    world.bus.tick_of("NSE_TCS_DEPTH").await;

    assert_eq!(world.fails("alice", 2, subscribe("TCS", Mode::Ltp)).await.code, NOT_CONNECTED);
    world.caller.done("alice", 1, unsubscribe("INFY", Mode::Ltp)).await;
    world.caller.done("alice", 1, unsubscribe("TCS", Mode::Ltp)).await;
    world.caller.done("alice", 1, unsubscribe("TCS", Mode::Ltp)).await;
    world.settles_on(&[("alice", &["NSE:TCS:3"])]);
    world.caller.done("alice", 1, CommandKind::UnsubscribeAll).await;
    world.caller.done("alice", 1, CommandKind::UnsubscribeAll).await;
    world.settles_on(&[("alice", &[])]);
    world.bus.falls_silent().await;

    world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    world.connect("alice", 2).await;
    world.settles_on(&[("alice", &[])]);
    assert_eq!(world.fails("alice", 1, CommandKind::Connect).await.code, REFUSED);
    world.caller.done("alice", 1, CommandKind::Disconnect).await;
    world.settles_on(&[("alice", &[])]);
    world.caller.done("alice", 3, CommandKind::Disconnect).await;
    world.caller.done("alice", 3, CommandKind::Disconnect).await;
    world.settles_on(&[]);
}

const REFUSED: BrokerErrorCode = BrokerErrorCode::Refused;
const INIT_FAILED: BrokerErrorCode = BrokerErrorCode::InitFailed;
const NOT_CONNECTED: BrokerErrorCode = BrokerErrorCode::NotConnected;
const TIMEOUT: BrokerErrorCode = BrokerErrorCode::Timeout;

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_of_an_answer_is_understood() {
    for pooling in ["true", "false"] {
        let mut world = World::with(&[], &format!("ENABLE_CONNECTION_POOLING={pooling}\n")).await;
        for (call, answer, code) in [
            ("initialize", "error:unknown client", INIT_FAILED),
            ("initialize", "failure:unknown client", INIT_FAILED),
            ("initialize", "raise:unknown client", INIT_FAILED),
            ("connect", "error:no route to host", NOT_CONNECTED),
            ("connect", "failure:no route to host", NOT_CONNECTED),
            ("connect", "raise:no route to host", NOT_CONNECTED),
            ("connect", "error:401 Unauthorized", INIT_FAILED),
            ("connect", "raise:Session expired, please login again", INIT_FAILED),
        ] {
            world.is_told(json!({ call: answer }));
            let failed = world.fails("alice", 1, CommandKind::Connect).await;
            assert_eq!(failed.code, code, "{call} {answer}: {failed}");
            assert!(answer.ends_with(failed.message.as_str()), "{call} {answer}: {failed}");
            world.settles_on(&[]);
        }
        world.is_told(json!({ "initialize": "none", "connect": "success" }));
        world.connect("alice", 2).await;
        for (answer, code) in [
            ("error:Symbol TCS not found for exchange NSE", REFUSED),
            ("failure:Maximum capacity reached", REFUSED),
            ("raise:unknown symbol", REFUSED),
            ("error:Not connected to the broker", NOT_CONNECTED),
            ("failure:403 Forbidden", INIT_FAILED),
        ] {
            if pooling == "false" && answer.starts_with("raise") {
                continue; // It is undone, whether or not there is anything to undo.
            }
            world.is_told(json!({ "subscribe:TCS": answer }));
            let failed = world.fails("alice", 2, subscribe("TCS", Mode::Ltp)).await;
            assert_eq!(failed.code, code, "{answer}: {failed}");
            assert!(answer.ends_with(failed.message.as_str()), "{answer}: {failed}");
        }
        world.settles_on(&[("alice", &[])]);
        for answer in ["success", "none"] {
            if pooling == "true" && answer == "none" {
                continue; // A pool makes an error of it.
            }
            world.is_told(json!({ "subscribe": answer, "unsubscribe": answer }));
            world.caller.done("alice", 2, subscribe("TCS", Mode::Ltp)).await;
            world.settles_on(&[("alice", &["NSE:TCS:1"])]);
            world.caller.done("alice", 2, unsubscribe("TCS", Mode::Ltp)).await;
            world.settles_on(&[("alice", &[])]);
        }
    }
}

/// Without a pool, which makes an error of it before anybody could undo it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_adapter_did_before_it_raised_is_undone() {
    let mut world = World::with(&[], "ENABLE_CONNECTION_POOLING=false\n").await;
    world.connect("alice", 1).await;
    for (answer, code) in [("raise_after:boom", REFUSED), ("timeout", TIMEOUT)] {
        world.is_told(json!({ "subscribe:TCS": answer }));
        assert_eq!(world.fails("alice", 1, subscribe("TCS", Mode::Ltp)).await.code, code);
        world.settles_on(&[("alice", &[])]);
    }
    assert_eq!(world.installation.count("subscribe", "NSE:TCS:1"), 2);

    world.is_told(json!({}));
    // Gone already, by the adapter's account.
    world.caller.done("alice", 1, subscribe("TCS", Mode::Quote)).await;
    world.is_told(json!({ "unsubscribe": "code:NOT_SUBSCRIBED" }));
    world.caller.done("alice", 1, unsubscribe("TCS", Mode::Quote)).await;
    world.is_told(json!({}));
    world.connect("alice", 2).await;
    world.is_told(json!({ "subscribe": "code:NOT_CONNECTED" }));
    let failed = world.fails("alice", 2, subscribe("TCS", Mode::Ltp)).await;
    assert_eq!(failed.code, NOT_CONNECTED, "{failed}");

    world.is_told(json!({ "unsubscribe:TCS": "error:try again" }));
    world.caller.done("alice", 2, subscribe("TCS", Mode::Ltp)).await;
    assert_eq!(world.fails("alice", 2, unsubscribe("TCS", Mode::Ltp)).await.code, REFUSED);
    world.caller.done("alice", 2, subscribe("TCS", Mode::Ltp)).await;
    world.is_told(json!({}));
    world.caller.done("alice", 2, unsubscribe("TCS", Mode::Ltp)).await;
    world.settles_on(&[("alice", &[])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_holds_up_its_user_alone_and_its_late_result_counts() {
    let mut world = World::new(&[]).await;
    world.connect("alice", 1).await;
    world.connect("bob", 2).await;
    world.is_told(json!({ "subscribe:TCS": "hang" }));
    world.times_out("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    // Heartbeats are answered meanwhile: nothing happens for longer than their timeout.
    for _ in 0..4 {
        world.caller.done("bob", 2, subscribe("INFY", Mode::Ltp)).await;
        world.caller.done("bob", 2, unsubscribe("INFY", Mode::Ltp)).await;
        sleep(Duration::from_secs(1)).await;
    }
    world.caller.hears_nothing().await;
    world.times_out("alice", 1, subscribe("WIPRO", Mode::Ltp)).await;

    world.is_told(json!({}));
    world.settles_on(&[("alice", &["NSE:TCS:1"]), ("bob", &[])]);
    // The gateway asks again: it is on already, and not subscribed twice.
    world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    assert_eq!(world.installation.count("subscribe", "NSE:TCS:1"), 1);
    assert_eq!(world.installation.count("subscribe", "NSE:WIPRO:1"), 0, "nobody waited for it");

    world.is_told(json!({ "unsubscribe:TCS": "hang" }));
    world.times_out("alice", 1, unsubscribe("TCS", Mode::Ltp)).await;
    let waits = world.caller.send("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    world.is_told(json!({}));
    assert!(world.caller.answer_to(waits).await.result.is_ok());
    world.settles_on(&[("alice", &["NSE:TCS:1"]), ("bob", &[])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_opens_too_late_is_closed_again() {
    let mut world = World::new(&[]).await;
    for call in ["connect", "initialize"] {
        world.is_told(json!({ call: "hang" }));
        world.times_out("alice", 1, CommandKind::Connect).await;
        world.is_told(json!({}));
        world.caller.hears_nothing().await;
        world.settles_on(&[]);
    }
    assert_eq!(world.installation.calls().iter().filter(|call| call["call"] == "end").count(), 2);

    world.is_told(json!({ "connect": "hang" }));
    world.times_out("alice", 2, CommandKind::Connect).await;
    let second = world.caller.send("alice", 3, CommandKind::Connect).await;
    world.is_told(json!({}));
    assert!(world.caller.answer_to(second).await.result.is_ok());
    world.caller.done("alice", 3, subscribe("TCS", Mode::Ltp)).await;
    world.settles_on(&[("alice", &["NSE:TCS:1"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_fails_or_hangs_can_be_asked_for_again() {
    let mut world = World::new(&[]).await;
    world.connect("alice", 1).await;
    world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    world.is_told(json!({ "disconnect": "raise:not now" }));
    let failed = world.fails("alice", 1, CommandKind::Disconnect).await;
    assert_eq!((failed.code, failed.message.as_str()), (REFUSED, "not now"));
    world.settles_on(&[("alice", &["NSE:TCS:1"])]);
    world.is_told(json!({ "disconnect": "hang" }));
    world.times_out("alice", 1, CommandKind::Disconnect).await;
    world.is_told(json!({}));
    world.caller.done("alice", 1, CommandKind::Disconnect).await;
    world.settles_on(&[]);

    // What is to make room is closed once more, and then forgotten.
    world.connect("alice", 2).await;
    world.is_told(json!({ "disconnect": "hang" }));
    world.times_out("alice", 2, CommandKind::Disconnect).await;
    world.times_out("alice", 3, CommandKind::Connect).await;
    world.is_told(json!({}));
    world.settles_on(&[]);
    world.connect("alice", 4).await;
    world.settles_on(&[("alice", &[])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_returns_costs_its_session_and_the_next_one_is_good() {
    let mut world = World::new(&["--abandon-after", "1.5"]).await;
    world.connect("alice", 1).await;
    world.caller.done("alice", 1, subscribe("INFY", Mode::Ltp)).await;
    world.is_told(json!({ "subscribe:TCS": "hang" }));
    world.times_out("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    let waits = world.caller.send("alice", 1, subscribe("WIPRO", Mode::Ltp)).await;
    let failed = world.caller.answer_to(waits).await.result.expect_err("given up");
    assert_eq!(
        (failed.code, failed.message.as_str()),
        (NOT_CONNECTED, "a call of the adapter hangs")
    );
    let event = world.caller.event().await;
    assert_eq!(is_lost(event, "alice", 1), "a call of the adapter hangs");

    world.connect("alice", 2).await;
    world.caller.done("alice", 2, subscribe("INFY", Mode::Ltp)).await;
    assert_eq!(world.installation.open().len(), 2, "the call still hangs");
    // It returns after all: what it belonged to is closed, and the new session is not touched.
    world.is_told(json!({}));
    world.settles_on(&[("alice", &["NSE:INFY:1"])]);
    world.caller.done("alice", 2, subscribe("TCS", Mode::Ltp)).await;
    world.settles_on(&[("alice", &["NSE:INFY:1", "NSE:TCS:1"])]);
    world.bus.tick_of("NSE_TCS_LTP").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_told_and_the_next_one_begins_from_nothing() {
    let mut world = World::new(&[]).await;
    world.connect("alice", 1).await;
    world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    world.connect("bob", 2).await;
    world.installation.drop_sessions("alice");
    let event = world.caller.event().await;
    assert_eq!(is_lost(event, "alice", 1), "the adapter has stopped");
    assert_eq!(world.fails("alice", 1, subscribe("TCS", Mode::Ltp)).await.code, NOT_CONNECTED);
    world.settles_on(&[("bob", &[])]);
    world.connect("alice", 3).await;
    world.caller.done("alice", 3, subscribe("TCS", Mode::Ltp)).await;
    world.settles_on(&[("alice", &["NSE:TCS:1"]), ("bob", &[])]);
}

/// An adapter may reconnect by itself, so it has some time for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_adapter_stays_away_is_lost_after_a_while() {
    for flags in ["connected", "is_connected"] {
        let environment = format!("STANDIN_FLAGS={flags}\n");
        let mut world = World::with(&["--lost-after", "1.5"], &environment).await;
        world.connect("alice", 1).await;
        world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
        world.installation.drop_sessions("alice");
        world.caller.hears_nothing().await;
        let event = world.caller.event().await;
        let reason = is_lost(event, "alice", 1);
        assert_eq!(reason, "the adapter has not been connected for 1.5 seconds", "{flags}");
        world.connect("alice", 2).await;
        world.settles_on(&[("alice", &[])]);
    }
}

/// Says what a gateway never would, and what one of a later version might.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_or_dropped_and_harms_nobody() {
    let mut world = World::new(&[]).await;
    world.connect("alice", 1).await;
    let address = world.installation.host_address().replace("tcp://", "");
    let mut dealer = Dealer::connect(&world.runtime, Options::default(), &address);
    assert_eq!(dealer.recv().await, DealerEvent::Up);
    let request = |id: &str, rest: &str| {
        format!(
            r#"{{"type":"request","id":{id},"user":"alice","session":1,"deadline_ms":100{rest}}}"#
        )
    };
    let refused = |id: u64, code: &str, message: &str| json!({"type": "answer", "id": id, "status": "error", "code": code, "message": message});
    for (said, heard) in [
        (r#"{"type":"ping","n":1}"#.to_owned(), None),
        (request("1", r#","op":"connect""#), Some(refused(1, "NOT_CONNECTED", "say hello first"))),
        ("[1]".to_owned(), None),
        ("not JSON".to_owned(), None),
        (r#"{"type":"hello","version":1,"gateway":"","n":1}"#.to_owned(), None),
        (r#"{"type":"hello","version":1,"gateway":"\ud800","n":1}"#.to_owned(), None),
        ("[".repeat(50_000), None),
        (format!(r#"{{"type":"ping","n":2,"x":"{}"}}"#, "x".repeat(70_000)), None),
        (request("2", ""), Some(refused(2, "REFUSED", "bad op"))),
        (request("true", ""), None),
        (request("3", r#","op":"subscribe","mode":4"#), Some(refused(3, "REFUSED", "bad mode"))),
        (
            request("4", r#","op":"subscribe","mode":1,"exchange":"NSE","symbol":"""#),
            Some(refused(4, "REFUSED", "bad symbol")),
        ),
        (
            request("5", r#","op":"connect","connection":1"#),
            Some(refused(
                5,
                "REFUSED",
                "one connection for each user is what there is: connections_per_user is 1",
            )),
        ),
        (r#"{"type":"later","n":1}"#.to_owned(), None),
    ] {
        dealer.send(Message::single(said.clone().into_bytes())).await.unwrap();
        if let Some(heard) = heard {
            assert_eq!(heard_by(&mut dealer).await, heard, "{said}");
        }
    }
    let hello = r#"{"type":"hello","version":7,"gateway":"later","n":3,"more":[]}"#;
    dealer.send(Message::single(hello.as_bytes().to_vec())).await.unwrap();
    let welcome = heard_by(&mut dealer).await;
    assert_eq!((&welcome["type"], &welcome["version"]), (&"welcome".into(), &1.into()));
    dealer.send(Message::single(request("5", r#","op":"connect""#).into_bytes())).await.unwrap();
    assert_eq!(heard_by(&mut dealer).await["code"], "NOT_CONNECTED", "it speaks another version");

    world.caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    world.settles_on(&[("alice", &["NSE:TCS:1"])]);
}

/// The next message.
async fn heard_by(dealer: &mut Dealer) -> Value {
    let event = tokio::time::timeout(Duration::from_secs(5), dealer.recv()).await;
    let DealerEvent::Message(message) = event.expect("a message") else { panic!("not a message") };
    serde_json::from_slice(&message.parts()[0]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_login_is_used_at_once_and_no_credential_is_told() {
    let mut world = World::new(&[]).await;
    world.connect("alice", 1).await;
    // The broker takes another token than the one of the last login.
    world.installation.put("broker_token", "the-token-of-tomorrow");
    let failed = world.fails("alice", 2, CommandKind::Connect).await;
    assert_eq!(failed.code, INIT_FAILED, "{failed}");
    assert_eq!(failed.message, "HTTP 403: invalid token [hidden]");
    world.installation.set_token("the-token-of-tomorrow");
    world.connect("alice", 3).await;

    for (said, told) in [
        ("api_key=shortone&x=1 refused", "api_key=[hidden]&x=1 refused"),
        (r#"{"access_token": "abc def"} is old"#, r#"{"access_token": [hidden]} is old"#),
        (
            "GET wss://u:pw@api.x.com/v2?enctoken=Ab9/x",
            "GET wss://[hidden]@api.x.com/v2?enctoken=[hidden]",
        ),
        ("Authorization: Bearer a.b.c", "Authorization: [hidden]"),
        ("key 1f3870be274f6c49b3e31a0c6728957f is bad", "key [hidden] is bad"),
        ("no BANKNIFTY28MAR2448000CE at NFO", "no BANKNIFTY28MAR2448000CE at NFO"),
    ] {
        world.is_told(json!({ "subscribe": format!("error:{said}") }));
        let failed = world.fails("alice", 3, subscribe("TCS", Mode::Ltp)).await;
        assert_eq!(failed.message, told);
    }
    let log = world.host.log();
    for secret in [TOKEN, "the-token-of-tomorrow", "shortone", "1f3870be274f6c49b3e31a0c6728957f"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_silent_or_new_leaves_no_session_behind() {
    let mut world = World::new(&["--gateway-silence", "3"]).await;
    for (user, session) in [("alice", 1), ("bob", 2)] {
        world.connect(user, session).await;
        world.caller.done(user, session, subscribe("TCS", Mode::Ltp)).await;
    }
    // A second gateway takes alice over; the first one is told, and keeps bob.
    let mut second = gateway(&world.runtime, &world.installation).await;
    second.done("alice", 1, CommandKind::Connect).await;
    let event = world.caller.event().await;
    assert_eq!(is_lost(event, "alice", 1), "another gateway opened a session of this user");
    world.settles_on(&[("alice", &[]), ("bob", &["NSE:TCS:1"])]);
    world.caller.done("alice", 1, CommandKind::Disconnect).await;
    world.settles_on(&[("alice", &[]), ("bob", &["NSE:TCS:1"])]);

    let World { runtime: _runtime, bus: _bus, installation, host: _host, caller } = world;
    let settles_on = |wanted| tokio::task::block_in_place(|| installation.settles_on(wanted));
    caller.crash();
    settles_on(&[("alice", &[])]);
    second.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    second.crash();
    settles_on(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_closes_every_session_and_a_hanging_one_is_left_behind() {
    for signal in ["-TERM", "-INT"] {
        let mut world = World::new(&["--stop-timeout", "1"]).await;
        world.connect("alice", 1).await;
        world.connect("bob", 2).await;
        let (code, took) = world.host.end(signal);
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(3), "{took:?}");
        let ends = world.installation.calls();
        assert_eq!(ends.iter().filter(|call| call["call"] == "end").count(), 2);
    }
    let mut world = World::new(&["--stop-timeout", "1"]).await;
    world.connect("alice", 1).await;
    world.connect("bob", 2).await;
    world.is_told(json!({ "alice/disconnect": "hang" }));
    let (code, took) = world.host.end("-TERM");
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(4), "{took:?}");
    tokio::task::block_in_place(|| world.installation.settles_on(&[]));
}
