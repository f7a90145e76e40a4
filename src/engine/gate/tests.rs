//! The gate's rules, one by one and in any order.

use std::net::IpAddr;

use proptest::prelude::*;

use super::{Arrival, Attempt, Gate, GateEffect, GateOptions, Refusal, Tried, network_of};
use crate::topic::ClientId;

const OPTIONS: GateOptions = GateOptions {
    clients_max: 4,
    told_max: 3,
    connections_per_address_max: 2,
    auth_failures_max: 2,
    auth_delay_ms: 100,
    auth_delay_max_ms: 400,
    memory_ms: 10_000,
    strikes_max: 2,
    block_ms: 1_000,
    block_max_ms: 3_000,
    remembered_max: 3,
    ordered_blocks_max: 2,
};

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn gate() -> Gate {
    Gate::new(OPTIONS)
}

/// A gate with these clients, all from 10.0.0.1.
pub(super) fn gate_with(clients: impl IntoIterator<Item = u64>) -> Gate {
    let mut gate = Gate::new(GateOptions { connections_per_address_max: 10, ..OPTIONS });
    for id in clients {
        assert_eq!(gate.arrive(0, ClientId(id), Some(ip(1))), Arrival::Admitted);
    }
    gate
}

fn leave(gate: &mut Gate, now_ms: u64, id: u64) -> Vec<GateEffect> {
    let mut effects = Vec::new();
    gate.leave(now_ms, ClientId(id), &mut effects);
    gate.check();
    effects
}

fn attempt(gate: &mut Gate, now_ms: u64, id: u64) -> Vec<GateEffect> {
    let mut effects = Vec::new();
    gate.attempt(now_ms, ClientId(id), &mut effects);
    gate.check();
    effects
}

fn tried(gate: &mut Gate, now_ms: u64, id: u64, outcome: Tried) -> Vec<GateEffect> {
    let mut effects = Vec::new();
    gate.tried(now_ms, ClientId(id), outcome, &mut effects);
    gate.check();
    effects
}

fn go(id: u64) -> Vec<GateEffect> {
    vec![GateEffect::Answer(ClientId(id), Attempt::Go)]
}

fn wait(id: u64, ms: u64) -> Vec<GateEffect> {
    vec![GateEffect::Answer(ClientId(id), Attempt::Wait(ms))]
}

#[test]
fn an_address_has_its_limit_and_gets_a_place_back_when_one_is_free() {
    let mut gate = gate();
    assert_eq!(gate.arrive(0, ClientId(1), Some(ip(1))), Arrival::Admitted);
    assert_eq!(gate.arrive(0, ClientId(2), Some(ip(1))), Arrival::Admitted);
    assert_eq!(gate.arrive(0, ClientId(3), Some(ip(1))), Arrival::Told(Refusal::Crowded));
    assert_eq!(gate.arrive(0, ClientId(4), Some(ip(2))), Arrival::Admitted, "another address");
    leave(&mut gate, 1, 3);
    assert_eq!(gate.arrive(1, ClientId(5), Some(ip(1))), Arrival::Told(Refusal::Crowded));
    leave(&mut gate, 2, 1);
    assert_eq!(gate.arrive(2, ClientId(6), Some(ip(1))), Arrival::Admitted);
    assert_eq!(gate.totals().crowded, 2);
}

#[test]
fn a_full_gateway_tells_a_few_and_drops_the_rest() {
    let mut gate = gate();
    for id in 1..=4 {
        let from = ip(u8::try_from(id).expect("small"));
        assert_eq!(gate.arrive(0, ClientId(id), Some(from)), Arrival::Admitted);
    }
    for id in 5..=7 {
        assert_eq!(gate.arrive(0, ClientId(id), Some(ip(9))), Arrival::Told(Refusal::Full));
    }
    assert_eq!(gate.arrive(0, ClientId(8), Some(ip(10))), Arrival::Dropped);
    gate.check();
    assert_eq!((gate.totals().full, gate.networks()), (4, 5));
    for id in 1..=7 {
        leave(&mut gate, 1, id);
    }
    assert_eq!((gate.admitted(), gate.networks()), (0, 0), "nothing is left");
}

