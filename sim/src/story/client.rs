//! A WebSocket client that judges everything it reads.
//!
//! It knows what it holds: from the answers that it got. A tick or an order update of anything
//! else, one that comes twice or out of order, and one that is missing, all end the story.

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tickgate::runtime::Runtime;
use tickgate::topic::Mode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::feed::EXCHANGE;
use super::{Stage, key_of};

/// Bytes of tungstenite's read buffer: its default of 128 KiB is zeroed before every read.
const READ_BUFFER_BYTES: usize = 4 * 1_024;

/// One connection.
pub struct Client<R: Runtime> {
    stage: Stage<R>,
    socket: WebSocketStream<R::Stream>,
    requests: u64,
    answers: u64,
    user: Option<String>,
    held: BTreeMap<(String, u8), Watch>,
    orders: Option<Watch>,
    lags: bool,
}

/// What has been read of a stream of numbers.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// The first number must not be higher: that was published after the answer.
    first_at_most: u64,
    last: Option<u64>,
    /// How many were read, without the snapshot that may come first.
    read: u64,
}

impl<R: Runtime> Client<R> {
    /// Connects.
    ///
    /// # Panics
    ///
    /// Panics if the gateway does not let it in. So do all other methods if the gateway does not
    /// do what it must.
    pub async fn connect(stage: &Stage<R>) -> Self {
        let address = &stage.addresses.websocket;
        let connecting = async {
            let stream = stage.runtime.connect(address).await.expect("the gateway listens");
            let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
            let url = format!("ws://{address}/");
            client_async_with_config(url, stream, Some(config)).await.expect("an upgrade").0
        };
        let socket = stage.within("a client connects", connecting).await;
        Self {
            stage: stage.clone(),
            socket,
            requests: 0,
            answers: 0,
            user: None,
            held: BTreeMap::new(),
            orders: None,
            lags: false,
        }
    }

    /// From now on, numbers may be missing: the client reads too slowly to get them all.
    pub const fn may_miss_some(&mut self) {
        self.lags = true;
    }

    /// Authenticates, which must succeed.
    pub async fn sign_in(&mut self, user: &str) {
        let answer = self.authenticate(user).await;
        assert_eq!(answer["status"], "success", "{answer}");
    }

    /// Authenticates.
    pub async fn authenticate(&mut self, user: &str) -> Value {
        self.start_authenticate(user).await;
        self.authenticated(user).await
    }

    /// Asks to be authenticated, and reads no answer yet.
    pub async fn start_authenticate(&mut self, user: &str) {
        self.send(json!({"action": "authenticate", "api_key": key_of(user)})).await;
    }

    /// Reads the answer of [`Client::start_authenticate`].
    pub async fn authenticated(&mut self, user: &str) -> Value {
        let answer = self.answer().await;
        if answer["status"] == "success" {
            assert_eq!((&answer["type"], &answer["user_id"]), (&json!("auth"), &json!(user)));
            if self.user.as_deref() != Some(user) {
                self.held.clear();
                self.orders = None;
            }
            self.user = Some(user.to_owned());
        }
        answer
    }

    /// Subscribes to symbols in one mode, all of which must succeed.
    pub async fn follow(&mut self, symbols: &[&str], mode: Mode) {
        let answer = self.subscribe(symbols, mode).await;
        assert_eq!(answer["status"], "success", "{answer}");
        let rows = answer["subscriptions"].as_array().expect("rows");
        assert_eq!(rows.len(), symbols.len(), "{answer}");
        assert!(rows.iter().all(|row| row["status"] == "success"), "{answer}");
    }

    /// Subscribes to symbols in one mode.
    pub async fn subscribe(&mut self, symbols: &[&str], mode: Mode) -> Value {
        self.start_subscribe(symbols, mode).await;
        self.subscribed(mode).await
    }

    /// Asks for symbols in one mode, and reads no answer yet.
    pub async fn start_subscribe(&mut self, symbols: &[&str], mode: Mode) {
        let request = about("subscribe", symbols, mode);
        self.send(request).await;
    }

