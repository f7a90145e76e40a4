//! What upgrade requests show, and what of it gets into a log.

use hyper::header::{
    AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL,
};
use hyper::{HeaderMap, Uri};
use proptest::prelude::*;
use tickgate::auth::{
    BadPresentation, Presented, SUBPROTOCOL, Way, origin_allowed, presented, redact_uri,
    subprotocol,
};

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, HeaderValue::from_str(value).expect("a header"));
    }
    headers
}

fn uri(text: &str) -> Uri {
    text.parse().expect("a URI")
}

fn shown(pairs: &[(HeaderName, &str)], at: &str) -> Result<Option<(String, Way)>, BadPresentation> {
    let found = presented(&headers(pairs), &uri(at), "tickgate_token")?;
    Ok(found.map(|Presented { secret, way }| (secret.as_str().to_owned(), way)))
}

fn is(secret: &str, way: Way) -> Result<Option<(String, Way)>, BadPresentation> {
    Ok(Some((secret.to_owned(), way)))
}

#[test]
fn each_way_of_showing_a_credential_is_understood() {
    assert_eq!(shown(&[], "/"), Ok(None));
    assert_eq!(shown(&[(AUTHORIZATION, "Bearer a.b-c_d")], "/"), is("a.b-c_d", Way::Bearer));
    assert_eq!(shown(&[(AUTHORIZATION, "bEARER  x ")], "/"), is("x", Way::Bearer));
    for cookie in ["tickgate_token=x", "a=b; tickgate_token=x; c", "tickgate_token=\"x\"; b=ü"] {
        assert_eq!(shown(&[(COOKIE, cookie)], "/"), is("x", Way::Cookie), "{cookie}");
    }
    for offered in ["tickgate, bearer.x", "bearer.x,tickgate", "chat , tickgate , bearer.x"] {
        let offered = (SEC_WEBSOCKET_PROTOCOL, offered);
        assert_eq!(shown(&[offered], "/"), is("x", Way::Subprotocol));
    }
    let lines = [(SEC_WEBSOCKET_PROTOCOL, "tickgate"), (SEC_WEBSOCKET_PROTOCOL, "bearer.x")];
    assert_eq!(shown(&lines, "/"), is("x", Way::Subprotocol), "in two lines");
    for at in ["/?token=x", "/ws?a=b&token=x&c", "/?%74oken=%78"] {
        assert_eq!(shown(&[], at), is("x", Way::Query), "{at}");
    }
}

#[test]
fn what_is_none_of_ours_is_passed_over() {
    for pair in [
        (AUTHORIZATION, "Basic YTpi"),
        (AUTHORIZATION, "Bearers x"),
        (COOKIE, "tickgate_token2=x; xtickgate_token=y; TICKGATE_TOKEN=z"),
        (COOKIE, "tickgate_token"),
        (SEC_WEBSOCKET_PROTOCOL, "tickgate, xbearer.x, Bearer.y"),
    ] {
        assert_eq!(shown(std::slice::from_ref(&pair), "/"), Ok(None), "{pair:?}");
    }
    for at in ["/?api_key=x", "/?TOKEN=x", "/token=x", "/?tokens=x"] {
        assert_eq!(shown(&[], at), Ok(None), "{at}");
    }
}

#[test]
fn two_that_differ_are_refused_and_two_that_are_the_same_are_one() {
    let ways = [
        (AUTHORIZATION, "Bearer x", "/"),
        (COOKIE, "tickgate_token=x", "/"),
        (SEC_WEBSOCKET_PROTOCOL, "tickgate, bearer.x", "/"),
        (HOST, "h", "/?token=x"),
    ];
    let others = [
        (AUTHORIZATION, "Bearer y", "/"),
        (COOKIE, "tickgate_token=y", "/"),
        (SEC_WEBSOCKET_PROTOCOL, "tickgate, bearer.y", "/"),
        (HOST, "h", "/?token=y"),
    ];
    for (name, value, at) in &ways {
        for (other_name, other_value, other_at) in &others {
            let pairs = [(name.clone(), *value), (other_name.clone(), *other_value)];
            let at = match (at.strip_prefix("/?"), other_at.strip_prefix("/?")) {
                (Some(one), Some(other)) => format!("/?{one}&{other}"),
                (Some(one), None) | (None, Some(one)) => format!("/?{one}"),
                (None, None) => "/".to_owned(),
            };
            let result = shown(&pairs, &at);
            assert_eq!(result, Err(BadPresentation::Ambiguous), "{pairs:?} {at}");
        }
    }
    let pairs = ways.clone().map(|(name, value, _)| (name, value));
    assert_eq!(shown(&pairs, "/?token=x&token=x"), is("x", Way::Bearer));
}

#[test]
fn what_is_no_credential_is_refused() {
    let long = "x".repeat(8_193);
    for (name, value) in [
        (AUTHORIZATION, "Bearer".to_owned()),
        (AUTHORIZATION, "Bearer ".to_owned()),
        (AUTHORIZATION, "Bearer a b".to_owned()),
        (AUTHORIZATION, format!("Bearer {long}")),
        (COOKIE, "tickgate_token=".to_owned()),
        (COOKIE, "tickgate_token=\"\"".to_owned()),
        (COOKIE, "tickgate_token=a b".to_owned()),
        (SEC_WEBSOCKET_PROTOCOL, "bearer.x".to_owned()),
        (SEC_WEBSOCKET_PROTOCOL, "tickgate, bearer.".to_owned()),
    ] {
        let result = shown(&[(name, &value)], "/");
        assert!(matches!(result, Err(BadPresentation::Malformed(_))), "{value}");
    }
    for at in [
        "/?token=",
        "/?token",
        "/?token=%",
        "/?token=%4",
        "/?token=%zz",
        "/?token=%ff",
        "/?token=%00",
        "/?token=a%20b",
        "/?a&token=",
    ] {
        assert!(matches!(shown(&[], at), Err(BadPresentation::Malformed(_))), "{at}");
    }
}

