//! The stories.

mod credentials;
mod crowd;
mod faults;
mod sharing;
mod streams;

pub use credentials::{AnotherUser, Invalidated};
pub use crowd::{HundredLifecycles, QuickVisitors, ThousandCycles};
pub use faults::{BrokerDies, BrokerReconnects, BrokerRefuses, BrokerTimesOut};
pub use sharing::{ChangesOfMind, NeverSubscribed, OthersCleanup, TenAtOnce};
pub use streams::{ChangesUnderLoad, EachTradeOnce, SlowAndStuck};
