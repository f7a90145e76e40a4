//! The report in a browser: opened, clicked, zoomed, dragged, filtered.
//!
//! It needs Chromium; `.ci/tools` installs it.

mod browser;

use std::path::Path;

use browser::{Browser, Page};
use serde_json::Value;

use crate::common::{code, said, sim};

/// Writes the report of a file with these arguments.
fn report(directory: &Path, arguments: &[&str]) -> String {
    let path = directory.join("report.html");
    let shown = path.to_str().expect("it is UTF-8");
    let output = sim(&[&["report"], arguments, &["--out", shown]].concat());
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(said(&output).contains(&format!("open {shown} in a browser")), "{}", said(&output));
    format!("file://{shown}")
}

/// Where an event is, in pixels of the window.
fn place(page: &mut Page, id: u64) -> (f64, f64) {
    let at = page.evaluate(&format!("report.position({id})"));
    (at["x"].as_f64().expect("a number"), at["y"].as_f64().expect("a number"))
}

fn details(page: &mut Page) -> String {
    page.text("document.getElementById('details').textContent")
}

/// The first event that this is true of.
fn first(page: &mut Page, condition: &str) -> u64 {
    let id = page.evaluate(&format!("events.find((event) => {condition}).id"));
    id.as_u64().expect("there is one")
}

fn span(page: &mut Page) -> (f64, f64) {
    let span = page.evaluate("report.span()");
    (span["from"].as_f64().expect("a number"), span["to"].as_f64().expect("a number"))
}

fn shown(page: &mut Page) -> usize {
    page.evaluate("report.shown().length").as_u64().expect("a number") as usize
}

#[test]
fn a_click_on_an_event_shows_its_details_and_nothing_is_asked_of_the_network() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = report(directory.path(), &["sim/canary.yaml", "--seed", "3"]);
    let mut browser = Browser::start();
    let mut page = browser.open(&url);
    assert!(details(&mut page).contains("VIOLATED forbidden_line"));
    assert_eq!(page.text("document.getElementById('badge').textContent"), "forbidden_line");

    let sent = first(&mut page, "event.kind === 'Sent' && event.text.includes('NSE:INFY')");
    let at = place(&mut page, sent);
    page.click(at);
    let text = page.text(&format!("events[{sent}].text"));
    let seen = details(&mut page);
    assert!(seen.contains(&text), "{text:?} is not in {seen:?}");
    assert!(seen.contains("the other end") && seen.contains("subscribed"), "{seen}");
    assert_eq!(page.text("details.dataset.event"), sent.to_string());

    // From the request to its answer, by a click on the link.
    page.evaluate("details.querySelector('button.go').click()");
    assert!(details(&mut page).contains("kindAnswered"), "{}", details(&mut page));
    // On an empty place: the story again.
    let empty = place(&mut page, sent);
    page.click((empty.0, empty.1 - 17.0));
    page.key("Escape");
    assert!(details(&mut page).contains("how it ended"));
    page.key("v");
    assert!(details(&mut page).contains("VIOLATED"), "the violation is one key away");
    page.key("ArrowLeft");
    assert!(!details(&mut page).contains("VIOLATED"), "the event before it");

    assert_eq!(page.complaints(), [""; 0]);
    assert_eq!(page.requests(), [url]);
}

