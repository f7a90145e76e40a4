//! The arguments of every command, and their help.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;

use super::audit::Moment;
use super::keys::KeysArgs;
use super::record::{
    IMPORT_EXAMPLES, ImportArgs, RECORD_EXAMPLES, RECORDING_EXAMPLES, RecordArgs, RecordingArgs,
};
use super::tail::Url;
use crate::audit::What;
use crate::auth::keys_file::is_user_name;
use crate::topic::{Instrument, Mode};

/// A market-data gateway: ZeroMQ in, WebSocket out, one broker subscription shared by all who
/// want it.
///
/// Without a command it serves: WebSocket clients on 127.0.0.1:8765, publishers on
/// tcp://127.0.0.1:5555, a paper broker and a demo key, all of it without a configuration.
#[derive(Debug, Parser)]
#[command(
    name = "tickgate",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  tickgate                                            start a gateway
  tickgate tail NSE:RELIANCE NSE_INDEX:NIFTY          watch its prices, in another terminal
  tickgate check tickgate.toml                        look through a configuration
  tickgate keys new alice                             make an API key

Exit codes: 0 done, 1 something went wrong at work, 2 the command line or the configuration is
wrong, or an address is in use."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start a gateway (the default)
    #[command(after_help = "\
Examples:
  tickgate serve
  tickgate serve --config /etc/tickgate.toml
  TICKGATE_SERVER_LISTEN=127.0.0.1:9000 tickgate serve
  tickgate serve --openalgo ~/openalgo                in place of OpenAlgo's WebSocket proxy

Every key of the configuration can be set by TICKGATE_<SECTION>_<KEY>; tickgate.example.toml
explains them all. Ctrl-C or SIGTERM lets clients finish for at most server.drain_timeout_ms, a
second one ends at once. SIGHUP has it read the files of credentials and the certificate again.")]
    Serve(ServeArgs),
    /// Watch live prices as a client
    #[command(after_help = "\
Examples:
  tickgate tail NSE:RELIANCE NSE_INDEX:NIFTY
  tickgate tail NSE:TCS:20 --mode depth               a symbol may hold `:`
  tickgate tail NSE:RELIANCE --count 10 | tee ticks   plain lines, ends after ten
  tickgate tail NSE:RELIANCE --json | jq .data.ltp    the frames as they come
  TICKGATE_KEY=… tickgate tail NSE:INFY --url ws://gateway:8765
  TICKGATE_KEY=… tickgate tail NSE:INFY --url wss://gateway:8765 --ca ca.pem
  tickgate tail --orders                              order updates of the key's user")]
    Tail(TailArgs),
    /// Record ticks with their times, to be replayed
    #[command(after_help = RECORD_EXAMPLES)]
    Record(RecordArgs),
    /// Say what is in a recording
    #[command(after_help = RECORDING_EXAMPLES)]
    Recording(RecordingArgs),
    /// Make a recording of a text file of ticks (CSV)
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Look through a configuration file
    #[command(after_help = "\
Examples:
  tickgate check tickgate.toml
  tickgate check --openalgo ~/openalgo

Judges the file as `tickgate serve --config FILE` would, in this environment. Exit code 2 if
something is wrong.")]
    Check(CheckArgs),
    /// Print the configuration that holds, as TOML
    #[command(after_help = "\
Examples:
  tickgate config
  tickgate config --config my.toml > whole.toml")]
    Config(ServeArgs),
    /// Make, list and remove API keys
    Keys(KeysArgs),
    /// Read the audit log
    #[command(after_help = "\
Examples:
  tickgate audit audit.jsonl
  tickgate audit audit.jsonl --user alice --since 2h
  tickgate audit audit.jsonl --all --since 2026-11-21T09:15:00 --until 2026-11-21T15:30:00
  tickgate audit audit.jsonl --event authentication_failed --event violation
  tickgate audit audit.jsonl --address 203.0.113.0/24 --json | jq .client

Filters add up; several events are alternatives. The gateway writes the file that audit.file of its
configuration names, and puts it aside as FILE.1, FILE.2 and so on. Lines that are no records are
told of and passed over.")]
    Audit(AuditArgs),
    /// Have a gateway on this machine list, block, remove or tell its clients
    #[cfg(unix)]
    #[command(after_help = "\
