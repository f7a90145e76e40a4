//! One simulation as a picture: a single HTML file that needs no network.
//!
//! A lane for each actor, messages as arrows, incidents and faults as bands, the number of
//! subscribers of each topic as a strip, the violation marked. The page is drawn by the scripts
//! beside this file; here is what they draw.

mod data;
mod marks;
mod messages;
mod subscribers;

use crate::history::Event;
use crate::plan::{self, Plan};
use crate::verdict::Verdict;

/// What a report is about.
pub struct Told<'a> {
    /// `FILE --seed N`.
    pub title: &'a str,
    /// What was played.
    pub plan: &'a Plan,
    /// What happened.
    pub events: &'a [Event],
    /// How it ended.
    pub verdict: &'a Verdict,
}

/// The page.
///
/// # Errors
///
/// Fails if the plan cannot be written down.
pub fn html(told: &Told<'_>) -> Result<String, String> {
    let plan = plan::to_yaml(told.plan, "")?;
    let data = serde_json::to_string(&data::of(told, plan)).map_err(|error| error.to_string())?;
    // Nothing that an actor said can end the element that holds it.
    let data = data.replace('<', "\\u003c");
    let script = [
        include_str!("report/model.js"),
        include_str!("report/axis.js"),
        include_str!("report/draw.js"),
        include_str!("report/glyphs.js"),
        include_str!("report/strips.js"),
        include_str!("report/details.js"),
        include_str!("report/app.js"),
    ]
    .concat();
    let title = escape(told.title);
    let parts = [
        ("{{title}}", title.as_str()),
        ("{{style}}", include_str!("report/style.css")),
        ("{{script}}", &script),
        ("{{data}}", &data),
    ];
    let mut page = include_str!("report/page.html").to_owned();
    for (place, text) in parts {
        page = page.replacen(place, text, 1);
    }
    Ok(page)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playable::Playable;
    use crate::world::play_keeping_events;

    const TEXT: &str = r#"
about: "A client says </script> & <b>, and the broker dies."
world:
  duration_ms: 400
  users: [{ name: alice, clients: 2, arrive_ms: [0, 9] }]
  topics: [NSE:A/LTP]
steps:
  - { at_ms: 50, client: alice, do: subscribe, topics: [NSE:A/LTP] }
  - { at_ms: 100, client: alice-1, do: garbage }
  - { at_ms: 200, do: kill_broker, for_ms: 50 }
"#;

    fn page(text: &str) -> String {
        let plan = Playable::parse("s.yaml", text).expect("it is good").plan(1).expect("any seed");
        let (outcome, events) = play_keeping_events(&plan);
        let verdict = Verdict::of(&outcome);
        let told =
            Told { title: "s.yaml </title>", plan: &plan, events: &events, verdict: &verdict };
        html(&told).expect("it can be written")
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_nobody_can_break_out_of_it() {
        let page = page(TEXT);
        for outside in ["http://", "https://", "<link", " src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains("{{"), "every place is filled");
        assert_eq!(page.matches("</script>").count(), 2, "the script's end and the data's");
        assert!(page.contains("<title>s.yaml &lt;/title></title>"));
    }

    #[test]
    fn the_same_simulation_gives_the_same_page() {
        assert_eq!(page(TEXT), page(TEXT));
    }
}
