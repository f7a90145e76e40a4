//! The arguments of `tickgate keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::user;
use crate::topic::Role;

#[derive(Args, Debug)]
pub(in crate::cli) struct KeysArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeysCommand {
    /// Make a key and print it, this once
    #[command(after_help = "\
Examples:
  tickgate keys new alice
  tickgate keys new alice --broker zerodha --role analyst
  KEY=$(tickgate keys new alice)                      only the key goes to standard output

The file holds only hashes. A user may have several keys, so that one can be replaced without a
gap. A running gateway reads them when it starts and on SIGHUP.")]
    New(NewKeyArgs),
    /// List whose keys there are
    #[command(after_help = "\
Examples:
  tickgate keys list
  tickgate keys list --file /etc/tickgate-keys.toml")]
    List(KeysFileArgs),
    /// Remove all keys of a user
    #[command(after_help = "\
Examples:
  tickgate keys remove alice")]
    Remove(RemoveKeyArgs),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct NewKeyArgs {
    /// Whose key
    #[arg(value_parser = user)]
    pub(in crate::cli) user: String,
    /// The user's broker [default: the first one configured]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) broker: Option<String>,
    /// How much the user may do with it: viewer, trader, analyst, admin or super_admin
    #[arg(long, value_name = "ROLE", default_value_t)]
    pub(in crate::cli) role: Role,
    #[command(flatten)]
    pub(in crate::cli) file: KeysFileArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RemoveKeyArgs {
    /// Whose keys
    #[arg(value_parser = user)]
    pub(in crate::cli) user: String,
    #[command(flatten)]
    pub(in crate::cli) file: KeysFileArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct KeysFileArgs {
    /// File of keys [default: auth.keys_file of the configuration, else tickgate-keys.toml]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Configuration file [default: ./tickgate.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
}