Examples:
  tickgate admin clients
  tickgate admin block 203.0.113.0/24 --for 2h
  tickgate admin --port 9001 broadcast \"restart at 16:00\"

Only the gateway's own user can do that: the gateway listens on a socket that nobody else can open.
The socket is found by the port of its status page; admin.socket of its configuration changes it.")]
    Admin(super::admin::AdminArgs),
    /// Run the paper broker as a process of its own
    #[command(after_help = "\
Examples:
  tickgate paper-host
  tickgate paper-host --listen tcp://127.0.0.1:5560 --bus tcp://127.0.0.1:5555 --seed 7

The gateway finds it by

  [[brokers]]
  name = \"paper\"
  kind = \"remote\"
  address = \"tcp://127.0.0.1:5560\"")]
    PaperHost(PaperHostArgs),
    /// Load a gateway and say how many ticks it delivers, how late, and what that costs
    #[cfg(target_os = "linux")]
    #[command(after_help = "\
Examples:
  tickgate bench                                      1,000 clients, one topic, as fast as it goes
  tickgate bench --topics 500 --topics-per-client 50
  tickgate bench --rate 100 --raw-loop 5              against a loop that does nothing but write
  tickgate bench --clients 10000 --rate 1             what clients cost that have little to do
  tickgate bench --rate 1000 --stall-every 10         what slow clients do to the others
  tickgate bench --rate 500 --churn 50 --seconds 600  what is left behind
  tickgate bench --server-cores 0 --load-cores 1 --json

It starts a gateway of its own; one that runs already is given by --url and --bus. Ticks go through
ZeroMQ. Lateness counts from when a tick was due, so that nothing hides behind a slow publisher. A
load that is as busy as its cores are many says more of itself than of the gateway.")]
    Bench(super::bench::BenchArgs),
    /// The loop that `bench --raw-loop` compares with
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    RawLoop(super::bench::RawLoopArgs),
}

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Configuration file [default: ./tickgate.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Directory of an OpenAlgo installation: what its .env and its variables in the environment
    /// say of its WebSocket proxy holds for this gateway, where nothing of its own says otherwise
    #[arg(long, value_name = "PATH")]
    pub(super) openalgo: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct TailArgs {
    /// What to watch, each as EXCHANGE:SYMBOL
    #[arg(
        value_name = "SYMBOL",
        value_parser = instrument,
        required_unless_present = "orders"
    )]
    pub(super) symbols: Vec<Instrument>,
    /// How much of it: ltp, quote or depth
    #[arg(long, default_value = "quote", value_parser = mode)]
    pub(super) mode: Mode,
    /// Levels of the order book to ask for, 1 to 200, with `--mode depth`; what the broker has
    /// comes
    #[arg(long, value_name = "LEVELS", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(super) depth: u32,
    /// The latest price at most every so many milliseconds, 10 to 3600000
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(super) interval: Option<u64>,
    /// Where the gateway is
    #[arg(long, default_value = "ws://127.0.0.1:8765", value_parser = Url::parse)]
    pub(super) url: Url,
    /// With wss://: PEM file of the authorities to believe [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// API key; better given by the variable, which other users of this machine cannot see
    /// [default: the demo key, on this machine]
    #[arg(long, env = "TICKGATE_KEY", hide_env_values = true)]
    pub(super) key: Option<String>,
    /// Show the user's order updates too
    #[arg(long)]
    pub(super) orders: bool,
    /// End after this many ticks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// End after this many seconds, connected or not; exit code 1 if less came by then than was
    /// asked for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(super) timeout_seconds: Option<u64>,
    /// Print the frames as they come, one a line
    #[arg(long)]
    pub(super) json: bool,
}

