//! `tickgate tail` against a gateway of a few lines.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tickgate::runtime::{Runtime, Task, TaskGroup, TokioRuntime};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const GOOD_KEY: &str = "tg_good";

/// What the gateway does after it has answered a subscribe.
#[derive(Clone, Copy)]
enum Then {
    /// One tick after the other.
    Stream,
    /// Two ticks and close with this code, on the first connection; then as `Stream`.
    CloseOnce(u16),
    /// Two ticks and close with 1012, on the first connection; the second is refused every symbol;
    /// then as `Stream`.
    RefuseOnce,
    /// Nothing.
    Silence,
}

struct FakeGateway {
    url: String,
    connections: Arc<AtomicUsize>,
    _task: Task,
}

impl FakeGateway {
    async fn start(then: Then) -> Self {
        let runtime = TokioRuntime::new();
        let listener = runtime.bind("127.0.0.1:0").await.expect("binds");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let tasks = runtime.clone();
        let task = runtime.spawn("fake_gateway", async move {
            let clients = TaskGroup::new();
            while let Ok((stream, _)) = listener.accept().await {
                let earlier = counter.fetch_add(1, Ordering::SeqCst);
                clients.spawn(&tasks, "fake_client", async move {
                    if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                        serve(socket, then, earlier).await;
                    }
                });
            }
        });
        Self { url, connections, _task: task }
    }
}

async fn serve<S>(mut socket: WebSocketStream<S>, then: Then, earlier: usize)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        let Ok(text) = message.into_text() else { return };
        let Ok(request) = serde_json::from_str::<Value>(&text) else { return };
        let answer = match request["action"].as_str() {
            Some("authenticate") if request["api_key"] == GOOD_KEY => json!({
                "type": "auth", "status": "success", "broker": "paper", "user_id": "alice"
            }),
            Some("authenticate") => json!({
                "status": "error", "code": "AUTHENTICATION_ERROR", "message": "Invalid API key"
            }),
            Some("subscribe_orders") => json!({"type": "subscribe_orders", "status": "success"}),
            Some("subscribe") => subscribed(&request, is_refused(then, earlier)),
            other => panic!("{other:?}"),
        };
        if socket.send(Message::text(answer.to_string())).await.is_err() {
            return;
        }
        if request["action"] == "subscribe_orders" {
            let order = "{\"type\":\"order_update\",\"orderid\":\"1\",\n\"order_status\":\"open\"}";
            let _ = socket.send(Message::text(order)).await;
        }
        let is_served = !is_refused(then, earlier);
        if request["action"] == "subscribe" && answer["status"] != "error" && is_served {
            stream(&mut socket, then, earlier).await;
        }
    }
}

const fn is_refused(then: Then, earlier: usize) -> bool {
    matches!(then, Then::RefuseOnce) && earlier == 1
}

fn subscribed(request: &Value, refused: bool) -> Value {
    let symbols = request["symbols"].as_array().expect("symbols");
    let entries: Vec<_> = symbols
        .iter()
        .map(|symbol| {
            let mut entry = symbol.clone();
            let is_paced = request["interval_ms"] == 250;
            if refused || symbol["symbol"] == "BAD" || is_paced != (symbol["symbol"] == "PACED") {
                entry["status"] = "error".into();
                entry["message"] = "unknown symbol".into();
            } else {
                entry["status"] = "success".into();
            }
            entry
        })
        .collect();
    json!({"type": "subscribe", "status": "partial", "subscriptions": entries})
}

