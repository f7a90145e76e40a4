//! Mutants of the engine: is there a line that could change without anybody noticing?
//!
//! cargo-mutants lists small changes: a body replaced, an operator exchanged, a guard that is
//! always true. To build the gateway once for each would take hours. So all of them are written
//! into one copy of the sources, each behind a number, and the programs built from it take the
//! number of the one that is to live from their environment. What has noticed is then asked of
//! the engine's tests, of walks and of sweeps, in the order of what they cost.

pub mod build;
pub mod diagnostics;
pub mod explained;
pub mod judge;
pub mod list;
pub mod rewrite;
pub mod sites;
pub mod table;

use self::judge::Caught;

/// The variable that names the living mutant; 0 or absent: none.
pub const VARIABLE: &str = "LIVING_MUTANT";

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Somebody has noticed.
    Caught(Caught),
    /// Nobody has.
    Survived,
    /// It does not compile, not even alone.
    NotViable,
    /// It could not be judged, for this reason.
    NotTried(String),
}
