//! The arguments of `record`, `recording` and `import`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{endpoint, instrument, mode};
use crate::cli::tail::Url;
use crate::recording::csv::Zone;
use crate::topic::{Instrument, Mode};

pub(in crate::cli) const RECORD_EXAMPLES: &str = "\
Examples:
  tickgate record market.tick NSE:RELIANCE NSE_INDEX:NIFTY     as a client of a gateway
  tickgate record market.tick NSE:TCS --mode depth --seconds 300
  tickgate record market.tick --bind tcp://127.0.0.1:5555      in a gateway's place on the bus
  tickgate record market.tick --connect tcp://127.0.0.1:5556   from publishers that bind

Publishers connect to whoever binds the bus: with --bind no gateway can run there. With neither
--bind nor --connect it is a client of a running gateway. Ctrl-C or SIGTERM ends the file as it
should end; a file that was cut off otherwise is good up to its last second.";

pub(in crate::cli) const RECORDING_EXAMPLES: &str = "\
Examples:
  tickgate recording market.tick
  tickgate recording market.tick --csv > market.csv";

pub(in crate::cli) const IMPORT_EXAMPLES: &str = "\
Examples:
  tickgate import trades.csv market.tick
  tickgate import nse.csv market.tick --exchange NSE --zone +05:30

The head line names the columns: time, exchange, symbol and ltp (or price); if there are, open,
high, low, close, volume, bid, ask and the like; or time, topic and payload. Times are a number of
s, ms, us or ns since 1970, or ISO 8601. Lines are in the order of their times; a file of any size
is read in little memory, which is why it is not sorted here.";

#[derive(Args)]
pub(in crate::cli) struct RecordArgs {
    /// The recording to make
    pub(super) file: PathBuf,
    /// What to record, each as EXCHANGE:SYMBOL [default: on a bus, everything]
    #[arg(value_name = "SYMBOL", value_parser = instrument,
        required_unless_present_any = ["bind", "connect"])]
    pub(super) symbols: Vec<Instrument>,
    /// ltp, quote or depth [default: quote from a gateway, every mode from a bus]
    #[arg(long, value_parser = mode)]
    pub(super) mode: Option<Mode>,
    /// Bind this address, to which publishers connect, tcp://host:port
    #[arg(long, value_name = "ADDRESS", value_parser = endpoint)]
    pub(super) bind: Vec<String>,
    /// Connect to publishers that have bound this address, tcp://host:port
    #[arg(long, value_name = "ADDRESS", value_parser = endpoint)]
    pub(super) connect: Vec<String>,
    /// Where the gateway is
    #[arg(long, default_value = "ws://127.0.0.1:8765", value_parser = Url::parse,
        conflicts_with_all = ["bind", "connect"])]
    pub(super) url: Url,
    /// With wss://: PEM file of the authorities to believe [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// API key; better given by the variable, which other users of this machine cannot see
    /// [default: the demo key, on this machine]
    #[arg(long, env = "TICKGATE_KEY", hide_env_values = true)]
    pub(super) key: Option<String>,
    /// Levels of the order book to ask a gateway for, 1 to 200, with `--mode depth`
    #[arg(long, value_name = "LEVELS", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(super) depth: u32,
    /// End after this many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(super) seconds: Option<u64>,
    /// End after this many ticks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Replace a file that is there already
    #[arg(long)]
    pub(super) force: bool,
}

impl std::fmt::Debug for RecordArgs {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordArgs")
            .field("file", &self.file)
            .field("symbols", &self.symbols)
            .finish_non_exhaustive()
    }
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RecordingArgs {
    /// The recording
    pub(super) file: PathBuf,
    /// Print its ticks: nanoseconds since 1970, topic, payload
    #[arg(long)]
    pub(super) csv: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ImportArgs {
    /// The text file
    pub(super) csv: PathBuf,
    /// The recording to make
    pub(super) file: PathBuf,
    /// Exchange of lines that name none
    #[arg(long)]
    pub(super) exchange: Option<String>,
    /// What times without a zone are ahead of UTC, as +05:30 [default: nothing]
    #[arg(long, value_parser = zone, allow_hyphen_values = true)]
    pub(super) zone: Option<Zone>,
    /// Replace a file that is there already
    #[arg(long)]
    pub(super) force: bool,
}

fn zone(text: &str) -> Result<Zone, String> {
    Zone::parse(text).ok_or_else(|| "write hours and minutes, as +05:30".to_owned())
}