#[test]
fn one_network_cannot_take_all_places_of_those_who_are_told() {
    let mut gate = Gate::new(GateOptions { clients_max: 0, told_max: 1_000, ..OPTIONS });
    let mut arrive = |id, from| gate.arrive(0, ClientId(id), Some(ip(from)));
    for id in 1..=16 {
        assert_eq!(arrive(id, 1), Arrival::Told(Refusal::Full));
    }
    assert_eq!(arrive(17, 1), Arrival::Dropped);
    assert_eq!(arrive(18, 2), Arrival::Told(Refusal::Full));
}

#[test]
fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_ipv4() {
    let of = |text: &str| network_of(text.parse().expect("an address")).to_string();
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1/32");
    assert_eq!(of("10.0.0.1"), "10.0.0.1/32");
    assert_eq!(of("::1"), "::/64");
}

#[test]
fn failures_are_free_at_first_and_then_cost_time_that_doubles() {
    let mut gate = gate_with([1]);
    for _ in 0..2 {
        assert_eq!(attempt(&mut gate, 0, 1), go(1));
        assert_eq!(tried(&mut gate, 0, 1, Tried::Wrong), []);
    }
    assert_eq!(attempt(&mut gate, 40, 1), wait(1, 60));
    let mut now_ms = 100;
    for pause_ms in [200, 400, 400] {
        assert_eq!(attempt(&mut gate, now_ms, 1), go(1), "at {now_ms}");
        assert_eq!(tried(&mut gate, now_ms, 1, Tried::Wrong), []);
        assert_eq!(attempt(&mut gate, now_ms, 1), wait(1, pause_ms));
        now_ms += pause_ms;
    }
    let forgotten_ms = now_ms + OPTIONS.memory_ms;
    for _ in 0..2 {
        assert_eq!(attempt(&mut gate, forgotten_ms, 1), go(1));
        tried(&mut gate, forgotten_ms, 1, Tried::Wrong);
    }
}

#[test]
fn good_credentials_cost_nothing_however_many_come_at_once() {
    let mut gate = gate_with(1..=4);
    assert_eq!(attempt(&mut gate, 0, 1), go(1));
    assert_eq!(attempt(&mut gate, 0, 2), go(2));
    assert_eq!(attempt(&mut gate, 0, 3), [], "both before it could fail: it waits for one");
    assert_eq!(attempt(&mut gate, 0, 4), []);
    assert_eq!(tried(&mut gate, 0, 1, Tried::Good), go(3));
    assert_eq!(tried(&mut gate, 0, 2, Tried::Unknown), go(4));
    assert_eq!(tried(&mut gate, 0, 3, Tried::Good), []);
    assert_eq!(tried(&mut gate, 0, 4, Tried::Good), []);
    assert_eq!(gate.totals().attempts_refused, 0);
}

#[test]
fn whoever_waits_behind_attempts_that_fail_is_told_for_how_long() {
    let mut gate = gate_with(1..=4);
    for id in 1..=4 {
        attempt(&mut gate, 0, id);
    }
    assert_eq!(tried(&mut gate, 0, 1, Tried::Wrong), []);
    let told: Vec<_> = wait(3, 100).into_iter().chain(wait(4, 100)).collect();
    assert_eq!(tried(&mut gate, 0, 2, Tried::Wrong), told);
    assert_eq!(gate.totals().attempts_refused, 2);
}

#[test]
fn a_client_that_leaves_in_an_attempt_has_failed() {
    let mut gate = gate_with(1..=4);
    for id in 1..=4 {
        attempt(&mut gate, 0, id);
    }
    assert_eq!(leave(&mut gate, 0, 3), [], "it only waited");
    assert_eq!(leave(&mut gate, 0, 1), [], "with two failures at most there is room for one");
    assert_eq!(tried(&mut gate, 0, 1, Tried::Wrong), [], "it is not here");
    assert_eq!(gate.totals().attempts_failed, 1);
    assert_eq!(tried(&mut gate, 0, 2, Tried::Good), go(4));
}

