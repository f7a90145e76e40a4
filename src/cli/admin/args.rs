//! The arguments of `tickgate admin`, and their help.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use crate::cli::args::{client, network, user};
use crate::runtime::calendar;

#[derive(Args, Debug)]
pub(in crate::cli) struct AdminArgs {
    /// The gateway's socket, as admin.socket of its configuration says [default: that of --port]
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) socket: Option<PathBuf>,
    /// The port of the gateway's status page, by which its socket is found
    #[arg(long, default_value_t = 8766, global = true, conflicts_with = "socket")]
    pub(super) port: u16,
    /// Print the answer as it comes
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: AdminCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminCommand {
    /// List clients, in the order in which they came
    #[command(after_help = "\
Examples:
  tickgate admin clients
  tickgate admin clients --user alice
  tickgate admin clients --address 203.0.113.0/24 --limit 1000 --json | jq .total")]
    Clients {
        /// Only clients of this user
        #[arg(long)]
        user: Option<String>,
        /// Only clients from this address or network
        #[arg(long, value_name = "ADDRESS", value_parser = network)]
        address: Option<IpNet>,
        /// Rows, 0 to 1000
        #[arg(long, value_name = "N", default_value_t = 100,
            value_parser = clap::value_parser!(u64).range(..=1_000))]
        limit: u64,
    },
    /// Let nobody in from an address or network, and close its clients
    #[command(after_help = "\
Examples:
  tickgate admin block 203.0.113.7
  tickgate admin block 203.0.113.0/24 --for 2h --reason \"asks too often\"
  tickgate admin block 2001:db8::/64

Loopback cannot be blocked.")]
    Block {
        /// What to block
        #[arg(value_parser = network)]
        network: IpNet,
        /// For how long, as 90s, 30m, 2h or 7d [default: until it is unblocked]
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        for_ms: Option<u64>,
        /// For whoever reads the list of blocks
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Lift a block
    #[command(after_help = "\
Examples:
  tickgate admin unblock 203.0.113.0/24               as `tickgate admin blocks` shows it")]
    Unblock {
        /// What was blocked
        #[arg(value_parser = network)]
        network: IpNet,
    },
    /// List what is blocked
    Blocks,
    /// Close all clients of a user
    #[command(after_help = "\
Examples:
  tickgate admin remove-user alice                    she may come back at once
  tickgate admin remove-user alice --for 1h           and she is refused for an hour
  tickgate admin remove-user alice --let-in           and she is refused no longer

To keep a user out for ever, remove the keys: `tickgate keys remove`.")]
    RemoveUser {
        /// Whose
        #[arg(value_parser = user)]
        user: String,
        /// Refuse the user for so long, as 90s, 30m, 2h or 7d
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        for_ms: Option<u64>,
        /// End an earlier refusal
        #[arg(long, conflicts_with = "for_ms")]
        let_in: bool,
    },
    /// Close one client
    #[command(after_help = "\
Examples:
  tickgate admin close 7                              as `tickgate admin clients` shows it")]
    Close {
        /// Its number
        #[arg(value_parser = client)]
        client: u64,
    },
    /// Tell everybody who has authenticated something
    #[command(after_help = "\
Examples:
  tickgate admin broadcast \"restart at 16:00\"")]
    Broadcast {
        /// What
        message: String,
    },
    /// Change what the gateway logs, until it is changed again or restarted
    #[command(after_help = "\
Examples:
  tickgate admin log-level debug
  tickgate admin log-level info,tickgate::server=debug")]
    LogLevel {
        /// A filter, as log.level of the configuration
        level: String,
    },
}

/// `90s`, `30m`, `2h` or `7d`, in milliseconds.
fn duration(text: &str) -> Result<u64, String> {
    let ms = calendar::span_ms(text);
    ms.filter(|ms| *ms > 0).ok_or_else(|| "write how long, as 90s, 30m, 2h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(90_000));
        assert_eq!(duration("7d"), Ok(604_800_000));
        for bad in ["", "7", "h", "0s", "-1h", "1.5h", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
