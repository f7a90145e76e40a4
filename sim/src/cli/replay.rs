//! `cargo sim replay`

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use super::chosen::Chosen;
use super::{complain, run::remark};
use crate::history::{Actor, Event, Mention, Seen};
use crate::plan::Plan;
use crate::verdict::Verdict;
use crate::world::play_keeping_events;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Show only what this one sees: a client (`alice-1`), all clients of a user (`alice`),
    /// `broker`, `feed`, `operator`, `gateway` or `log`. May be given several times
    #[arg(long, value_name = "NAME")]
    client: Vec<String>,
    /// Show only what is about this topic (`NSE:TCS/LTP`) or instrument (`NSE:TCS`). May be given
    /// several times
    #[arg(long)]
    topic: Vec<String>,
    /// Show nothing before this moment of the trace
    #[arg(long, value_name = "MS")]
    from_ms: Option<u64>,
    /// Show nothing after this moment of the trace
    #[arg(long, value_name = "MS")]
    until_ms: Option<u64>,
    /// When to use colours
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Colour {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let plan = match arguments.chosen.plan() {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let filter = match Filter::of(arguments, &plan) {
        Ok(filter) => filter,
        Err(problem) => return complain(&problem),
    };
    let painted = match arguments.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let (outcome, events) = play_keeping_events(&plan);
    let verdict = Verdict::of(&outcome);
    let mut text = told(&events, &verdict, &filter, Paint(painted));
    let chosen = arguments.chosen.shown(plan.seed);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{chosen}: {verdict}{}", remark(&plan, &verdict));
    // Whoever closes the pipe has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    verdict.exit_code()
}

/// What is shown.
struct Filter {
    names: Vec<String>,
    topics: Vec<Mention>,
    from_us: u64,
    until_us: u64,
}

impl Filter {
    fn of(arguments: &Arguments, plan: &Plan) -> Result<Self, String> {
        let others = ["feed", "operator", "gateway", "log"];
        let known = |name: &String| {
            others.contains(&name.as_str())
                || plan.brokers().any(|broker| broker.host.host() == name)
                || plan.clients.iter().any(|client| belongs(&client.name, name))
        };
        if let Some(name) = arguments.client.iter().find(|name| !known(name)) {
            let clients: Vec<_> = plan.clients.iter().map(|client| client.name.as_str()).collect();
            let clients = clients.join(", ");
            return Err(format!("there is no client `{name}`; here are: {clients}"));
        }
        let mut topics = Vec::new();
        for text in &arguments.topic {
            topics.push(Mention::parse(text).ok_or(format!(
                "{text:?} is no topic: write EXCHANGE:SYMBOL/MODE or EXCHANGE:SYMBOL"
            ))?);
        }
        let (from_ms, until_ms) = (arguments.from_ms.unwrap_or(0), arguments.until_ms);
        if until_ms.is_some_and(|until_ms| until_ms < from_ms) {
            return Err("`--until-ms` comes before `--from-ms`".into());
        }
        Ok(Self {
            names: arguments.client.clone(),
            topics,
            from_us: from_ms.saturating_mul(1_000),
            until_us: until_ms.map_or(u64::MAX, |ms| ms.saturating_mul(1_000)),
        })
    }

    /// Phases are always shown: they tell where one is.
    fn passes(&self, event: &Event) -> bool {
        if event.at_us < self.from_us || event.at_us > self.until_us {
            return false;
        }
        if matches!(event.seen, Seen::Phase(_)) {
            return true;
        }
        let actor = event.actor.to_string();
        let named = self.names.is_empty() || self.names.iter().any(|name| belongs(&actor, name));
        let about = self.topics.is_empty()
            || event.seen.mentions().iter().any(|m| self.topics.iter().any(|t| t.meets(m)));
        named && about
    }
}

/// Whether an actor is meant by a name: its own, or its user's.
fn belongs(actor: &str, name: &str) -> bool {
    actor == name || actor.rsplit_once('-').is_some_and(|(user, _)| user == name)
}

/// The trace, with the violation below the event that caused it.
fn told(events: &[Event], verdict: &Verdict, filter: &Filter, paint: Paint) -> String {
    let mut text = String::new();
    let mut left_out = 0_usize;
    for (at, event) in events.iter().enumerate() {
        let violating = match verdict {
            Verdict::Violated(violation) if at + 1 == events.len() => Some(violation),
            _ => None,
        };
        if !filter.passes(event) && violating.is_none() {
            left_out += 1;
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", paint.line(event));
        if let Some(violation) = violating {
            let mark = format!("{:>11} VIOLATED {}", ">>>", violation.invariant);
            let _ = writeln!(text, "{}", paint.with(RED, &mark));
            let why = format!("{:>11} {}", ">>>", violation.message);
            let _ = writeln!(text, "{}", paint.with(RED, &why));
        }
    }
    if left_out > 0 {
        let _ = writeln!(text, "({left_out} of {} events are left out)", events.len());
    }
    text
}

const RED: &str = "1;31";

/// Colours, if there are any.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(self, event: &Event) -> String {
        let line = event.to_string();
        let code = match (&event.actor, &event.seen) {
            (_, Seen::Phase(_)) => "1",
            (_, Seen::Tick(_) | Seen::Published { .. } | Seen::Status(_)) => "2",
            (_, Seen::Lost { .. } | Seen::Unexpected(_) | Seen::Stuck(_)) => "31",
            (
                _,
                Seen::SessionLost { .. }
                | Seen::BrokerDied { .. }
                | Seen::Invalidated { .. }
                | Seen::KeyChanges(_),
            ) => "33",
            (_, Seen::Leaves { .. }) => "35",
            (Actor::Client(_), Seen::Sent(_)) => "36",
            (Actor::Client(_), _) => "32",
            (Actor::Broker(_), _) => "34",
            (Actor::Log | Actor::Network, _) => "33",
            (Actor::Feed | Actor::Operator | Actor::Gateway, _) => "0",
        };
        self.with(code, &line)
    }
}

#[cfg(test)]
mod tests {
    use super::belongs;

    #[test]
    fn a_user_means_all_its_clients() {
        assert!(belongs("alice-1", "alice-1") && belongs("alice-12", "alice"));
        assert!(!belongs("alice-12", "alice-1") && !belongs("malice-1", "alice"));
        assert!(belongs("broker", "broker"));
    }
}
