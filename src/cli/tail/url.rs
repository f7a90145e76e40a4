//! Where a gateway is: `ws://host:port/path`, or `wss://` with TLS.

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
    /// Whether the gateway is asked for TLS.
    pub tls: bool,
}

impl Url {
    /// Parses `ws://host[:port][/path]`, or `wss://…`; without a port it is 8765 for both.
    ///
    /// # Errors
    ///
    /// Fails with what is wrong, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("ws" | "wss"), rest)) => (scheme, rest),
            Some((scheme, rest)) => {
                let near = if scheme == "https" { "wss" } else { "ws" };
                return Err(format!(
                    "{scheme}:// is not a WebSocket; did you mean {near}://{rest}?"
                ));
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
        let text = format!("{scheme}://{authority}{slash}{path}");
        text.parse::<Uri>().map_err(|error| error.to_string())?;
        Ok(Self { text, address, tls: scheme == "wss" })
    }

    /// As it can be shown: a query may be a token.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.text.split_once('?') {
            Some((before, _)) => format!("{before}?***"),
            None => self.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let shown = |text| Url::parse(text).map(|url| url.shown());
        assert_eq!(shown("ws://a/x?token=tgt_1"), Ok("ws://a:8765/x?***".into()));
        assert_eq!(shown("ws://a/x"), Ok("ws://a:8765/x".into()));
    }

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
            ("wss://gateway", "wss://gateway:8765/", "gateway:8765"),
            ("wss://[::1]:443/a", "wss://[::1]:443/a", "[::1]:443"),
        ] {
            assert_eq!(parse(text), Ok((whole.into(), address.into())), "{text}");
            assert_eq!(Url::parse(text).map(|url| url.tls), Ok(text.starts_with("wss")));
        }
    }

    #[test]
    fn what_is_no_websocket_is_told_with_what_to_write() {
        for (text, hint) in [
            ("wss://key@a", "does not belong in the URL"),
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
