//! The log as part of the history.

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};

use crate::actors::Stage;
use crate::history::{Actor, Seen};

/// A subscriber that reports every line of `INFO` or worse. Make it the default of the
/// simulation's thread.
#[must_use]
pub fn subscriber(stage: Stage) -> impl Subscriber + Send + Sync {
    tracing_subscriber::registry().with(Capture(stage).with_filter(Wanted))
}

struct Capture(Stage);

/// The network reports itself in spans and at `TRACE`; none of that concerns us.
struct Wanted;

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_event()
            && *metadata.level() <= Level::INFO
            && (metadata.target().starts_with("tickgate") || *metadata.level() <= Level::WARN)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::INFO)
    }
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(format!("{}:", event.metadata().target()));
        event.record(&mut line);
        let level = *event.metadata().level();
        self.0.saw(&Actor::Log, Seen::Log { level, text: line.0 });
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value}"),
            name => write!(self.0, " {name}={value}"),
        };
    }
}