    /// Reads the answer of [`Client::start_subscribe`].
    pub async fn subscribed(&mut self, mode: Mode) -> Value {
        let answer = self.answer().await;
        for row in answer["subscriptions"].as_array().into_iter().flatten() {
            let symbol = row["symbol"].as_str().expect("a symbol");
            let key = (symbol.to_owned(), mode.number());
            if row["status"] == "success" {
                assert_eq!(row["mode"], mode.label(), "{row}");
                let watch = Watch::from(self.stage.feed.trades(symbol));
                let is_new = self.held.insert(key, watch).is_none();
                assert!(is_new, "the gateway had forgotten {symbol}");
            } else if row["status"] == "warning" {
                assert!(self.held.contains_key(&key), "{symbol} was never subscribed: {answer}");
            }
        }
        answer
    }

    /// Unsubscribes from symbols in one mode.
    pub async fn unsubscribe(&mut self, symbols: &[&str], mode: Mode) -> Value {
        self.start_unsubscribe(symbols, mode).await;
        self.unsubscribed(mode).await
    }

    /// Asks to leave symbols in one mode, and reads no answer yet.
    pub async fn start_unsubscribe(&mut self, symbols: &[&str], mode: Mode) {
        let request = about("unsubscribe", symbols, mode);
        self.send(request).await;
    }

    /// Reads the answer of [`Client::start_unsubscribe`].
    pub async fn unsubscribed(&mut self, mode: Mode) -> Value {
        let answer = self.answer().await;
        for row in answer["successful"].as_array().into_iter().flatten() {
            let symbol = row["symbol"].as_str().expect("a symbol").to_owned();
            let held = self.held.remove(&(symbol, mode.number()));
            assert!(held.is_some(), "it was never subscribed: {answer}");
        }
        answer
    }

    /// Unsubscribes from everything.
    pub async fn unsubscribe_all(&mut self) -> Value {
        self.send(json!({"action": "unsubscribe_all"})).await;
        let answer = self.answer().await;
        let ended = answer["successful"].as_array().map_or(0, Vec::len);
        assert_eq!(ended, self.held.len(), "{answer}");
        self.held.clear();
        answer
    }

    /// Asks for the order updates of its user.
    pub async fn follow_orders(&mut self) {
        self.send(json!({"action": "subscribe_orders"})).await;
        let answer = self.answer().await;
        assert_eq!(answer["status"], "success", "{answer}");
        let user = self.user.as_deref().expect("it has authenticated");
        self.orders = Some(Watch::from(self.stage.feed.orders(user)));
    }

    /// Asks for no more order updates.
    pub async fn leave_orders(&mut self) {
        self.send(json!({"action": "unsubscribe_orders"})).await;
        let answer = self.answer().await;
        assert_eq!(answer["status"], "success", "{answer}");
        self.orders = None;
    }

    /// Asks for nothing but an answer. Whatever the gateway had for this client was read before.
    pub async fn ping(&mut self) {
        self.send(json!({"action": "ping"})).await;
        let answer = self.answer().await;
        assert_eq!(answer["type"], "pong", "{answer}");
    }

    /// What the gateway says of its broker session.
    pub async fn adapter_status(&mut self) -> String {
        self.send(json!({"action": "get_broker_info"})).await;
        let answer = self.answer().await;
        answer["adapter_status"].as_str().expect("a word").to_owned()
    }

    /// Reads until the trade with this number, or a later one, has been read.
    pub async fn reads(&mut self, symbol: &str, mode: Mode, seq: u64) {
        let key = (symbol.to_owned(), mode.number());
        while self.held.get(&key).expect("it is held").last.unwrap_or(0) < seq {
            self.read_tick().await;
        }
    }

    /// Reads until it has read this many ticks of a symbol.
    pub async fn reads_many(&mut self, symbol: &str, mode: Mode, count: u64) {
        let key = (symbol.to_owned(), mode.number());
        while self.held.get(&key).expect("it is held").read < count {
            self.read_tick().await;
        }
    }

    /// Reads until it has read this many order updates.
    pub async fn reads_orders(&mut self, count: u64) {
        while self.orders.expect("it follows orders").read < count {
            self.read_tick().await;
        }
    }

    /// Reads until the order update with this number has been read.
    pub async fn reads_order(&mut self, seq: u64) {
        while self.orders.expect("it follows orders").last.unwrap_or(0) < seq {
            self.read_tick().await;
        }
    }

    /// How many ticks of a symbol it has read since it subscribed, without the snapshot.
    #[must_use]
    pub fn ticks(&self, symbol: &str, mode: Mode) -> u64 {
        self.held.get(&(symbol.to_owned(), mode.number())).map_or(0, |watch| watch.read)
    }