async fn stream<S>(socket: &mut WebSocketStream<S>, then: Then, earlier: usize)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let ticks = match then {
        Then::CloseOnce(_) | Then::RefuseOnce if earlier == 0 => 2,
        Then::Stream | Then::CloseOnce(_) | Then::RefuseOnce => 1_000,
        Then::Silence => 0,
    };
    for number in 0..ticks {
        let tick = format!(
            "{{\"type\":\"market_data\",\"symbol\":\"TCS:20\",\"exchange\":\"NSE\",\"mode\":2,\
             \"broker\":\"paper\",\"data\":{{\"ltp\":142{number}.050,\"open\":1420.00,\
             \"volume\":{number}}}}}"
        );
        if socket.send(Message::text(tick)).await.is_err() {
            return;
        }
        // So that there is time to end it in the middle.
        if number > 20 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let code = match then {
        Then::CloseOnce(code) if earlier == 0 => Some(code),
        Then::RefuseOnce if earlier == 0 => Some(1012),
        Then::Stream | Then::CloseOnce(_) | Then::RefuseOnce | Then::Silence => None,
    };
    if let Some(code) = code {
        let frame = CloseFrame { code: code.into(), reason: "restarting".into() };
        let _ = socket.close(Some(frame)).await;
    }
}

fn tail(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command
        .arg("tail")
        .args(["--url", url])
        .args(arguments)
        .env_clear()
        .env("TICKGATE_KEY", GOOD_KEY)
        .stdin(Stdio::null());
    // A test that hangs says less than one that fails.
    if !arguments.contains(&"--timeout-seconds") {
        command.args(["--timeout-seconds", "30"]);
    }
    command
}

