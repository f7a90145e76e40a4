//! Serving until somebody asks to end, or until it cannot go on.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::Failure;
use super::signals::Asked;

/// What may pass beyond the drain before a service counts as stuck.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Something that serves on its own until it is stopped.
pub(super) trait Running: Sized {
    /// Resolves if it cannot go on, with the reason. Cancel-safe.
    fn failed(&mut self) -> impl Future<Output = String>;

    /// Reads again what can change while it serves. What is wrong is told in the log.
    fn reload(&mut self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Lets those who are served finish, within the time that was configured.
    fn stop(self) -> impl Future<Output = ()>;
}

/// Serves until the first `signal` to end, then stops within `drain_timeout`; a second one ends at
/// once.
///
/// # Errors
///
/// Fails if the service cannot go on, does not stop in time, or is ended at once.
pub(super) async fn until_asked(
    mut running: impl Running,
    mut signal: impl AsyncFnMut() -> Asked,
    drain_timeout: Duration,
) -> Result<(), Failure> {
    let reason = loop {
        tokio::select! {
            biased;
            asked = signal() => match asked {
                Asked::End => break None,
                Asked::Reload => {
                    if reloaded_or_end(&mut running, &mut signal).await == Asked::End {
                        break None;
                    }
                }
            },
            reason = running.failed() => break Some(reason),
        }
    };
    match &reason {
        None => tracing::info!(
            drain_timeout_ms = drain_timeout.as_millis(),
            "asked to end: draining; asked again, it ends at once"
        ),
        Some(reason) => tracing::error!(%reason, "cannot go on"),
    }
    let stopped = tokio::select! {
        biased;
        () = asked_to_end(&mut signal) => Err(Failure::Runtime("ended at once, asked a second time".into())),
        stopped = timeout(drain_timeout + STOP_GRACE, running.stop()) => stopped.map_err(|_| {
            let ms = drain_timeout.as_millis();
            Failure::Runtime(format!("could not end within {ms} ms, so it was ended at once"))
        }),
    };
    match reason {
        Some(reason) => Err(Failure::Runtime(reason)),
        None => stopped,
    }
}

/// Has files read again, as often as that is asked. They may be where reading takes for ever: who
/// asks to end is heard all the same. Says what is to be done next.
async fn reloaded_or_end(
    running: &mut impl Running,
    signal: &mut impl AsyncFnMut() -> Asked,
) -> Asked {
    loop {
        let mut again = false;
        let mut reload = pin!(running.reload());
        loop {
            tokio::select! {
                biased;
                asked = signal() => match asked {
                    Asked::End => return Asked::End,
                    Asked::Reload => again = true,
                },
                () = &mut reload => break,
            }
        }
        if !again {
            return Asked::Reload;
        }
    }
}

/// Waits until it is asked to end, whatever else it is asked before.
pub(super) async fn asked_to_end(signal: &mut impl AsyncFnMut() -> Asked) {
    while signal().await != Asked::End {}
}

/// Why `address`, which the key or option `key` names, cannot be listened on, and what to do.
pub(super) fn not_bound(key: &str, address: &str, error: &io::Error) -> Failure {
    Failure::Usage(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is already in use (another gateway?); set {key} or stop the other process"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is not an address of this machine; set {key}")
        }
        io::ErrorKind::PermissionDenied => format!(
            "permission to listen on {address} is denied (ports below 1024 need privileges); set \
             {key}"
        ),
        _ => format!("{address} cannot be listened on: {error}; set {key}"),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::*;

