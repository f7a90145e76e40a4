//! Where a web page comes from.

use std::fmt;
use std::net::IpAddr;

/// Scheme, host and port of a page, as browsers send them in `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    /// In lower case; an IPv6 address without its brackets.
    host: String,
    port: u16,
}

/// Text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is scheme://host or scheme://host:port, as https://example.com")]
pub struct BadOrigin;

impl Origin {
    /// Reads `scheme://host[:port]`. The port of http and https may be left out.
    ///
    /// # Errors
    ///
    /// Fails for everything else, `null` and paths included.
    pub fn parse(text: &str) -> Result<Self, BadOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(BadOrigin)?;
        let scheme = scheme.to_ascii_lowercase();
        let of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if scheme.is_empty() || !scheme.chars().all(of_scheme) {
            return Err(BadOrigin);
        }
        let (host, port) = host_and_port(rest).ok_or(BadOrigin)?;
        let port = match (port, scheme.as_str()) {
            (Some(port), _) => port,
            (None, "https") => 443,
            (None, "http") => 80,
            (None, _) => return Err(BadOrigin),
        };
        Ok(Self { scheme, host, port })
    }

    /// Whether it is on the machine of whoever looks at it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// Whether it is on the host that a request's `Host` header names, on whatever port.
    #[must_use]
    pub fn is_on(&self, host: &str) -> bool {
        host_and_port(host).is_some_and(|(host, _)| host == self.host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = self.host.contains(':');
        let (open, close) = if brackets { ("[", "]") } else { ("", "") };
        write!(f, "{}://{open}{}{close}:{}", self.scheme, self.host, self.port)
    }
}

/// `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').or(Some(rest).filter(|rest| rest.is_empty()))?)
        }
        None => match text.split_once(':') {
            Some((_, "")) => return None,
            Some((host, port)) => (host, port),
            None => (text, ""),
        },
    };
    let of_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || !host.chars().all(of_host) {
        return None;
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        "" => None,
        port if digits => Some(port.parse().ok()?),
        _ => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_in_one_way() {
        for (text, shown) in [
            ("https://Example.com", "https://example.com:443"),
            ("HTTP://example.com", "http://example.com:80"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
            ("app://tauri.localhost:1", "app://tauri.localhost:1"),
        ] {
            let origin = Origin::parse(text).expect(text);
            assert_eq!(origin.to_string(), shown);
            assert_eq!(Origin::parse(shown), Ok(origin));
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "null",
            "*",
            "example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a:",
            "https://a:x",
            "https://a:+1",
            "https://a:99999",
            "https://u@a",
            "https://a b",
            "://a",
            "https://a,https://b",
            "https://[::1",
            "https://[x]",
            "https://[::1]x",
            "file://",
            "ext://a",
            "https://ä.de",
            "https://a?b",
            "https://a:1:2",
        ] {
            assert_eq!(Origin::parse(text), Err(BadOrigin), "{text:?}");
        }
    }

    #[test]
    fn loopback_and_the_same_host_are_told_by_the_host_alone() {
        let origin = |text| Origin::parse(text).expect(text);
        for text in
            ["http://localhost:3000", "https://127.9.9.9", "http://[::1]", "http://a.localhost"]
        {
            assert!(origin(text).is_loopback(), "{text}");
        }
        for text in ["http://localhost.evil.com", "http://127.0.0.1.evil.com", "http://10.0.0.1"] {
            assert!(!origin(text).is_loopback(), "{text}");
        }
        let page = origin("https://gate.example.com");
        assert!(page.is_on("gate.example.com:8765") && page.is_on("GATE.example.com"));
        assert!(!page.is_on("example.com") && !page.is_on("") && !page.is_on("gate.example.com:x"));
        assert!(origin("http://[::1]:80").is_on("[::1]:8765"));
    }
}