fn output(url: &str, arguments: &[&str]) -> Output {
    tail(url, arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_lines_end_after_the_count() {
    let gateway = FakeGateway::start(Then::Stream).await;
    let output = output(&gateway.url, &["NSE:TCS:20", "--count", "3"]);
    assert_eq!(
        text(&output.stdout),
        "NSE:TCS:20 ltp=1420.050 open=1420.00 volume=0\n\
         NSE:TCS:20 ltp=1421.050 open=1420.00 volume=1\n\
         NSE:TCS:20 ltp=1422.050 open=1420.00 volume=2\n"
    );
    assert_eq!(
        text(&output.stderr),
        format!("tickgate: connected to {}/ as alice on paper\n", gateway.url)
    );
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_the_frame_as_it_came() {
    let gateway = FakeGateway::start(Then::Stream).await;
    let output = output(&gateway.url, &["NSE:TCS:20", "--count", "1", "--json"]);
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), 1);
    assert!(lines.contains("\"ltp\":1420.050"), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_is_asked_for() {
    let gateway = FakeGateway::start(Then::Stream).await;
    let output = output(&gateway.url, &["NSE:PACED", "--interval", "250", "--count", "1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let fast = tail(&gateway.url, &["NSE:PACED", "--interval", "9"]).output().expect("runs");
    assert_eq!(fast.status.code(), Some(2), "{}", text(&fast.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told() {
    let gateway = FakeGateway::start(Then::Stream).await;
    let output = output(&gateway.url, &["NSE:A", "--key", "tg_wrong"]);
    assert_eq!(
        text(&output.stderr),
        "tickgate: the gateway refused the key (Invalid API key); give another with --key or \
         TICKGATE_KEY, or make one with `tickgate keys new USER`\n"
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(gateway.connections.load(Ordering::SeqCst), 1, "not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn symbols_that_are_refused_are_listed_and_the_others_shown() {
    let gateway = FakeGateway::start(Then::Stream).await;
    let output = output(&gateway.url, &["NSE:BAD", "NSE:TCS:20", "--count", "1"]);
    assert!(text(&output.stderr).contains("tickgate: NSE:BAD: unknown symbol\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_if_every_symbol_is_refused() {
    let gateway = FakeGateway::start(Then::Stream).await;
    let one = output(&gateway.url, &["NSE:BAD"]);
    assert!(text(&one.stderr).ends_with("paper\ntickgate: NSE:BAD: unknown symbol\n"));
    assert_eq!(one.status.code(), Some(1));

    let two = output(&gateway.url, &["NSE:BAD", "BSE:BAD"]);
    assert!(text(&two.stderr).ends_with(
        "tickgate: NSE:BAD: unknown symbol\ntickgate: BSE:BAD: unknown symbol\n\
         tickgate: none of the 2 symbols could be subscribed\n"
    ));
    assert_eq!(two.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_comes_back_with_its_subscriptions() {
    let gateway = FakeGateway::start(Then::CloseOnce(1012)).await;
    let output = output(&gateway.url, &["NSE:TCS:20", "--count", "4"]);
    assert_eq!(text(&output.stdout).lines().count(), 4);
    assert_eq!(gateway.connections.load(Ordering::SeqCst), 2);
    let said = text(&output.stderr);
    assert!(
        said.contains(
            "the gateway closed the connection (1012 restarting); trying again until it is back"
        ),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_and_is_refused_everything_tries_again() {
    let gateway = FakeGateway::start(Then::RefuseOnce).await;
    let tail = output(&gateway.url, &["NSE:TCS:20", "--count", "4"]);
    assert_eq!(tail.status.code(), Some(0), "{}", text(&tail.stderr));
    assert_eq!(gateway.connections.load(Ordering::SeqCst), 3);

    let gateway = FakeGateway::start(Then::RefuseOnce).await;
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("four.tick");
    let mut record = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    record.args(["record", "--url", &gateway.url, "--key", GOOD_KEY]).arg(&file);
    record.args(["NSE:TCS:20", "--mode", "quote", "--count", "4", "--seconds", "20"]);
    let record = record.output().expect("runs");
    let said = text(&record.stderr);
    assert!(said.contains("NSE:TCS:20: unknown symbol; trying again until it is back"), "{said}");
    assert!(said.contains("the connection was lost 2 times"), "{said}");
    assert!(said.contains("4 ticks"), "{said}");
    assert_eq!(record.status.code(), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn being_removed_by_an_administrator_is_for_good() {
    let gateway = FakeGateway::start(Then::CloseOnce(4403)).await;
    let output = output(&gateway.url, &["NSE:TCS:20"]);
    assert!(text(&output.stderr).ends_with("closed the connection (4403 restarting)\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_feed_fails_when_the_time_is_up() {
    let gateway = FakeGateway::start(Then::Silence).await;
    let none = output(&gateway.url, &["NSE:A", "--timeout-seconds", "1"]);
    assert!(text(&none.stderr).ends_with("tickgate: no tick came within 1 s\n"));
    assert_eq!(none.status.code(), Some(1));
    let few = output(&gateway.url, &["NSE:A", "--timeout-seconds", "1", "--count", "2"]);
    assert!(text(&few.stderr).ends_with("tickgate: only 0 of 2 ticks came within 1 s\n"));
    assert_eq!(few.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_shown_on_one_line() {
    let gateway = FakeGateway::start(Then::Silence).await;
    let output = output(&gateway.url, &["--orders", "--timeout-seconds", "1"]);
    let order = "{\"type\":\"order_update\",\"orderid\":\"1\", \"order_status\":\"open\"}";
    assert_eq!(text(&output.stdout), format!("order {order}\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_listens_is_told_with_the_command_to_start_it() {
    // A port that was free a moment ago.
    let listener = TokioRuntime::new().bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let output = output(&format!("ws://{address}"), &["NSE:A"]);
    assert_eq!(
        text(&output.stderr),
        format!(
            "tickgate: nothing listens on {address}: start the gateway with `tickgate serve`\n"
        )
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_is_no_gateway() {
    let runtime = TokioRuntime::new();
    let listener = runtime.bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let _task = runtime.spawn("http", async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let output = output(&format!("ws://{address}"), &["NSE:A"]);
    assert_eq!(
        text(&output.stderr),
        format!("tickgate: {address} refused the WebSocket: HTTP 404 Not Found\n")
    );
    assert_eq!(output.status.code(), Some(1));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_it_in_good_order() {
    let gateway = FakeGateway::start(Then::Stream).await;
    for signal in ["-INT", "-TERM"] {
        let mut child = tail(&gateway.url, &["NSE:TCS:20"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("runs");
        let mut first = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        lines.read_line(&mut first).expect("a line");
        assert!(first.starts_with("NSE:TCS:20 ltp="), "{first}");
        send(signal, &child);
        assert_eq!(child.wait().expect("ends").code(), Some(0), "{signal}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_it_in_good_order() {
    let gateway = FakeGateway::start(Then::Stream).await;
    let mut child = tail(&gateway.url, &["NSE:TCS:20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[cfg(unix)]
fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("runs").success());
}
