//! What `serve` says when it is ready.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::check::{brokers, scheme};
use super::tail::Url;
use crate::auth::DEMO_KEY;
use crate::config::Config;
use crate::server::Addresses;

/// The addresses, and the command to type next. `program` is how this one was called.
pub(super) fn welcome(config: &Config, reached: &Addresses, program: &str) -> String {
    let mut text = format!("tickgate {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line("clients", &format!("{}://{}", scheme(config), reached.websocket));
    let bound = reached.bus.iter().map(|address| format!("tcp://{address}"));
    let connected = config.bus.connect.iter().map(|address| format!("to {address}"));
    line("publishers", &bound.chain(connected).collect::<Vec<_>>().join(", "));
    if let Some(admin) = reached.admin {
        line("operators", &format!("http://{admin}/status"));
    }
    line("brokers", &brokers(config));
    if config.auth.demo_key {
        line("demo key", &format!("{DEMO_KEY} (from this machine alone)"));
    }
    let _ = write!(
        text,
        "\nWatch prices, in another terminal:\n  {}\n\nCtrl-C ends.\n",
        tail_command(config, reached.websocket, program)
    );
    text
}

fn tail_command(config: &Config, websocket: SocketAddr, program: &str) -> String {
    let local = from_here(websocket);
    let default = Url::parse("ws://127.0.0.1:8765").map(|url| url.address.to_string());
    let url = match default {
        Ok(address) if address == local.to_string() && scheme(config) == "ws" => String::new(),
        Ok(_) | Err(_) => format!(" --url {}://{local}", scheme(config)),
    };
    let key =
        if config.auth.demo_key && local.ip().is_loopback() { "" } else { "TICKGATE_KEY=… " };
    format!("{key}{program} tail NSE:RELIANCE NSE_INDEX:NIFTY --mode quote{url}")
}

/// The address under which this machine reaches a socket that it has bound.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(websocket: &str) -> Addresses {
        Addresses {
            websocket: websocket.parse().expect("address"),
            bus: vec!["127.0.0.1:5555".parse().expect("address")],
            admin: Some("127.0.0.1:8766".parse().expect("address")),
        }
    }

    #[test]
    fn the_next_command_can_be_typed_as_it_is_shown() {
        let config = Config::default();
        insta::assert_snapshot!(welcome(&config, &reached("127.0.0.1:8765"), "tickgate"));
    }

    #[test]
    fn the_next_command_names_what_is_not_the_default() {
        let mut config = Config::default();
        let shown = |config: &Config, at: &str| {
            tail_command(config, at.parse().expect("address"), "./tickgate")
        };
        assert_eq!(
            shown(&config, "0.0.0.0:9000"),
            "./tickgate tail NSE:RELIANCE NSE_INDEX:NIFTY --mode quote --url ws://127.0.0.1:9000"
        );
        config.auth.demo_key = false;
        assert_eq!(
            shown(&config, "[::]:8765"),
            "TICKGATE_KEY=… ./tickgate tail NSE:RELIANCE NSE_INDEX:NIFTY --mode quote \
             --url ws://[::1]:8765"
        );
    }
}
