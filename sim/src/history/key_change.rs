//! Keys that come and go.

use std::fmt;

use serde::{Deserialize, Serialize};
use tickgate::topic::{Role, UserId};

/// What becomes of a user's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// Whose.
    pub user: UserId,
    /// What it gives from now on; absent: it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, role } = self;
        match role {
            Some(role) => write!(f, "the key of {user} is a {role}'s"),
            None => write!(f, "the key of {user} is gone"),
        }
    }
}
