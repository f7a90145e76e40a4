//! A publisher of ticks on the `zeromq` crate: what a broker adapter has to do, and no more.
//!
//! `cargo run --example publisher [tcp://HOST:PORT]` publishes two made-up instruments at a
//! gateway's bus, by default the one of this machine. Watch them with
//! `tickgate tail DEMO:SINE DEMO:SAW`. (The paper market has a price for every symbol that is
//! subscribed: with it as the broker, its ticks come in between.)

use std::error::Error;
use std::time::{Duration, SystemTime};

use zeromq::{PubSocket, Socket, SocketSend, ZmqMessage};

/// Pause between two ticks of an instrument.
const PACE: Duration = Duration::from_millis(200);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:5555".into());
    let mut socket = PubSocket::new();
    // The gateway binds and publishers connect, whichever starts first.
    socket.connect(&bus).await?;
    println!("publishing DEMO:SINE and DEMO:SAW at {bus}, Ctrl-C ends");

    let mut ticker = tokio::time::interval(PACE);
    for step in 0_u32.. {
        ticker.tick().await;
        let sine = 1_000.0 + 10.0 * (f64::from(step) / 10.0).sin();
        let saw = 500.0 + f64::from(step % 40) / 4.0;
        for (symbol, price) in [("SINE", sine), ("SAW", saw)] {
            socket.send(tick("DEMO", symbol, price)).await?;
        }
    }
    Ok(())
}

/// Two parts: `EXCHANGE_SYMBOL_MODE`, and a JSON object that reaches the clients as it is.
fn tick(exchange: &str, symbol: &str, price: f64) -> ZmqMessage {
    let topic = format!("{exchange}_{symbol}_LTP");
    let payload = format!(r#"{{"ltp":{price:.2},"timestamp":{}}}"#, unix_ms());
    let mut message = ZmqMessage::from(topic);
    message.push_back(payload.into());
    message
}

fn unix_ms() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis())
}
