//! Where a gateway is: `ws://host:port/path`.

use tokio_tungstenite::tungstenite::http::Uri;

use crate::config::Address;

/// Port of a gateway whose URL names none.
const DEFAULT_PORT: u16 = 8765;

/// The URL of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// As it is sent in the request.
    pub text: String,
    /// What to connect to.
    pub address: Address,
}

impl Url {
    /// Parses `ws://host[:port][/path]`; without a port it is 8765.
    ///
    /// # Errors
    ///
    /// Fails with what is wrong, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("ws", rest)) => rest,
            Some(("wss", _)) => {
                return Err(
                    "wss:// (TLS) is not supported yet; use ws://, or a tunnel to another \
                            machine"
                        .into(),
                );
            }
            Some((scheme, rest)) => {
                return Err(format!("{scheme}:// is not a WebSocket; did you mean ws://{rest}?"));
            }
            None => return Err(format!("ws:// is missing; did you mean ws://{text}?")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a key does not belong in the URL; use --key or TICKGATE_KEY".into());
        }
        let port = format!(":{DEFAULT_PORT}");
        let has_port = authority.rsplit_once(']').map_or(authority, |(_, port)| port).contains(':');
        let authority = format!("{authority}{}", if has_port { "" } else { &port });
        let address = Address::parse(&authority).map_err(|reason| reason.to_string())?;
        if address.port == 0 {
            return Err("port 0 cannot be connected to".into());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let text = format!("ws://{authority}{slash}{path}");
        text.parse::<Uri>().map_err(|error| error.to_string())?;
        Ok(Self { text, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String), String> {
        Url::parse(text).map(|url| (url.text, url.address.to_string()))
    }

    #[test]
    fn the_port_and_the_path_may_be_left_out() {
        for (text, whole, address) in [
            ("ws://127.0.0.1:9000", "ws://127.0.0.1:9000/", "127.0.0.1:9000"),
            ("ws://gateway", "ws://gateway:8765/", "gateway:8765"),
            ("ws://[::1]", "ws://[::1]:8765/", "[::1]:8765"),
            ("ws://[::1]:9/a?b=c", "ws://[::1]:9/a?b=c", "[::1]:9"),
            ("ws://a:1?b", "ws://a:1/?b", "a:1"),
        ] {
            assert_eq!(parse(text), Ok((whole.into(), address.into())), "{text}");
        }
    }

    #[test]
    fn what_is_no_websocket_is_told_with_what_to_write() {
        for (text, hint) in [
            ("wss://a", "not supported yet"),
            ("http://a:1", "did you mean ws://a:1?"),
            ("127.0.0.1:8765", "did you mean ws://127.0.0.1:8765?"),
            ("ws://key@a", "does not belong in the URL"),
            ("ws://", "the host is missing"),
            ("ws://a:0", "port 0"),
            ("ws://a:99999", "between 0 and 65535"),
            ("ws://a/\u{7f}", ""),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
