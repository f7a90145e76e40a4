//! An independent publisher: the `zeromq` crate, not the gateway's own ZMTP. Publishes a random
//! walk, as a broker adapter would.
//!
//! `cargo run --release --example publisher -- NSE:RELIANCE NSE_INDEX:NIFTY --mode quote --rate 10`

use std::error::Error;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tickgate::runtime::{Runtime, TokioRuntime};
use tokio::time::{interval, sleep, timeout};
use zeromq::{PubSocket, Socket, SocketEvent, SocketSend, ZmqMessage};

/// How long a subscription may take to arrive after connecting. What is published before is lost.
const SUBSCRIPTION_WAIT: Duration = Duration::from_millis(500);
/// How long the last messages may take to leave.
const CLOSE_WAIT: Duration = Duration::from_millis(500);
/// How long to look for the gateway.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Publishes a random walk on the gateway's ZeroMQ bus.
#[derive(Debug, Parser)]
#[command(name = "publisher")]
struct Args {
    /// What to publish, EXCHANGE:SYMBOL, e.g. NSE:RELIANCE or NSE_INDEX:NIFTY.
    #[arg(default_value = "NSE:RELIANCE", value_parser = parse_instrument)]
    instruments: Vec<(String, String)>,

    /// How much of each instrument.
    #[arg(long, value_enum, default_value_t = Mode::Ltp)]
    mode: Mode,

    /// Ticks a second for each instrument, 0.01 to 10000.
    #[arg(long, default_value_t = 1.0, value_parser = parse_rate)]
    rate: f64,

    /// Ticks for each instrument; without it, until interrupted.
    #[arg(long)]
    count: Option<u64>,

    /// The bus.
    #[arg(long, default_value = "tcp://127.0.0.1:5555")]
    endpoint: String,

    /// Bind the endpoint instead of connecting to it (for `bus.connect` of the gateway).
    #[arg(long)]
    bind: bool,

    /// The same seed gives the same walk.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Last traded price.
    Ltp,
    /// Price, day's open, high, low and volume.
    Quote,
    /// Quote with five levels of the book.
    Depth,
}

fn parse_instrument(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((exchange, symbol)) if !exchange.is_empty() && !symbol.is_empty() => {
            Ok((exchange.into(), symbol.into()))
        }
        _ => Err("expected EXCHANGE:SYMBOL, e.g. NSE:RELIANCE".into()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected 0.01 to 10000 ticks a second".into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut socket = open(&args).await?;
    let mut monitor = socket.monitor();
    sleep(SUBSCRIPTION_WAIT).await;
    eprintln!("publishing {} instruments on {}", args.instruments.len(), args.endpoint);

    let calendar = TokioRuntime::new();
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let mut walks: Vec<Walk> =
        args.instruments.iter().map(|(exchange, symbol)| Walk::new(exchange, symbol)).collect();
    let mut pace = interval(Duration::from_secs_f64(1.0 / args.rate));
    let mut published = 0_u64;
    while args.count.is_none_or(|count| published < count) {
        pace.tick().await;
        for walk in &mut walks {
            walk.step(&mut random);
            socket.send(walk.message(args.mode, calendar.unix_ms())).await?;
        }
        published += 1;
        // Its PUB does not connect again by itself.
        while let Ok(event) = monitor.try_recv() {
            if !args.bind && matches!(event, SocketEvent::Disconnected(_)) {
                eprintln!("the gateway is gone; connecting again");
                socket = open(&args).await?;
                monitor = socket.monitor();
            }
        }
    }
    sleep(CLOSE_WAIT).await;
    for error in socket.close().await {
        eprintln!("while closing: {error}");
    }
    eprintln!("published {published} ticks of each instrument");
    Ok(())
}

/// A socket that the gateway can hear.
async fn open(args: &Args) -> Result<PubSocket, Box<dyn Error>> {
    let mut socket = PubSocket::new();
    if args.bind {
        socket.bind(&args.endpoint).await?;
    } else {
        timeout(CONNECT_WAIT, socket.connect(&args.endpoint))
            .await
            .map_err(|_| format!("nobody listens on {}", args.endpoint))??;
    }
    Ok(socket)
}

/// One instrument's day. Prices in hundredths.
struct Walk {
    exchange: String,
    symbol: String,
    open: i64,
    high: i64,
    low: i64,
    last: i64,
    volume: u64,
}

impl Walk {
    fn new(exchange: &str, symbol: &str) -> Self {
        let open = 100_000;
        let (exchange, symbol) = (exchange.into(), symbol.into());
        Self { exchange, symbol, open, high: open, low: open, last: open, volume: 0 }
    }

    fn step(&mut self, random: &mut ChaCha8Rng) {
        self.last = (self.last + 5 * random.random_range(-10..=10)).max(100);
        self.high = self.high.max(self.last);
        self.low = self.low.min(self.last);
        self.volume += random.random_range(1..=100);
    }

    fn message(&self, mode: Mode, now_ms: u64) -> ZmqMessage {
        let (segment, payload) = match mode {
            Mode::Ltp => ("LTP", json!({ "ltp": rupees(self.last), "timestamp": now_ms })),
            Mode::Quote => ("QUOTE", self.quote(now_ms)),
            Mode::Depth => {
                let mut payload = self.quote(now_ms);
                payload["depth"] = json!({ "buy": self.levels(-5), "sell": self.levels(5) });
                ("DEPTH", payload)
            }
        };
        let topic = format!("{}_{}_{segment}", self.exchange, self.symbol);
        let mut message = ZmqMessage::from(topic);
        message.push_back(payload.to_string().into());
        message
    }

    fn quote(&self, now_ms: u64) -> Value {
        json!({
            "ltp": rupees(self.last),
            "open": rupees(self.open),
            "high": rupees(self.high),
            "low": rupees(self.low),
            "close": rupees(self.open),
            "volume": self.volume,
            "timestamp": now_ms,
        })
    }

    fn levels(&self, step: i64) -> Vec<Value> {
        (1..=5)
            .map(|level| {
                let price = rupees(self.last + step * level);
                json!({ "price": price, "quantity": 100 * level, "orders": level })
            })
            .collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "prices are small")]
fn rupees(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}
