//! Our sockets against scripted peers, over a network in memory and on paused time: what hostile,
//! dead and slow peers do, and when we act on it to the millisecond.

mod control;
pub mod memory;
mod publisher;
mod raw;
mod sub;
mod times;