#[test]
fn clients_closed_for_their_conduct_block_their_network_for_longer_each_time() {
    let mut gate = gate_with(1..=3);
    let net = network_of(ip(1));
    let mut effects = Vec::new();
    gate.strike(0, ClientId(1), &mut effects);
    assert_eq!(effects, []);
    gate.strike(0, ClientId(2), &mut effects);
    let closed = (1..=3).map(|id| GateEffect::Close(ClientId(id)));
    let expected: Vec<_> = [GateEffect::Blocked(net, 1_000)].into_iter().chain(closed).collect();
    assert_eq!(effects, expected);
    assert_eq!(
        gate.arrive(400, ClientId(9), Some(ip(1))),
        Arrival::Told(Refusal::Blocked(Some(600)))
    );
    assert_eq!(gate.totals().blocked, 1);
    leave(&mut gate, 400, 9);
    assert_eq!(gate.arrive(1_000, ClientId(11), Some(ip(1))), Arrival::Admitted);
    for (now_ms, block_ms) in [(1_000, 2_000), (4_000, 3_000)] {
        effects.clear();
        gate.strike(now_ms, ClientId(1), &mut effects);
        gate.strike(now_ms, ClientId(11), &mut effects);
        assert_eq!(effects[0], GateEffect::Blocked(net, block_ms));
        gate.check();
    }
    assert_eq!((gate.totals().strikes, gate.totals().blocks), (6, 3));
}

#[test]
fn nobody_is_blocked_where_strikes_do_not_count() {
    let mut gate = Gate::new(GateOptions { strikes_max: 0, ..OPTIONS });
    assert_eq!(gate.arrive(0, ClientId(1), Some(ip(1))), Arrival::Admitted);
    let mut effects = Vec::new();
    for _ in 0..5 {
        gate.strike(0, ClientId(1), &mut effects);
    }
    assert_eq!(effects, []);
}

#[test]
fn a_machine_does_not_block_itself() {
    let mut gate = gate();
    let loopback = Some(IpAddr::from([127, 0, 0, 1]));
    assert_eq!(gate.arrive(0, ClientId(1), loopback), Arrival::Admitted);
    let mut effects = Vec::new();
    for _ in 0..10 {
        gate.strike(0, ClientId(1), &mut effects);
    }
    assert_eq!(effects, []);
    gate.check();
}

#[test]
fn a_proxy_says_later_for_whom_it_stands() {
    let mut gate = gate();
    for id in 1..=3 {
        assert_eq!(gate.arrive(0, ClientId(id), None), Arrival::Admitted);
    }
    assert_eq!(gate.locate(0, ClientId(1), ip(1)), Ok(()));
    assert_eq!(gate.locate(0, ClientId(2), ip(1)), Ok(()));
    assert_eq!(gate.locate(0, ClientId(3), ip(1)), Err(Refusal::Crowded));
    gate.check();
    assert_eq!(gate.admitted(), 2);
    for id in 1..=3 {
        leave(&mut gate, 0, id);
    }
    assert_eq!((gate.admitted(), gate.networks()), (0, 0));
}

#[test]
fn a_block_closes_those_of_its_network_and_counts_no_others() {
    let mut gate = gate_with([1, 2]);
    let mut effects = vec![GateEffect::Close(ClientId(9))];
    let block = (network_of(ip(1)), Some(1_000));
    assert_eq!(gate.block(0, None, block, None, &mut effects), Ok(2));
    assert_eq!((effects.len(), gate.totals().blocks), (3, 1));
}

#[derive(Clone, Debug)]
enum Op {
    Arrive(u64, Option<u8>),
    Locate(u64, u8),
    Leave(u64),
    Attempt(u64),
    Tried(u64, u8),
    Strike(u64),
    Block(u8, Option<u16>),
    Unblock(u8),
    Wait(u16),
}

