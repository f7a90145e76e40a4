//! Wakes readers when bytes arrive.
//!
//! One timer for the whole network: a timer for each reader would poll it twice for each arrival.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tickgate::runtime::Clock;
use tokio::time::{Sleep, sleep_until};

use super::lock;
use super::pipe::Arrival;

/// What will arrive. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Courier(Arc<Mutex<Agenda>>);

#[derive(Debug, Default)]
struct Agenda {
    /// By their moment, and by when they were noted.
    due: BTreeMap<(Duration, u64), Arrival>,
    noted: u64,
    /// The round waits for nothing earlier.
    waits_until: Option<Duration>,
    round: Option<Waker>,
}

impl Courier {
    /// Begins its round. Call it within the runtime of the simulation.
    #[expect(clippy::disallowed_methods, reason = "the simulator's own spawn")]
    pub fn start(clock: Clock) -> Self {
        let agenda = Arc::new(Mutex::new(Agenda::default()));
        let timer = Box::pin(sleep_until(clock.instant_at(Duration::ZERO)));
        tokio::spawn(Round { agenda: Arc::downgrade(&agenda), clock, timer });
        Self(agenda)
    }

    /// Wakes the reader at this moment.
    pub fn note(&self, at: Duration, arrival: Arrival) {
        let mut agenda = lock(&self.0);
        agenda.noted += 1;
        let noted = agenda.noted;
        agenda.due.insert((at, noted), arrival);
        if agenda.waits_until.is_none_or(|until| at < until)
            && let Some(round) = agenda.round.take()
        {
            round.wake();
        }
    }
}

/// Goes from arrival to arrival as long as there is a network.
struct Round {
    agenda: Weak<Mutex<Agenda>>,
    clock: Clock,
    timer: Pin<Box<Sleep>>,
}

impl Future for Round {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(agenda) = this.agenda.upgrade() else { return Poll::Ready(()) };
        let mut agenda = lock(&agenda);
        loop {
            let now = this.clock.now();
            while let Some(next) = agenda.due.first_entry().filter(|next| next.key().0 <= now) {
                next.remove().arrives();
            }
            agenda.waits_until = agenda.due.first_key_value().map(|((at, _), _)| *at);
            agenda.round = Some(cx.waker().clone());
            let Some(at) = agenda.waits_until else { return Poll::Pending };
            let at = this.clock.instant_at(at);
            if this.timer.deadline() != at {
                this.timer.as_mut().reset(at);
            }
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
