//! Draws what becomes of keys.

use tickgate::topic::{Role, UserId};

use super::{Plan, TimedKeyChange, UserRole};
use crate::history::KeyChange;
use crate::rng::Stream;
use crate::scenario::{Incidents, RangeMs, Users, World};

/// The longest that a key is gone for a while.
const GONE_MS_MAX: u64 = 400;

/// What a key may give from some moment on.
const ROLES: [Role; 3] = [Role::Viewer, Role::Trader, Role::Analyst];

/// Those whose keys do not make them traders.
pub(super) fn roles(world: &World) -> Vec<UserRole> {
    let users = world.users.iter().filter(|users| users.value.role != Role::default());
    let role = |users: &Users| UserRole { user: users.name.as_str().into(), role: users.role };
    users.map(|users| role(&users.value)).collect()
}

/// What a storm does to keys. Everybody has one again when it is over.
pub(super) fn change(incidents: Incidents, window: RangeMs, seed: u64, plan: &mut Plan) {
    let [from_ms, to_ms] = window;
    let mut stream = Stream::fork(seed, "plan", "keys revoked");
    for _ in 0..stream.between(incidents.keys_revoked[0], incidents.keys_revoked[1]) {
        let at_ms = stream.between(from_ms, to_ms);
        let back_ms = stream.between(at_ms, (at_ms + GONE_MS_MAX).min(to_ms));
        let user = stream.pick(&plan.users).clone();
        revoke(at_ms, user.clone(), plan);
        grant(back_ms, user, None, plan);
    }
    let mut stream = Stream::fork(seed, "plan", "roles changed");
    for _ in 0..stream.between(incidents.roles_changed[0], incidents.roles_changed[1]) {
        let at_ms = stream.between(from_ms, to_ms);
        let (user, role) = (stream.pick(&plan.users).clone(), *stream.pick(&ROLES));
        grant(at_ms, user, Some(role), plan);
    }
}

/// Takes a key away.
pub(super) fn revoke(at_ms: u64, user: UserId, plan: &mut Plan) {
    plan.keys.push(TimedKeyChange { at_ms, change: KeyChange { user, role: None } });
}

/// Gives a key, with this role or the one that it had first.
pub(super) fn grant(at_ms: u64, user: UserId, role: Option<Role>, plan: &mut Plan) {
    let role = Some(role.unwrap_or_else(|| plan.first_role(&user)));
    plan.keys.push(TimedKeyChange { at_ms, change: KeyChange { user, role } });
}
