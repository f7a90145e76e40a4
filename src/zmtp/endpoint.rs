//! ZeroMQ's way of writing an address.

/// Why a text is not an endpoint that this gateway can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// Something else than `tcp://`.
    #[error("`{0}` does not begin with tcp://")]
    NotTcp(String),
    /// No port, or not a number up to 65535.
    #[error("`{0}` has no valid port (tcp://host:port)")]
    BadPort(String),
    /// No host, or one with characters that no host name has.
    #[error("`{0}` has no valid host (tcp://host:port)")]
    BadHost(String),
}

/// Turns `tcp://host:port` into `host:port`.
///
/// As in ZeroMQ, the host `*` means every interface (`0.0.0.0`) and the port `*` means a free
/// one (0). An IPv6 address stands in brackets.
///
/// # Errors
///
/// Fails if the text is anything else. The message names the text and what is expected.
pub fn parse_endpoint(endpoint: &str) -> Result<String, BadEndpoint> {
    let address =
        endpoint.strip_prefix("tcp://").ok_or_else(|| BadEndpoint::NotTcp(endpoint.into()))?;
    let (host, port) =
        address.rsplit_once(':').ok_or_else(|| BadEndpoint::BadPort(endpoint.into()))?;
    let port = match port {
        "*" => 0,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<u16>().map_err(|_| BadEndpoint::BadPort(endpoint.into()))?
        }
        _ => return Err(BadEndpoint::BadPort(endpoint.into())),
    };
    let host = if host == "*" { "0.0.0.0" } else { host };
    if !is_host(host) {
        return Err(BadEndpoint::BadHost(endpoint.into()));
    }
    Ok(format!("{host}:{port}"))
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_becomes_an_address() {
        for (endpoint, address) in [
            ("tcp://127.0.0.1:5555", "127.0.0.1:5555"),
            ("tcp://feed-1.internal:1", "feed-1.internal:1"),
            ("tcp://*:5555", "0.0.0.0:5555"),
            ("tcp://127.0.0.1:*", "127.0.0.1:0"),
            ("tcp://[::1]:5555", "[::1]:5555"),
        ] {
            assert_eq!(parse_endpoint(endpoint).as_deref(), Ok(address));
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (endpoint, reason) in [
            ("127.0.0.1:5555", "does not begin with tcp://"),
            ("ipc:///tmp/feed", "does not begin with tcp://"),
            ("tcp://127.0.0.1", "no valid port"),
            ("tcp://127.0.0.1:", "no valid port"),
            ("tcp://127.0.0.1:+1", "no valid port"),
            ("tcp://127.0.0.1:65536", "no valid port"),
            ("tcp://:5555", "no valid host"),
            ("tcp://a b:5555", "no valid host"),
            ("tcp://::1:5555", "no valid host"),
            ("tcp://192.168.1.1;10.0.0.1:5555", "no valid host"),
        ] {
            let error = parse_endpoint(endpoint).expect_err(endpoint).to_string();
            assert!(error.contains(reason) && error.contains(endpoint), "{error}");
        }
    }
}
