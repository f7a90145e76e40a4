//! The engine alone: hub, shards and paces driven by events, without sockets and in no time. The
//! one exception knocks at a gateway: what `matrix` tells of who may what begins at the door.

#[expect(dead_code, reason = "only the door is knocked at")]
mod common;
mod hub_support;

mod hub;
mod hub_administrators;
mod hub_audience;
mod hub_connections;
mod hub_moving;
mod hub_notes;
mod hub_observed;
mod hub_quirks;
mod hub_races;
mod hub_served;
mod matrix;
mod pace;
mod roles;
mod shard;
mod shard_news;
mod shard_slow;
