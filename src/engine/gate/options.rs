//! The limits of the gate.

use crate::config::Config;

/// Blocks that administrators can make.
const ORDERED_BLOCKS_MAX: usize = 1_000;

/// Limits of the gate. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateOptions {
    /// Connections in all.
    pub clients_max: u32,
    /// Connections, beyond these, that are being told why they may not come in.
    pub told_max: u32,
    /// Connections of one network.
    pub connections_per_address_max: u32,
    /// Failed attempts to authenticate from one network before there are pauses.
    pub auth_failures_max: u32,
    /// The first pause after a failure; it doubles with each further one.
    pub auth_delay_ms: u64,
    /// The longest pause.
    pub auth_delay_max_ms: u64,
    /// How long after the last of them failures and strikes are forgotten.
    pub memory_ms: u64,
    /// Clients of one network closed for their conduct before it is blocked; 0: it never is.
    pub strikes_max: u32,
    /// The first block of a network; it doubles with each further one that is not forgotten.
    pub block_ms: u64,
    /// The longest block that the gate decides on itself.
    pub block_max_ms: u64,
    /// Blocks for conduct, and networks that are remembered for their failures or strikes. Beyond,
    /// whichever would end first makes room.
    pub remembered_max: usize,
    /// Blocks by administrators; beyond, there are no more.
    pub ordered_blocks_max: usize,
}

impl GateOptions {
    /// The options that a configuration gives.
    #[must_use]
    pub fn new(config: &Config, told_max: u32) -> Self {
        let (limits, conduct) = (&config.limits, &config.conduct);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            clients_max: count(limits.clients_max),
            told_max,
            connections_per_address_max: count(limits.connections_per_address_max),
            auth_failures_max: count(limits.auth_failures_per_address_max),
            auth_delay_ms: conduct.auth_delay_ms,
            auth_delay_max_ms: conduct.auth_delay_max_ms,
            memory_ms: conduct.memory_ms,
            strikes_max: count(conduct.strikes_max),
            block_ms: conduct.block_ms,
            block_max_ms: conduct.block_max_ms,
            remembered_max: conduct.remembered_max,
            ordered_blocks_max: ORDERED_BLOCKS_MAX,
        }
    }
}