    /// Fails after one time, takes another to read its files, needs another another to stop, and
    /// notes that it did.
    struct Service<'a> {
        fails_after: Option<Duration>,
        reads_for: Duration,
        stops_after: Duration,
        stopped: &'a Cell<bool>,
        reloads: &'a Cell<u32>,
    }

    impl Running for Service<'_> {
        async fn failed(&mut self) -> String {
            match self.fails_after {
                Some(after) => sleep(after).await,
                None => std::future::pending().await,
            }
            "the task of the hub panicked".into()
        }

        async fn reload(&mut self) {
            self.reloads.set(self.reloads.get() + 1);
            sleep(self.reads_for).await;
        }

        async fn stop(self) {
            sleep(self.stops_after).await;
            self.stopped.set(true);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// Serves with signals at these times.
    async fn served(
        fails_after: Option<Duration>,
        stops_after: Duration,
        signals_after: &[Duration],
    ) -> (Result<(), Failure>, bool) {
        let signals: Vec<_> = signals_after.iter().map(|after| (*after, Asked::End)).collect();
        let times = (Duration::ZERO, stops_after);
        let (result, stopped, _) = served_with(fails_after, times, &signals).await;
        (result, stopped)
    }

    /// Also returns how often it was told to reload.
    async fn served_with(
        fails_after: Option<Duration>,
        (reads_for, stops_after): (Duration, Duration),
        signals: &[(Duration, Asked)],
    ) -> (Result<(), Failure>, bool, u32) {
        let (stopped, reloads) = (Cell::new(false), Cell::new(0));
        let (stopped, reloads) = (&stopped, &reloads);
        let service = Service { fails_after, reads_for, stops_after, stopped, reloads };
        let (sender, mut receiver) = mpsc::channel(4);
        let asked = async {
            for (pause, signal) in signals {
                sleep(*pause).await;
                sender.send(*signal).await.expect("somebody listens");
            }
            std::future::pending::<()>().await;
        };
        let signal = async || receiver.recv().await.expect("the sender lives");
        let result = tokio::select! {
            biased;
            () = asked => unreachable!("pends for ever"),
            result = until_asked(service, signal, 5 * SECOND) => result,
        };
        (result, stopped.get(), reloads.get())
    }

    fn sentence(result: Result<(), Failure>) -> String {
        match result {
            Err(Failure::Runtime(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_drains() {
        assert_eq!(served(None, 5 * SECOND, &[SECOND]).await, (Ok(()), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_to_reload_ends_nothing_neither_while_serving_nor_while_draining() {
        let signals = [Asked::Reload, Asked::Reload, Asked::End, Asked::Reload];
        let signals = signals.map(|asked| (SECOND, asked));
        let times = (Duration::ZERO, 5 * SECOND);
        assert_eq!(served_with(None, times, &signals).await, (Ok(()), true, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_to_end_is_heard_while_files_take_for_ever() {
        let signals = [(SECOND, Asked::Reload), (SECOND, Asked::End)];
        let times = (Duration::from_secs(86_400), SECOND);
        assert_eq!(served_with(None, times, &signals).await, (Ok(()), true, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_read_once_more_if_that_is_asked_while_they_are_read() {
        let millis = Duration::from_millis;
        let signals = [(SECOND, Asked::Reload), (millis(10), Asked::Reload)];
        let signals = [&signals[..], &signals[1..], &[(9 * SECOND, Asked::End)]].concat();
        let times = (millis(500), SECOND);
        assert_eq!(served_with(None, times, &signals).await, (Ok(()), true, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_signal_ends_at_once() {
        let (result, stopped) = served(None, 5 * SECOND, &[SECOND, SECOND]).await;
        assert_eq!(sentence(result), "ended at once, asked a second time");
        assert!(!stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_stop_is_ended() {
        let (result, stopped) = served(None, 60 * SECOND, &[SECOND]).await;
        assert_eq!(sentence(result), "could not end within 5000 ms, so it was ended at once");
        assert!(!stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_fails_is_stopped_and_told_of() {
        let (result, stopped) = served(Some(SECOND), SECOND, &[]).await;
        assert_eq!(sentence(result), "the task of the hub panicked");
        assert!(stopped);
    }

    #[test]
    fn an_address_in_use_is_told_with_the_key_to_set() {
        let told = |kind| match not_bound("server.listen", "127.0.0.1:8765", &kind) {
            Failure::Usage(sentence) => sentence,
            Failure::Runtime(sentence) => panic!("{sentence}"),
        };
        assert_eq!(
            told(io::ErrorKind::AddrInUse.into()),
            "127.0.0.1:8765 is already in use (another gateway?); set server.listen or stop the \
             other process"
        );
        assert_eq!(
            told(io::ErrorKind::AddrNotAvailable.into()),
            "127.0.0.1:8765 is not an address of this machine; set server.listen"
        );
    }
}
