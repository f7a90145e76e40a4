//! Being asked to end, or to read files again.

use super::Failure;

/// What a process is asked by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end.
    End,
    /// To read its files again.
    Reload,
}

/// SIGINT and SIGTERM (Ctrl-C elsewhere) from the moment of installation on.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Takes over the signals of the process. Call it inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if the operating system refuses.
    #[cfg(unix)]
    pub(super) fn install() -> Result<Self, Failure> {
        use tokio::signal::unix::SignalKind;

        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())?, hangup: None })
    }

    /// Takes over SIGHUP as well, which asks to read files again.
    ///
    /// # Errors
    ///
    /// Fails if the operating system refuses.
    #[cfg(unix)]
    pub(super) fn with_reload(self) -> Result<Self, Failure> {
        let hangup = Some(signal(tokio::signal::unix::SignalKind::hangup())?);
        Ok(Self { hangup, ..self })
    }

    /// Takes over Ctrl-C. Call it inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// Never fails here.
    #[cfg(not(unix))]
    pub(super) fn install() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// There is no such signal here.
    ///
    /// # Errors
    ///
    /// Never fails here.
    #[cfg(not(unix))]
    pub(super) fn with_reload(self) -> Result<Self, Failure> {
        Ok(self)
    }

    /// Waits for the next one. Cancel-safe.
    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            () = received(self.hangup.as_mut()) => Asked::Reload,
        }
    }

    /// Waits for the next one. Cancel-safe.
    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) -> Asked {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Asked::End
    }
}

#[cfg(unix)]
fn signal(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    tokio::signal::unix::signal(kind)
        .map_err(|error| Failure::Runtime(format!("signals cannot be received: {error}")))
}

/// Waits for a signal, for ever if it was not taken over.
#[cfg(unix)]
async fn received(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
