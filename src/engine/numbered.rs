//! Tables by numbers that the gateway hands out itself.
//!
//! Nobody can choose such numbers so that they collide: they do without the keyed hash that names
//! need, because clients choose those.

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;

/// A table by clients, routes or slots.
pub(super) type NumberMap<K, V> = IndexMap<K, V, FxBuildHasher>;

/// A set of clients, routes or slots.
pub(super) type NumberSet<K> = IndexSet<K, FxBuildHasher>;
