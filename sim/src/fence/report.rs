//! What is said of a leak.

use std::fmt;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use super::STORY;

/// The sources of the fence.
const OURS: &[&str] =
    &["src/fence", "src/fence/callers", "src/fence/interposed", "src/fence/report"];

/// What a simulation must not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leak {
    Clock,
    Entropy,
    Thread,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clock => {
                "a simulation reads a real clock\n  instead: runtime::Clock, or Runtime::unix_ms \
                 for the calendar"
            }
            Self::Entropy => {
                "a simulation draws real entropy\n  instead: Runtime::entropy, or rng::Stream in \
                 the simulator"
            }
            Self::Thread => "a simulation starts a thread\n  instead: Runtime::spawn",
        })
    }
}

/// The functions of a backtrace and their places, innermost first, without the fence's and std's.
pub(super) fn places(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = trace.lines().zip(trace.lines().skip(1));
    let with_places = pairs.filter_map(|(line, next)| {
        let (_, function) = line.trim().split_once(": ")?;
        Some((function, next.trim().strip_prefix("at ")?))
    });
    with_places.filter(|(_, place)| {
        let file = place.split_once(".rs:").map_or(*place, |(file, _)| file);
        !place.contains("/rustc/") && !OURS.iter().any(|ours| file.ends_with(ours))
    })
}

/// Whether the source belongs to a dependency.
pub(super) fn is_foreign(place: &str) -> bool {
    place.contains("/registry/src/") || place.contains("/git/checkouts/")
}

/// Names the leak and ends the program.
pub(super) fn end(leak: Leak, trace: &str) -> ! {
    // Others that leak at the same time wait here for the end.
    static FIRST: Mutex<()> = Mutex::new(());
    let _first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    let nearest = places(trace).next();
    let ours = places(trace).find(|(_, place)| !is_foreign(place));
    let mut text = format!("\nLEAK FENCE: {leak}\n");
    for (word, place) in [("by", nearest), ("from", ours.filter(|_| nearest != ours))] {
        if let Some((function, place)) = place {
            text += &format!("  {word}: {function}\n      at {place}\n");
        }
    }
    let (seed, about) = STORY.with_borrow(|story| (story.seed, story.about.clone()));
    text += &format!("  in seed {seed} of: {about}\nbacktrace:\n{trace}\n");
    text += "What follows a leak means nothing, so the program ends here.\n";
    // Nobody else could be told.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort()
}
