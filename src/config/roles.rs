//! `[roles]`: what each role may do.

use serde::{Deserialize, Serialize};

use crate::topic::Role;

/// What a role can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Subscribe to market data.
    Ticks,
    /// Subscribe to the user's own order updates.
    Orders,
    /// Run the gateway: see and remove clients, block addresses.
    Admin,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Ticks, Self::Orders, Self::Admin];

    /// As the configuration writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ticks => "ticks",
            Self::Orders => "orders",
            Self::Admin => "admin",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

/// `[roles]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// What nobody in particular may do.
    pub anonymous_allow: Vec<String>,
    /// Topics that it may hold on one connection; 0: as many as anybody.
    pub anonymous_subscriptions_max: usize,
    /// What a viewer may do.
    pub viewer_allow: Vec<String>,
    /// Topics that it may hold on one connection; 0: as many as anybody.
    pub viewer_subscriptions_max: usize,
    /// What a trader may do.
    pub trader_allow: Vec<String>,
    /// Topics that it may hold on one connection; 0: as many as anybody.
    pub trader_subscriptions_max: usize,
    /// What an analyst may do.
    pub analyst_allow: Vec<String>,
    /// Topics that it may hold on one connection; 0: as many as anybody.
    pub analyst_subscriptions_max: usize,
    /// What an admin may do.
    pub admin_allow: Vec<String>,
    /// Topics that it may hold on one connection; 0: as many as anybody.
    pub admin_subscriptions_max: usize,
    /// What a super admin may do.
    pub super_admin_allow: Vec<String>,
    /// Topics that it may hold on one connection; 0: as many as anybody.
    pub super_admin_subscriptions_max: usize,
}

/// What one role may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRules {
    allow: Vec<Action>,
    /// Topics that it may hold on one connection; `None`: as many as anybody.
    pub subscriptions_max: Option<usize>,
}

impl RoleRules {
    /// Whether the role may do this.
    #[must_use]
    pub fn allows(&self, action: Action) -> bool {
        self.allow.contains(&action)
    }
}

/// What every role may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTable([RoleRules; Role::ALL.len()]);

impl RoleTable {
    /// The rules of a role.
    #[must_use]
    pub const fn of(&self, role: Role) -> &RoleRules {
        let Self([anonymous, viewer, trader, analyst, admin, super_admin]) = self;
        match role {
            Role::Anonymous => anonymous,
            Role::Viewer => viewer,
            Role::Trader => trader,
            Role::Analyst => analyst,
            Role::Admin => admin,
            Role::SuperAdmin => super_admin,
        }
    }
}

impl Roles {
    /// What the configuration says of a role: what it may do, and how many topics it may hold.
    #[must_use]
    pub fn of(&self, role: Role) -> (&[String], usize) {
        match role {
            Role::Anonymous => (&self.anonymous_allow, self.anonymous_subscriptions_max),
            Role::Viewer => (&self.viewer_allow, self.viewer_subscriptions_max),
            Role::Trader => (&self.trader_allow, self.trader_subscriptions_max),
            Role::Analyst => (&self.analyst_allow, self.analyst_subscriptions_max),
            Role::Admin => (&self.admin_allow, self.admin_subscriptions_max),
            Role::SuperAdmin => (&self.super_admin_allow, self.super_admin_subscriptions_max),
        }
    }

    /// The same as a table. What is no action is left out; a validated configuration has none.
    #[must_use]
    pub fn table(&self) -> RoleTable {
        RoleTable(Role::ALL.map(|role| {
            let (allow, most) = self.of(role);
            RoleRules {
                allow: allow.iter().filter_map(|word| Action::from_word(word)).collect(),
                subscriptions_max: (most > 0).then_some(most),
            }
        }))
    }
}

impl Default for Roles {
    fn default() -> Self {
        let words =
            |actions: &[Action]| actions.iter().map(|action| action.word().to_owned()).collect();
        Self {
            anonymous_allow: words(&[Action::Ticks]),
            anonymous_subscriptions_max: 3,
            viewer_allow: words(&[Action::Ticks]),
            viewer_subscriptions_max: 10,
            trader_allow: words(&[Action::Ticks, Action::Orders]),
            trader_subscriptions_max: 0,
            analyst_allow: words(&[Action::Ticks]),
            analyst_subscriptions_max: 0,
            admin_allow: words(&Action::ALL),
            admin_subscriptions_max: 0,
            super_admin_allow: words(&Action::ALL),
            super_admin_subscriptions_max: 0,
        }
    }
}
