//! Blocks that administrators make, and those who are on their way in meanwhile.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Arrival, Attempt, Gate, GateEffect, GateOptions, NotBlocked, Refusal, Tried};
use crate::topic::ClientId;

const OPTIONS: GateOptions = GateOptions {
    clients_max: 10,
    told_max: 10,
    connections_per_address_max: 10,
    auth_failures_max: 1,
    auth_delay_ms: 100,
    auth_delay_max_ms: 400,
    memory_ms: 10_000,
    strikes_max: 1,
    block_ms: 1_000,
    block_max_ms: 3_000,
    remembered_max: 3,
    ordered_blocks_max: 2,
};

const LATE_MS: u64 = u64::MAX / 2;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn gate_with(addresses: &[&str]) -> Gate {
    let mut gate = Gate::new(OPTIONS);
    for (id, address) in (1..).zip(addresses) {
        assert_eq!(gate.arrive(0, ClientId(id), Some(ip(address))), Arrival::Admitted);
    }
    gate
}

/// Who is closed by the block of a network.
fn block(
    gate: &mut Gate,
    now_ms: u64,
    network: &str,
    for_ms: Option<u64>,
) -> Result<Vec<u64>, NotBlocked> {
    let mut effects = Vec::new();
    let count = gate.block(now_ms, None, (net(network), for_ms), None, &mut effects)?;
    gate.check();
    let closed = effects.iter().map(|effect| match effect {
        GateEffect::Close(id) => id.0,
        GateEffect::Answer(..) | GateEffect::Blocked(..) => panic!("{effect:?}"),
    });
    let closed: Vec<_> = closed.collect();
    assert_eq!(closed.len(), count);
    Ok(closed)
}

fn arrive(gate: &mut Gate, now_ms: u64, id: u64, address: &str) -> Arrival {
    gate.arrive(now_ms, ClientId(id), Some(ip(address)))
}

const BLOCKED: Arrival = Arrival::Told(Refusal::Blocked(None));

#[test]
fn a_block_covers_a_network_until_it_is_lifted() {
    let mut gate = gate_with(&["10.0.0.1", "11.0.0.1", "::ffff:10.9.9.9"]);
    assert_eq!(block(&mut gate, 0, "10.0.0.0/8", None), Ok(vec![1, 3]), "a mapped address too");
    assert_eq!(arrive(&mut gate, LATE_MS, 4, "10.0.0.77"), BLOCKED);
    assert_eq!(arrive(&mut gate, LATE_MS, 5, "::ffff:10.0.0.77"), BLOCKED);
    assert_eq!(arrive(&mut gate, LATE_MS, 6, "11.0.0.1"), Arrival::Admitted);
    assert!(!gate.unblock(LATE_MS, net("10.0.0.1/32")), "that is not what is blocked");
    assert!(gate.unblock(LATE_MS, net("10.0.0.0/8")));
    assert!(!gate.unblock(LATE_MS, net("10.0.0.0/8")));
    assert_eq!(arrive(&mut gate, LATE_MS, 7, "10.0.0.77"), Arrival::Admitted);
    gate.check();
}

#[test]
fn a_block_with_a_time_ends_by_itself() {
    let mut gate = gate_with(&[]);
    assert_eq!(block(&mut gate, 0, "2001:db8::/32", Some(500)), Ok(vec![]));
    let told = Arrival::Told(Refusal::Blocked(Some(100)));
    assert_eq!(arrive(&mut gate, 400, 1, "2001:db8::1"), told);
    assert_eq!(arrive(&mut gate, 500, 2, "2001:db8::1"), Arrival::Admitted);
    assert_eq!(gate.list_blocks(500, 10), (vec![], 0));
}

#[test]
fn nobody_locks_himself_out() {
    let mut gate = gate_with(&["10.0.0.1", "10.0.0.2"]);
    for network in ["127.0.0.1/32", "127.4.0.0/16", "0.0.0.0/0", "::1/128", "::/0"] {
        assert_eq!(block(&mut gate, 0, network, None), Err(NotBlocked::Loopback), "{network}");
    }
    let mut by = |by: u64, network| {
        gate.block(0, Some(ClientId(by)), (net(network), None), None, &mut Vec::new())
    };
    assert_eq!(by(1, "10.0.0.0/24"), Err(NotBlocked::OwnAddress));
    assert_eq!(by(1, "10.0.0.2/32"), Ok(1));
    assert_eq!(gate.blocked(), 1);
}