#[test]
fn the_picture_can_be_hovered_zoomed_dragged_and_filtered() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = report(directory.path(), &["sim/canary.yaml", "--seed", "3"]);
    let mut browser = Browser::start();
    let mut page = browser.open(&url);

    let sent = first(&mut page, "event.kind === 'Sent' && event.text.includes('NSE:INFY')");
    let at = place(&mut page, sent);
    page.hover(at);
    let tip = page.text("document.getElementById('tip').textContent");
    assert!(tip.contains(&page.text(&format!("events[{sent}].text"))), "{tip:?}");
    page.hover((at.0, 3.0));
    assert_eq!(page.evaluate("document.getElementById('tip').hidden"), Value::Bool(true));

    let wide = span(&mut page);
    page.wheel(at, -300.0);
    let near = span(&mut page);
    assert!(near.1 - near.0 < 0.8 * (wide.1 - wide.0), "{wide:?} {near:?}");
    let moved = (place(&mut page, sent).0 - at.0).abs();
    assert!(moved < 2.0, "what is under the mouse stays there, but it moved by {moved}");
    page.drag((600.0, 300.0), (500.0, 300.0));
    assert!(span(&mut page).0 > near.0, "dragged to the left, later things come");
    page.evaluate("document.getElementById('fit').click()");
    assert!(span(&mut page).1 - span(&mut page).0 >= wide.1 - wide.0);

    let all = shown(&mut page);
    let choose = |page: &mut Page, what: &str, value: &str| {
        let script = format!(
            "{{ const field = document.getElementById('{what}'); field.value = '{value}'; \
             field.dispatchEvent(new Event('{}')); }}",
            if what == "text" { "input" } else { "change" }
        );
        page.evaluate(&script);
    };
    choose(&mut page, "client", "bob-1");
    let of_bob = shown(&mut page);
    assert!(of_bob < all);
    let others = "report.shown().some((id) => laneName(events[id]) === 'carol-1')";
    assert_eq!(page.evaluate(others), Value::Bool(false));
    choose(&mut page, "topic", "NSE:SLOW/LTP");
    assert!(shown(&mut page) < of_bob);
    choose(&mut page, "client", "");
    choose(&mut page, "topic", "");
    choose(&mut page, "text", "pong");
    // What broke stays.
    assert!((2..100).contains(&shown(&mut page)), "{}", shown(&mut page));
    choose(&mut page, "text", "");
    assert_eq!(shown(&mut page), all);
    assert_eq!(page.complaints(), [""; 0]);
}

/// How many different colours the picture has.
const COLOURS: &str = "(() => {
    draw();
    const { width, height } = picture;
    const pixels = new Uint32Array(
        picture.getContext('2d').getImageData(0, 0, width, height).data.buffer);
    return new Set(pixels).size;
})()";

#[test]
fn ten_events_and_thousands_are_both_drawn_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let small = directory.path().join("small.yaml");
    let small = small.to_str().expect("it is UTF-8");
    let shrunk = sim(&["shrink", "sim/canary.yaml", "--seconds", "20", "--out", small]);
    assert_eq!(code(&shrunk), Some(0), "{}", said(&shrunk));
    let mut browser = Browser::start();
    for (arguments, events) in
        [(&[small] as &[&str], 5..60), (&["scenarios/rc_014.yaml", "--seed", "3"], 5_000..50_000)]
    {
        let url = report(directory.path(), arguments);
        let mut page = browser.open(&url);
        let count = page.evaluate("events.length").as_u64().expect("a number") as usize;
        assert!(events.contains(&count), "{count} events");
        let colours = page.evaluate(COLOURS).as_u64().expect("a number");
        assert!(colours > 10, "only {colours} colours are drawn");
        let took = "(() => { const began = performance.now(); draw(); drawOverview();
            return performance.now() - began; })()";
        let took = page.evaluate(took).as_f64().expect("a number");
        assert!(took < 500.0, "{count} events take {took} ms to draw");
        let last = first(&mut page, "event.kind === 'Connected'");
        let at = place(&mut page, last);
        page.click(at);
        assert!(details(&mut page).contains("kindConnected"), "{}", details(&mut page));
        assert_eq!(page.complaints(), [""; 0]);
    }
}

#[test]
fn an_address_opens_the_page_where_it_was_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = report(directory.path(), &["sim/canary.yaml", "--seed", "3"]);
    let mut browser = Browser::start();
    let mut page = browser.open(&format!("{url}#from=400000&to=500000&select=200&client=bob"));
    assert!(details(&mut page).contains("event 200 of"));
    let span = span(&mut page);
    assert!(span.1 - span.0 <= 100_001.0, "{span:?}");
    assert_eq!(page.text("document.getElementById('client').value"), "bob");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_report_that_cannot_be_written_is_one_sentence() {
    let output = sim(&["report", "scenarios/rc_006.yaml", "--out", "/no/such/place.html"]);
    assert_eq!(code(&output), Some(2));
    let said = said(&output);
    assert!(said.starts_with("error: cannot write /no/such/place.html"), "{said}");
}
