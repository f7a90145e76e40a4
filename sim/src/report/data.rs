//! What the page draws, as the scripts read it. Times are microseconds of simulated time; an
//! event is named by its position.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::marks::{Band, Stay};
use super::messages::Message;
use super::subscribers::Strip;
use super::{Told, marks, messages, subscribers};
use crate::expect::Expectation;
use crate::history::{Actor, Event, Phase, Seen};
use crate::plan::Plan;
use crate::verdict::Verdict;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    title: String,
    about: String,
    seed: u64,
    plan: String,
    end: Ending,
    /// When the story began: times of the plan count from here.
    story_us: u64,
    /// How long a message is under way on the average.
    latency_us: u64,
    lanes: Vec<Lane>,
    /// Topics and instruments that events mention.
    topics: Vec<String>,
    events: Vec<Row>,
    messages: Vec<Message>,
    bands: Vec<Band>,
    stays: Vec<Stay>,
    phases: Vec<(u64, String)>,
    strips: Vec<Strip>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ending {
    /// `passed`, `stuck`, `crashed`, or the invariant that is violated.
    label: String,
    text: String,
    passed: bool,
    at_us: u64,
    /// The event that broke the invariant, if one did.
    event: Option<usize>,
}

/// A lane of the picture.
#[derive(Serialize)]
struct Lane {
    name: String,
    /// `client`, or the actor's name.
    kind: String,
}

/// An event: when, in which lane, of which kind, in words, about which topics.
#[derive(Serialize)]
struct Row(u64, usize, String, String, Vec<usize>);

/// Lanes by name.
pub(super) struct Lanes(Vec<String>);

impl Lanes {
    /// Clients as the plan has them, then whom they talk to, each next to those it talks with.
    fn of(plan: &Plan, events: &[Event]) -> Self {
        let mut names: Vec<String> =
            plan.clients.iter().map(|client| client.name.clone()).collect();
        let brokers = plan.brokers().map(|broker| broker.host.host());
        let talked_to = ["gateway"].into_iter().chain(brokers).chain(["feed", "operator"]);
        names.extend(talked_to.map(str::to_owned));
        for event in events {
            let name = Self::name(&event.actor);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self(names)
    }

    /// The log is the gateway's.
    fn name(actor: &Actor) -> String {
        match actor {
            Actor::Log => Actor::Gateway.to_string(),
            actor => actor.to_string(),
        }
    }

    /// The position of a lane.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    /// The lane of an actor.
    pub fn actor(&self, actor: &Actor) -> usize {
        self.named(&Self::name(actor)).unwrap_or_default()
    }
}

/// Everything that is drawn.
pub(super) fn of(told: &Told<'_>, plan_text: String) -> Data {
    let Told { title, plan, events, verdict } = told;
    let lanes = Lanes::of(plan, events);
    let mut topics = BTreeMap::new();
    for mention in events.iter().flat_map(|event| event.seen.mentions()) {
        topics.insert(mention.to_string(), 0);
    }
    topics.values_mut().enumerate().for_each(|(at, number)| *number = at);
    let row = |event: &Event| {
        let mentions = event.seen.mentions();
        let numbers = mentions.iter().filter_map(|mention| topics.get(&mention.to_string()));
        let lane = lanes.actor(&event.actor);
        let text = event.seen.to_string();
        Row(event.at_us, lane, kind(&event.seen), text, numbers.copied().collect())
    };
    let clients = plan.clients.len();
    let lane = |(at, name): (usize, &String)| Lane {
        name: name.clone(),
        kind: if at < clients { "client".into() } else { name.clone() },
    };
    let phases = events.iter().filter_map(|event| match event.seen {
        Seen::Phase(phase) => Some((event.at_us, phase)),
        _ => None,
    });
    let story = phases.clone().find(|(_, phase)| *phase == Phase::Play);
    Data {
        title: (*title).to_owned(),
        about: plan.about.clone(),
        seed: plan.seed,
        plan: plan_text,
        end: ending(events, verdict),
        story_us: story.map_or(0, |(at_us, _)| at_us),
        latency_us: (plan.network.latency_ms[0] + plan.network.latency_ms[1]) * 500,
        events: events.iter().map(row).collect(),
        messages: messages::of(events),
        bands: marks::bands(events, plan, &lanes),
        stays: marks::stays(events, &lanes),
        phases: phases.map(|(at_us, phase)| (at_us, phase.to_string())).collect(),
        strips: subscribers::strips(events),
        lanes: lanes.0.iter().enumerate().map(lane).collect(),
        topics: topics.into_keys().collect(),
    }
}

fn ending(events: &[Event], verdict: &Verdict) -> Ending {
    let last_us = events.last().map_or(0, |event| event.at_us);
    let (at_us, event) = match verdict {
        // The events end with the one that broke the invariant, unless the end itself did.
        Verdict::Violated(violation) => {
            let broke = |event: &&Event| event.at_us == violation.at_us;
            let last = events.last().filter(broke).map(|_| events.len() - 1);
            (violation.at_us, last)
        }
        Verdict::Passed | Verdict::Stuck(_) | Verdict::Crashed(_) => (last_us, None),
    };
    let label = Expectation::of(verdict).label().to_owned();
    Ending { label, text: verdict.to_string(), passed: verdict.passed(), at_us, event }
}

/// The kind of an event: the name of its variant, or the level of a line of the log.
fn kind(seen: &Seen) -> String {
    if let Seen::Log { level, .. } = seen {
        return format!("Log{level}");
    }
    let mut word = FirstWord(String::new());
    // It fails where the word ends.
    let _ = write!(word, "{seen:?}");
    word.0
}

/// Takes no more than a name.
struct FirstWord(String);

impl fmt::Write for FirstWord {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|c: char| !c.is_alphanumeric());
        self.0.push_str(&text[..end.unwrap_or(text.len())]);
        if end.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_the_name_of_the_variant() {
        assert_eq!(kind(&Seen::Finished), "Finished");
        assert_eq!(kind(&Seen::Leaves { politely: true }), "Leaves");
        assert_eq!(kind(&Seen::Stuck("why".into())), "Stuck");
        let log = Seen::Log { level: tracing::Level::WARN, text: String::new() };
        assert_eq!(kind(&log), "LogWARN");
    }
}
