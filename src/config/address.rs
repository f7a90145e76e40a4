//! `host:port` and `tcp://host:port` as the configuration writes them.

use std::fmt;
use std::net::IpAddr;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name or an IP address, IPv6 without brackets.
    pub host: String,
    /// 0 where a free port is to be chosen.
    pub port: u16,
}

/// Why a text is not an address; a fragment that follows "got …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Nothing at all.
    #[error("empty")]
    Empty,
    /// A URL where `host:port` was wanted.
    #[error("leave out `{0}`")]
    Scheme(String),
    /// No `tcp://` where one was wanted.
    #[error("it must begin with `tcp://`")]
    NotTcp,
    /// No colon.
    #[error("the port is missing")]
    NoPort,
    /// Not a number up to 65535.
    #[error("the port is not a number between 0 and 65535")]
    BadPort,
    /// Nothing before the colon.
    #[error("the host is missing; 127.0.0.1 is this machine alone, 0.0.0.0 every interface")]
    NoHost,
    /// The ZeroMQ way to write every interface.
    #[error("write 0.0.0.0 instead of `*`")]
    Star,
    /// An IPv6 address without brackets, so that the port cannot be told from it.
    #[error("put an IPv6 address in brackets, as in [::1]:8765")]
    NoBrackets,
    /// A character that no host name has.
    #[error("the host holds a character that does not belong there")]
    BadHost,
}

impl Address {
    /// Parses `host:port`.
    ///
    /// # Errors
    ///
    /// Fails if there is no host, no port, or more than that.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if text.is_empty() {
            return Err(BadAddress::Empty);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(BadAddress::Scheme(format!("{scheme}://")));
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadAddress::NoPort)?;
        if !port.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(BadAddress::BadPort);
        }
        let port = port.parse().map_err(|_| BadAddress::BadPort)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(BadAddress::BadHost),
            None if host.is_empty() => return Err(BadAddress::NoHost),
            None if host == "*" => return Err(BadAddress::Star),
            None if host.contains(':') => return Err(BadAddress::NoBrackets),
            None if host.bytes().all(is_host_byte) => host,
            None => return Err(BadAddress::BadHost),
        };
        Ok(Self { host: host.to_owned(), port })
    }

    /// Parses `tcp://host:port`.
    ///
    /// # Errors
    ///
    /// As [`Address::parse`], and if the scheme is missing or another.
    pub fn parse_tcp(text: &str) -> Result<Self, BadAddress> {
        if text.is_empty() {
            return Err(BadAddress::Empty);
        }
        Self::parse(text.strip_prefix("tcp://").ok_or(BadAddress::NotTcp)?)
    }

    /// Whether only this machine can be reached there. A name other than `localhost` counts as
    /// another machine: what it resolves to can change.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_was_written() {
        for text in ["127.0.0.1:0", "localhost:8765", "[::1]:65535", "feed-1.example:5555"] {
            assert_eq!(Address::parse(text).map(|address| address.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn each_mistake_has_its_own_reason() {
        use BadAddress as Bad;
        for (text, reason) in [
            ("", Bad::Empty),
            ("8765", Bad::NoPort),
            ("localhost", Bad::NoPort),
            (":8765", Bad::NoHost),
            ("*:8765", Bad::Star),
            ("localhost:", Bad::BadPort),
            ("localhost:+80", Bad::BadPort),
            ("localhost:65536", Bad::BadPort),
            ("localhost:80 ", Bad::BadPort),
            ("::1:8765", Bad::NoBrackets),
            ("[x]:8765", Bad::BadHost),
            ("a b:8765", Bad::BadHost),
            ("ws://127.0.0.1:8765", Bad::Scheme("ws://".into())),
        ] {
            assert_eq!(Address::parse(text), Err(reason), "{text:?}");
        }
        assert_eq!(Address::parse_tcp("127.0.0.1:5555"), Err(Bad::NotTcp));
        assert_eq!(Address::parse_tcp("ipc:///tmp/x"), Err(Bad::NotTcp));
    }

    #[test]
    fn loopback_is_told_from_everything_else() {
        let loopback =
            |text| Address::parse(text).is_ok_and(|address: Address| address.is_loopback());
        for text in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "LocalHost:1"]
        {
            assert!(loopback(text), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example:1"] {
            assert!(!loopback(text), "{text}");
        }
    }
}
