//! `tickgate paper-host`: the paper broker as a process of its own.

use std::time::Duration;

use super::args::PaperHostArgs;
use super::running::{Running, not_bound, until_asked};
use super::signals::Signals;
use super::{Failure, current_thread_runtime, logging, print};
use crate::broker::host::{self, Host, HostOptions, ServeError};
use crate::broker::paper::{Paper, PaperOptions};
use crate::config::Log;
use crate::runtime::{Runtime, TokioRuntime};

/// A host bounds its own stop; this bounds the host.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// Serves until a signal comes.
///
/// # Errors
///
/// Fails if an address cannot be used, or if the broker ends.
pub(super) fn run(args: &PaperHostArgs) -> Result<(), Failure> {
    let _control = logging::start(&Log { level: args.log_level.clone(), ..Log::default() })?;
    let tokio = current_thread_runtime()?;
    let result = tokio.block_on(serve(args));
    tokio.shutdown_background();
    result
}

async fn serve(args: &PaperHostArgs) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let runtime = TokioRuntime::new();
    let seed = args.seed.unwrap_or_else(|| runtime.entropy());
    let mut options = PaperOptions::new(args.name.as_str(), args.bus.as_str(), seed);
    if let Some(rate) = args.ticks_per_second {
        options.ticks_per_second = rate;
    }
    let paper = Paper::new(runtime.clone(), options)
        .map_err(|error| Failure::Usage(format!("--bus {}: {error}", args.bus)))?;
    let host = host::serve(runtime, HostOptions::new(args.name.as_str()), &args.listen, paper)
        .await
        .map_err(|error| not_started(args, &error))?;
    print(&welcome(args, &host))?;
    until_asked(host, async || signals.next().await, STOP_TIMEOUT).await
}

fn not_started(args: &PaperHostArgs, error: &ServeError) -> Failure {
    match error {
        ServeError::BadEndpoint(error) => {
            Failure::Usage(format!("--listen {}: {error}", args.listen))
        }
        ServeError::Bind(error) => not_bound("--listen", &error.address, &error.source),
    }
}

fn welcome(args: &PaperHostArgs, host: &Host) -> String {
    format!(
        "the paper broker waits for gateways, and publishes to {bus}; in their configuration:\n\n  \
         [[brokers]]\n  name = \"{name}\"\n  kind = \"remote\"\n  address = \"tcp://{address}\"\n\n\
         Ctrl-C ends.\n",
        bus = args.bus,
        name = args.name,
        address = host.bound_addr(),
    )
}

impl Running for Host {
    async fn failed(&mut self) -> String {
        self.ended().await;
        "the paper broker ended".into()
    }

    async fn stop(self) {
        Self::stop(self).await;
    }
}