#[test]
fn too_many_blocks_are_refused_and_those_of_conduct_push_none_out() {
    let mut gate = gate_with(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    assert_eq!(block(&mut gate, 0, "1.0.0.0/8", None), Ok(vec![]));
    assert_eq!(block(&mut gate, 0, "2.0.0.0/8", Some(1)), Ok(vec![]));
    assert_eq!(block(&mut gate, 0, "3.0.0.0/8", None), Err(NotBlocked::Full(2)));
    assert_eq!(block(&mut gate, 0, "2.0.0.0/8", None), Ok(vec![]), "it replaces the other");
    for id in 1..=4 {
        gate.strike(0, ClientId(id), &mut Vec::new());
        gate.check();
    }
    let (rows, total) = gate.list_blocks(0, 3);
    assert_eq!(rows.iter().filter(|row| row.ordered).count(), 2);
    assert_eq!((rows.len(), total), (3, 5));
}

#[test]
fn a_block_for_conduct_does_not_shorten_that_of_an_administrator() {
    let mut gate = gate_with(&["10.0.0.1"]);
    assert_eq!(block(&mut gate, 0, "10.0.0.1/32", None), Ok(vec![1]));
    gate.strike(0, ClientId(1), &mut Vec::new());
    assert_eq!(arrive(&mut gate, 5_000, 2, "10.0.0.1"), BLOCKED);
    assert!(gate.unblock(5_000, net("10.0.0.1/32")));
    assert_eq!(arrive(&mut gate, 5_000, 3, "10.0.0.1"), Arrival::Admitted);
}

#[test]
fn an_unblock_lifts_a_block_for_conduct_too() {
    let mut gate = gate_with(&["10.0.0.1"]);
    gate.strike(0, ClientId(1), &mut Vec::new());
    let row = gate.list_blocks(100, 10).0.remove(0);
    assert_eq!((row.network, row.left_ms, row.ordered), (net("10.0.0.1/32"), Some(900), false));
    assert!(gate.unblock(100, net("10.0.0.1/32")));
    assert_eq!(arrive(&mut gate, 100, 2, "10.0.0.1"), Arrival::Admitted);
}

#[test]
fn whoever_a_proxy_stands_for_does_not_get_in_once_blocked() {
    let mut gate = Gate::new(OPTIONS);
    assert_eq!(gate.arrive(0, ClientId(1), None), Arrival::Admitted);
    assert_eq!(gate.arrive(0, ClientId(2), None), Arrival::Admitted);
    assert_eq!(gate.locate(0, ClientId(1), ip("10.0.0.1")), Ok(()));
    assert_eq!(block(&mut gate, 0, "10.0.0.0/8", None), Ok(vec![1]), "it has said from where");
    assert_eq!(gate.locate(0, ClientId(2), ip("10.0.0.2")), Err(Refusal::Blocked(None)));
    gate.check();
}

#[test]
fn whoever_waits_to_try_a_credential_is_closed_and_keeps_nobody_else_waiting() {
    let mut gate = gate_with(&["10.0.0.1", "10.0.0.1", "10.0.0.1"]);
    let mut effects = Vec::new();
    for id in 1..=3 {
        gate.attempt(0, ClientId(id), &mut effects);
    }
    assert_eq!(effects, [GateEffect::Answer(ClientId(1), Attempt::Go)], "the others wait");
    assert_eq!(block(&mut gate, 0, "10.0.0.1/32", None), Ok(vec![1, 2, 3]));
    effects.clear();
    for id in 1..=3 {
        gate.tried(0, ClientId(id), Tried::Good, &mut effects);
    }
    for id in [2, 1, 3] {
        gate.leave(0, ClientId(id), &mut effects);
        gate.check();
    }
    assert_eq!((gate.admitted(), gate.networks()), (0, 0), "nothing is left");
}

#[test]
fn addresses_are_told_of_those_who_have_come_in() {
    let mut gate = gate_with(&["10.0.0.1", "::ffff:11.0.0.1"]);
    gate.arrive(0, ClientId(3), None);
    let all = gate.addresses_of(None);
    assert_eq!(all.len(), 2, "nobody knows where the third is");
    assert_eq!(all[&ClientId(2)], ip("11.0.0.1"));
    assert_eq!(gate.addresses_of(Some(net("11.0.0.0/8"))).len(), 1);
}