fn op() -> impl Strategy<Value = Op> {
    let (id, from) = (0..12_u64, 0..4_u8);
    prop_oneof![
        4 => (id.clone(), prop::option::weighted(0.8, from.clone()))
            .prop_map(|(i, f)| Op::Arrive(i, f)),
        2 => (id.clone(), from.clone()).prop_map(|(i, f)| Op::Locate(i, f)),
        4 => id.clone().prop_map(Op::Leave),
        4 => id.clone().prop_map(Op::Attempt),
        4 => (id.clone(), 0..3_u8).prop_map(|(i, outcome)| Op::Tried(i, outcome)),
        2 => id.prop_map(Op::Strike),
        1 => (from.clone(), prop::option::of(1..3_000_u16)).prop_map(|(f, ms)| Op::Block(f, ms)),
        1 => from.prop_map(Op::Unblock),
        3 => (0..2_000_u16).prop_map(Op::Wait),
    ]
}

proptest! {
    /// Whatever comes in whatever order: every limit holds after each step, everybody who asked
    /// is answered once, and when all have left nothing is counted any more.
    #[test]
    fn limits_hold_in_any_order(ops in prop::collection::vec(op(), 1..200)) {
        let mut gate = gate();
        let mut now_ms = 0;
        let mut here = std::collections::BTreeMap::new();
        let mut asked = std::collections::BTreeSet::new();
        let mut trying = std::collections::BTreeSet::new();
        for op in ops {
            let mut effects = Vec::new();
            match op {
                Op::Arrive(id, from) if !here.contains_key(&id) => {
                    match gate.arrive(now_ms, ClientId(id), from.map(ip)) {
                        Arrival::Admitted => { here.insert(id, true); }
                        Arrival::Told(_) => { here.insert(id, false); }
                        Arrival::Dropped => {}
                    }
                }
                Op::Locate(id, from) => {
                    if gate.locate(now_ms, ClientId(id), ip(from)).is_err() {
                        here.insert(id, false);
                    }
                }
                Op::Leave(id) => {
                    gate.leave(now_ms, ClientId(id), &mut effects);
                    here.remove(&id);
                    asked.remove(&id);
                    trying.remove(&id);
                }
                Op::Attempt(id) if here.get(&id) == Some(&true) && !asked.contains(&id)
                    && !trying.contains(&id) =>
                {
                    asked.insert(id);
                    gate.attempt(now_ms, ClientId(id), &mut effects);
                }
                Op::Tried(id, outcome) if trying.contains(&id) => {
                    let outcome = [Tried::Good, Tried::Wrong, Tried::Unknown][usize::from(outcome)];
                    trying.remove(&id);
                    gate.tried(now_ms, ClientId(id), outcome, &mut effects);
                }
                Op::Strike(id) => gate.strike(now_ms, ClientId(id), &mut effects),
                Op::Block(from, ms) => {
                    let block = (network_of(ip(from)), ms.map(u64::from));
                    let closed = gate.block(now_ms, None, block, None, &mut effects);
                    prop_assert_eq!(closed.map_or(0, |closed| closed), effects.len());
                }
                Op::Unblock(from) => { gate.unblock(now_ms, network_of(ip(from))); }
                Op::Wait(ms) => now_ms += u64::from(ms),
                Op::Arrive(..) | Op::Attempt(_) | Op::Tried(..) => {}
            }
            gate.check();
            for effect in effects {
                if let GateEffect::Answer(ClientId(id), attempt) = effect {
                    prop_assert!(asked.remove(&id), "{id} was answered and had not asked");
                    if attempt == Attempt::Go {
                        trying.insert(id);
                    }
                }
            }
        }
        for id in here.keys() {
            gate.leave(now_ms, ClientId(*id), &mut Vec::new());
        }
        let (blocks, _) = gate.list_blocks(now_ms + 10 * OPTIONS.memory_ms, 10);
        prop_assert!(blocks.iter().all(|block| block.ordered && block.left_ms.is_none()));
        gate.check();
        prop_assert_eq!((gate.admitted(), gate.networks()), (0, 0));
    }
}
