//! The gateway of a story, in its own host.

use std::sync::{Arc, OnceLock};

use tickgate::config::Config;
use tickgate::runtime::{Runtime, TaskRegistry};
use tickgate::server::{Addresses, Gateway};
use tokio::sync::Notify;

use super::keys;

/// The house in which a gateway plays. Clones are the same house.
#[derive(Clone, Default)]
pub struct House(Arc<Inner>);

#[derive(Default)]
struct Inner {
    addresses: OnceLock<Addresses>,
    tasks: OnceLock<TaskRegistry>,
    close: Notify,
    stopped: OnceLock<()>,
}

impl House {
    /// Runs the gateway until [`House::close`]. Never returns.
    ///
    /// # Panics
    ///
    /// Panics if the gateway cannot start, or if a part of it ends before it should.
    pub async fn run<R: Runtime>(&self, runtime: R, config: Config) {
        let tasks = runtime.tasks().clone();
        let mut gateway =
            Gateway::start(runtime, config, keys()).await.expect("the gateway starts");
        let _first = self.0.addresses.set(gateway.addresses().clone());
        let _first = self.0.tasks.set(tasks);
        tokio::select! {
            biased;
            failure = gateway.failed() => panic!("{failure}"),
            () = self.0.close.notified() => {}
        }
        gateway.stop().await;
        let _first = self.0.stopped.set(());
        std::future::pending::<()>().await;
    }

    /// Where the gateway listens, once it does.
    #[must_use]
    pub fn addresses(&self) -> Option<Addresses> {
        self.0.addresses.get().cloned()
    }

    /// Has the gateway stop.
    pub fn close(&self) {
        self.0.close.notify_one();
    }

    /// Whether the gateway has stopped and left no task behind.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.0.stopped.get().is_some() && self.0.tasks.get().is_some_and(|tasks| tasks.total() == 0)
    }
}
