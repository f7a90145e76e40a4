//! Serving until somebody asks to end, or until it cannot go on.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::Failure;

/// What may pass beyond the drain before a service counts as stuck.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Something that serves on its own until it is stopped.
pub(super) trait Running: Sized {
    /// Resolves if it cannot go on, with the reason. Cancel-safe.
    fn failed(&mut self) -> impl Future<Output = String>;

    /// Lets those who are served finish, within the time that was configured.
    fn stop(self) -> impl Future<Output = ()>;
}

/// Serves until the first `signal`, then stops within `drain_timeout`; a second one ends at once.
///
/// # Errors
///
/// Fails if the service cannot go on, does not stop in time, or is ended at once.
pub(super) async fn until_asked(
    mut running: impl Running,
    mut signal: impl AsyncFnMut(),
    drain_timeout: Duration,
) -> Result<(), Failure> {
    let reason = tokio::select! {
        biased;
        () = signal() => None,
        reason = running.failed() => Some(reason),
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
        () = signal() => Err(Failure::Runtime("ended at once, asked a second time".into())),
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

    /// Fails after one time, needs another to stop, and notes that it did.
    struct Service<'a> {
        fails_after: Option<Duration>,
        stops_after: Duration,
        stopped: &'a Cell<bool>,
    }

    impl Running for Service<'_> {
        async fn failed(&mut self) -> String {
            match self.fails_after {
                Some(after) => sleep(after).await,
                None => std::future::pending().await,
            }
            "the task of the hub panicked".into()
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
        let stopped = Cell::new(false);
        let service = Service { fails_after, stops_after, stopped: &stopped };
        let (sender, mut receiver) = mpsc::channel(4);
        let asked = async {
            for pause in signals_after {
                sleep(*pause).await;
                sender.send(()).await.expect("somebody listens");
            }
            std::future::pending::<()>().await;
        };
        let signal = async || {
            receiver.recv().await;
        };
        let result = tokio::select! {
            biased;
            () = asked => unreachable!("pends for ever"),
            result = until_asked(service, signal, 5 * SECOND) => result,
        };
        (result, stopped.get())
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
