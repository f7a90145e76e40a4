//! For whom a proxy stands.
//!
//! Each proxy appends to `X-Forwarded-For` whom it got the request from. So the last entry is what
//! the proxy that speaks to us saw; what lies before it is true only if that is a trusted proxy
//! too. The first from the right that is none is the client; what is left of it anybody can make
//! up.

use std::net::IpAddr;

use hyper::HeaderMap;
use ipnet::IpNet;

/// The header that proxies append to.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Headers by which a request shows that it came through a proxy, trusted or not.
const SIGNS_OF_A_PROXY: [&str; 4] = [FORWARDED_FOR, "forwarded", "x-real-ip", "via"];

/// Entries that are looked at; nobody has so many proxies.
const ENTRIES_MAX: usize = 16;

/// Networks of proxies that are believed.
#[must_use]
pub(super) fn trusted(configured: &[String]) -> Vec<IpNet> {
    let network = |text: &String| {
        text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
    };
    configured.iter().filter_map(network).collect()
}

/// Whether this address is that of a trusted proxy.
#[must_use]
pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// Whether the request came through some proxy.
#[must_use]
pub(super) fn came_through_a_proxy(headers: &HeaderMap) -> bool {
    SIGNS_OF_A_PROXY.iter().any(|name| headers.contains_key(*name))
}

/// The client for whom a trusted proxy stands; `proxy` itself if it does not say.
///
/// `None`: what it says is no list of addresses. Refuse the request.
#[must_use]
pub(super) fn client_of(headers: &HeaderMap, trusted: &[IpNet], proxy: IpAddr) -> Option<IpAddr> {
    let mut client = proxy;
    let values = headers.get_all(FORWARDED_FOR).iter().collect::<Vec<_>>();
    let mut entries = 0;
    for value in values.into_iter().rev() {
        for entry in value.to_str().ok()?.rsplit(',') {
            entries += 1;
            if entries > ENTRIES_MAX {
                return None;
            }
            client = address(entry.trim())?.to_canonical();
            if !is_trusted(trusted, client) {
                return Some(client);
            }
        }
    }
    Some(client)
}

/// An address, which some proxies give with its port.
fn address(entry: &str) -> Option<IpAddr> {
    let plain = entry.parse().ok();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain.or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, value.parse().expect("a header"));
        }
        let trusted = trusted(&["10.0.0.0/8".into(), "::1".into()]);
        let proxy = IpAddr::from([10, 0, 0, 1]);
        client_of(&headers, &trusted, proxy).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_no_trusted_proxy() {
        for (values, expected) in [
            (&["1.2.3.4"][..], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4,10.1.1.1", "10.2.2.2"], "1.2.3.4"),
            (&["::ffff:1.2.3.4"], "1.2.3.4"),
            (&["1.2.3.4:5678"], "1.2.3.4"),
            (&["[2001:db8::1]:5678"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["10.1.1.1"], "10.1.1.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(values).as_deref(), Some(expected), "{values:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_addresses_is_refused() {
        let long = ["10.1.1.1"; ENTRIES_MAX + 1].join(",");
        for value in ["", "unknown", "1.2.3.4,", "1.2.3.4 5.6.7.8", "example.com", &long] {
            assert_eq!(client(&[value]), None, "{value:?}");
        }
    }
}