#[test]
fn only_our_own_subprotocol_is_answered_with() {
    let answer = |offered| {
        let headers = headers(&[(SEC_WEBSOCKET_PROTOCOL, offered)]);
        subprotocol(&headers).expect("text")
    };
    assert_eq!(answer("bearer.x, tickgate").expect("offered"), SUBPROTOCOL);
    assert_eq!(answer("bearer.x"), None);
    assert_eq!(answer("chat, Tickgate"), None);
    assert_eq!(subprotocol(&HeaderMap::new()), Ok(None));
}

#[test]
fn a_uri_in_a_log_shows_no_value() {
    for (at, logged) in [
        ("/ws?token=hush", "/ws?***"),
        ("/ws?hush", "/ws?***"),
        ("/?api_key=hush&x=hush", "/?***"),
        ("/ws", "/ws"),
        ("http://user:hush@host/ws?hush", "/ws?***"),
    ] {
        assert_eq!(redact_uri(&uri(at)), logged);
    }
    assert_eq!(redact_uri(&uri(&format!("/{}", "x".repeat(500)))).chars().count(), 201);
}

fn from_page(origin: &str, host: &str, allowed: &[&str]) -> bool {
    let allowed: Vec<_> = allowed.iter().map(|one| (*one).to_owned()).collect();
    origin_allowed(&headers(&[(ORIGIN, origin), (HOST, host)]), &allowed)
}

#[test]
fn without_a_list_pages_of_the_same_host_and_of_this_machine_may_connect() {
    let allowed = |origin, host| from_page(origin, host, &[]);
    assert!(origin_allowed(&HeaderMap::new(), &[]), "no browser");
    assert!(allowed("http://localhost:3000", "gate:8765"));
    assert!(allowed("http://127.0.0.1:5000", "127.0.0.1:8765"));
    assert!(allowed("http://[::1]:5000", "gate:8765"));
    assert!(allowed("https://gate.example.com", "gate.example.com:8765"));
    assert!(!allowed("https://evil.com", "127.0.0.1:8765"));
    assert!(!allowed("https://example.com", "gate.example.com"));
    assert!(!allowed("https://gate.example.com.evil.com", "gate.example.com"));
    assert!(!allowed("null", "gate:8765"));
    assert!(!allowed("", "gate:8765"));
    let two = [(ORIGIN, "http://localhost"), (ORIGIN, "https://evil.com")];
    assert!(!origin_allowed(&headers(&two), &[]));
}

#[test]
fn a_list_of_pages_is_exact_and_complete() {
    let allowed =
        |origin| from_page(origin, "gate:8765", &["https://app.example.com", "http://a:1"]);
    assert!(allowed("https://app.example.com"));
    assert!(allowed("https://APP.example.com:443"));
    assert!(allowed("http://a:1"));
    for other in [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://example.com",
        "https://xapp.example.com",
        "http://localhost:3000",
        "http://gate:8765",
        "null",
    ] {
        assert!(!allowed(other), "{other}");
    }
    assert!(origin_allowed(&HeaderMap::new(), &["https://a".to_owned()]), "no browser");
    assert!(from_page("null", "gate", &["*"]) && from_page("https://evil.com", "gate", &["*"]));
}

/// Which header, and what stands in it behind the usual beginning.
fn lines() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    prop::collection::vec((0_usize..3, prop::collection::vec(any::<u8>(), 0..40)), 0..6)
}

proptest! {
    #[test]
    fn any_headers_and_uri_give_a_credential_of_visible_ascii_or_a_refusal(
        lines in lines(),
        query in "[ -~]{0,60}",
    ) {
        let names = [AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL];
        let starts = ["Bearer ", "tickgate_token=", "tickgate,bearer."];
        let mut headers = HeaderMap::new();
        for (which, bytes) in &lines {
            let line = [starts[*which].as_bytes(), bytes].concat();
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.append(&names[*which], value);
            }
        }
        let at: Uri = format!("/?token={query}").parse().unwrap_or_default();
        if let Ok(Some(found)) = presented(&headers, &at, "tickgate_token") {
            let secret = found.secret.as_str();
            prop_assert!(!secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        let _ = (subprotocol(&headers), origin_allowed(&headers, &[]));
        prop_assert!(!redact_uri(&at).contains("token="));
    }

    #[test]
    fn a_credential_arrives_as_it_was_sent(secret in "[!#-+--:<-~]{1,100}", which in 0_usize..4) {
        // Neither `,` nor `;`, which end it in some of the ways; no quotes around it.
        let escaped: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (line, at, way) = match which {
            0 => ((AUTHORIZATION, format!("Bearer {secret}")), "/".to_owned(), Way::Bearer),
            1 => ((COOKIE, format!("a=1; tickgate_token={secret}")), "/".to_owned(), Way::Cookie),
            2 => {
                let offered = format!("bearer.{secret}, tickgate");
                ((SEC_WEBSOCKET_PROTOCOL, offered), "/".to_owned(), Way::Subprotocol)
            }
            _ => ((HOST, "h".to_owned()), format!("/?token={escaped}"), Way::Query),
        };
        prop_assert_eq!(shown(&[(line.0, &line.1)], &at), is(&secret, way));
    }
}