impl std::fmt::Debug for TailArgs {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TailArgs")
            .field("symbols", &self.symbols)
            .field("mode", &self.mode)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// Configuration file
    #[arg(required_unless_present = "openalgo")]
    pub(super) file: Option<PathBuf>,
    /// Directory of an OpenAlgo installation, as `serve --openalgo` takes it; says what became of
    /// each of its settings
    #[arg(long, value_name = "PATH")]
    pub(super) openalgo: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct AuditArgs {
    /// The audit log
    pub(super) file: PathBuf,
    /// Read the files that were put aside too, the oldest first
    #[arg(long)]
    pub(super) all: bool,
    /// Only what this user did
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Only what this connection did, by its number
    #[arg(long, value_name = "NUMBER", value_parser = client)]
    pub(super) client: Option<u64>,
    /// Only events of this name
    #[arg(long, value_name = "NAME",
        value_parser = clap::builder::PossibleValuesParser::new(What::NAMES))]
    pub(super) event: Vec<String>,
    /// Only what came from this address or network
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    pub(super) address: Option<IpNet>,
    /// Only what happened from then on: a moment in UTC, as 2026-11-21T09:15:00, or how long ago,
    /// as 90s, 30m, 2h or 7d
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse)]
    pub(super) since: Option<Moment>,
    /// Only what happened before
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse)]
    pub(super) until: Option<Moment>,
    /// Print the lines as they are
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct PaperHostArgs {
    /// Where gateways reach the broker, tcp://host:port
    #[arg(long, default_value = "tcp://127.0.0.1:5560", value_parser = endpoint)]
    pub(super) listen: String,
    /// The gateway's bus, to which ticks are published, tcp://host:port
    #[arg(long, default_value = "tcp://127.0.0.1:5555", value_parser = endpoint)]
    pub(super) bus: String,
    /// Seed of the market [default: another market each time]
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Ticks per second and topic, 0.01 to 1000
    #[arg(long, value_name = "X", value_parser = rate)]
    pub(super) ticks_per_second: Option<f64>,
    /// The broker's name on the bus
    #[arg(long, default_value = "paper", value_parser = user)]
    pub(super) name: String,
    /// What to log, as log.level of the configuration
    #[arg(long, value_name = "FILTER", env = "TICKGATE_LOG_LEVEL", default_value = "info")]
    pub(super) log_level: String,
}

pub(super) fn instrument(text: &str) -> Result<Instrument, String> {
    let (exchange, symbol) = text.split_once(':').ok_or_else(|| {
        format!("the exchange is missing; write EXCHANGE:SYMBOL, as NSE:{}", text.to_uppercase())
    })?;
    let fits =
        |name: &str| !name.is_empty() && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if fits(exchange) && fits(symbol) {
        Ok(Instrument::new(exchange, symbol))
    } else {
        Err("write EXCHANGE:SYMBOL without spaces, as NSE:RELIANCE".into())
    }
}

pub(super) fn mode(text: &str) -> Result<Mode, String> {
    let number = text.trim().parse().ok().and_then(Mode::from_number);
    number
        .or_else(|| Mode::from_name(text.trim()))
        .ok_or_else(|| "a mode is ltp, quote or depth".to_owned())
}

pub(super) fn user(text: &str) -> Result<String, String> {
    if is_user_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 64 bytes without spaces".into())
    }
}

pub(super) fn endpoint(text: &str) -> Result<String, String> {
    match crate::config::Address::parse_tcp(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(reason) => Err(format!("write tcp://host:port, as tcp://127.0.0.1:5560 ({reason})")),
    }
}

pub(super) fn client(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('c').unwrap_or(text);
    number.parse().map_err(|_| "a connection is a number, as 7 or c7".to_owned())
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map_err(|_| "write an address or a network, as 203.0.113.7 or 203.0.113.0/24".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.01..=1_000.0).contains(rate))
        .ok_or_else(|| "a number between 0.01 and 1000".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_symbol_may_hold_colons() {
        assert_eq!(instrument("NSE:TCS:20"), Ok(Instrument::new("NSE", "TCS:20")));
        assert_eq!(instrument("NSE:M&M"), Ok(Instrument::new("NSE", "M&M")));
        for bad in ["RELIANCE", ":RELIANCE", "NSE:", "NSE:A B", ""] {
            assert!(instrument(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mode_is_a_name_or_a_number() {
        for (text, wanted) in [("LTP", Mode::Ltp), ("quote", Mode::Quote), ("3", Mode::Depth)] {
            assert_eq!(mode(text), Ok(wanted));
        }
        assert!(mode("4").is_err() && mode("full").is_err());
    }

    #[test]
    fn the_key_is_not_shown_for_debugging() {
        let cli = Cli::try_parse_from(["tickgate", "tail", "A:B", "--key", "hush"]).expect("fits");
        assert!(!format!("{cli:?}").contains("hush"));
    }
}
