//! The gateway's sockets.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::gateway::{Addresses, StartError};
use crate::config::{ChannelEntry, Config, TopicPattern};
use crate::engine::always_wanted;
use crate::runtime::{Listener, Runtime};
use crate::zmtp::{self, Sub};

/// The `bus.subscribe` by which publishers are asked for what is wanted alone.
pub(super) const WANTED: &str = "wanted";

/// The gateway's sockets, bound.
pub(super) struct Sockets<R: Runtime> {
    pub websocket: R::Listener,
    pub admin: Option<R::Listener>,
    pub bus: Sub,
    pub addresses: Addresses,
}

/// Binds every socket that a configuration names.
///
/// # Errors
///
/// Fails if one cannot be bound or its address makes no sense.
pub(super) async fn bind<R: Runtime>(
    runtime: &R,
    config: &Config,
) -> Result<Sockets<R>, StartError> {
    let (websocket, websocket_addr) =
        bind_one(runtime, &config.server.listen, "server.listen").await?;
    let (admin, admin_addr) = match config.admin.listen.as_str() {
        "" => (None, None),
        address => {
            let (listener, bound) = bind_one(runtime, address, "admin.listen").await?;
            (Some(listener), Some(bound))
        }
    };
    let bus = &config.bus;
    let options = zmtp_options(config);
    let prefixes = prefixes(config);
    let (bind, connect) = (endpoints(&bus.bind)?, endpoints(&bus.connect)?);
    let sub = Sub::start(runtime, options, &bind, &connect, &prefixes);
    let sub = sub.await.map_err(|error| StartError::Bind {
        address: error.address,
        key: "bus.bind",
        error: error.source,
    })?;
    let addresses =
        Addresses { websocket: websocket_addr, bus: sub.bound().to_vec(), admin: admin_addr };
    Ok(Sockets { websocket, admin, bus: sub, addresses })
}

/// What publishers are asked for from the start.
pub(super) fn prefixes(config: &Config) -> Vec<Bytes> {
    if config.bus.subscribe != WANTED {
        return vec![Bytes::new()];
    }
    let brokers = config.effective_brokers();
    let brokers: Vec<&str> = brokers.iter().map(|broker| broker.name.as_str()).collect();
    let mut prefixes = always_wanted(brokers.iter().copied());
    prefixes.extend(config.bus.prefixes.iter().map(|prefix| Bytes::from(prefix.clone())));
    // What a broadcast picks by the beginning of its symbol is nobody's want.
    for pattern in config.channel.iter().flat_map(ChannelEntry::patterns) {
        let TopicPattern::Wild { exchange, prefix, .. } = pattern else { continue };
        let plain = format!("{exchange}_{prefix}");
        prefixes.extend(brokers.iter().map(|broker| format!("{broker}_{plain}").into()));
        prefixes.push(plain.into());
    }
    prefixes
}

async fn bind_one<R: Runtime>(
    runtime: &R,
    address: &str,
    key: &'static str,
) -> Result<(R::Listener, SocketAddr), StartError> {
    let failed = |error| StartError::Bind { address: address.to_owned(), key, error };
    let listener = runtime.bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// `tcp://host:port` to `host:port`.
fn endpoints(addresses: &[String]) -> Result<Vec<String>, StartError> {
    let parsed = addresses.iter().map(|address| zmtp::parse_endpoint(address));
    parsed.collect::<Result<_, _>>().map_err(|error| StartError::Config(error.to_string()))
}

fn zmtp_options(config: &Config) -> zmtp::Options {
    let bus = &config.bus;
    zmtp::Options {
        heartbeat_interval: Duration::from_millis(bus.heartbeat_interval_ms),
        heartbeat_timeout: Duration::from_millis(bus.heartbeat_interval_ms * 3),
        handshake_timeout: Duration::from_millis(bus.handshake_timeout_ms),
        reconnect_min: Duration::from_millis(bus.reconnect_min_ms),
        reconnect_max: Duration::from_millis(bus.reconnect_max_ms),
        frame_bytes_max: bus.frame_bytes_max,
        message_bytes_max: bus.frame_bytes_max,
        ..zmtp::Options::default()
    }
}