    /// Closes the connection as RFC 6455 wants it, and reads to its end.
    pub async fn close(mut self) {
        self.socket.send(Message::Close(None)).await.expect("an open connection");
        let stage = self.stage.clone();
        let ending = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => drop(self.judge(&text)),
                    Some(Ok(
                        Message::Binary(_)
                        | Message::Ping(_)
                        | Message::Pong(_)
                        | Message::Frame(_)
                        | Message::Close(_),
                    )) => {}
                    None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return,
                    Some(Err(error)) => panic!("the connection did not close well: {error}"),
                }
            }
        };
        stage.within("the gateway answers a close", ending).await;
    }

    /// Sends a request under a number of its own.
    pub async fn send(&mut self, mut request: Value) {
        self.requests += 1;
        request["request_id"] = self.requests.into();
        let sending = self.socket.send(Message::text(request.to_string()));
        let stage = self.stage.clone();
        stage.within("a request is taken", sending).await.expect("an open connection");
    }

    /// Reads the answer to the first request that has none yet.
    pub async fn answer(&mut self) -> Value {
        loop {
            if let Some(answer) = self.read().await {
                self.answers += 1;
                assert_eq!(answer["request_id"], self.answers, "answers in order: {answer}");
                return answer;
            }
        }
    }

    /// Reads one message, which must not be an answer.
    async fn read_tick(&mut self) {
        if let Some(answer) = self.read().await {
            panic!("nobody asked for {answer}");
        }
    }

    /// Reads one message; gives it back if it is an answer.
    async fn read(&mut self) -> Option<Value> {
        let stage = self.stage.clone();
        loop {
            let held = format!("{:?} reads something; it holds {:?}", self.user, self.held);
            let message = stage.within(&held, self.socket.next()).await;
            match message.expect("the connection stays").expect("good frames") {
                Message::Text(text) => return self.judge(&text),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("the gateway sent {other:?}"),
            }
        }
    }

    fn judge(&mut self, text: &str) -> Option<Value> {
        let message: Value = serde_json::from_str(text).expect("JSON");
        match message["type"].as_str() {
            Some("market_data") => self.judge_tick(&message),
            Some("order_update") => self.judge_order(&message),
            Some(_) => return Some(message),
            None => panic!("a message without a type: {message}"),
        }
        None
    }

    fn judge_tick(&mut self, tick: &Value) {
        assert_eq!(tick["exchange"], EXCHANGE, "{tick}");
        let symbol = tick["symbol"].as_str().expect("a symbol").to_owned();
        let mode = tick["mode"].as_u64().and_then(|mode| u8::try_from(mode).ok()).expect("a mode");
        let watch = self.held.get_mut(&(symbol, mode));
        let watch = watch.unwrap_or_else(|| panic!("a tick of what is not held: {tick}"));
        assert!(tick["data"]["source"].as_u64() >= Some(mode.into()), "too little in {tick}");
        let is_snapshot = tick["snapshot"] == true;
        watch.note(&tick["data"]["seq"], is_snapshot, self.lags, tick);
    }

    fn judge_order(&mut self, order: &Value) {
        let watch = self.orders.as_mut();
        let watch = watch.unwrap_or_else(|| panic!("an order update nobody follows: {order}"));
        assert_eq!(order["user_id"].as_str(), self.user.as_deref(), "a foreign order update");
        watch.note(&order["seq"], false, self.lags, order);
    }
}

impl Watch {
    const fn from(published: u64) -> Self {
        Self { first_at_most: published + 1, last: None, read: 0 }
    }

    fn note(&mut self, seq: &Value, is_snapshot: bool, lags: bool, message: &Value) {
        let seq = seq.as_u64().expect("a number");
        match self.last {
            None => assert!(seq <= self.first_at_most || lags, "{self:?} began with {message}"),
            Some(last) => {
                assert!(!is_snapshot, "{self:?} begins again with {message}");
                assert!(seq > last, "{self:?} goes back to {message}");
                assert!(seq == last + 1 || lags, "{self:?} has a gap before {message}");
            }
        }
        self.last = Some(seq);
        self.read += u64::from(!is_snapshot);
    }
}

fn about(action: &str, symbols: &[&str], mode: Mode) -> Value {
    let entry = |symbol: &&str| json!({"symbol": symbol, "exchange": EXCHANGE});
    let symbols: Vec<Value> = symbols.iter().map(entry).collect();
    json!({"action": action, "symbols": symbols, "mode": mode.number()})
}
