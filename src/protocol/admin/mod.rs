//! What an administrator can have done, and what is answered.
//!
//! The words are the same for a client with the right role and for `tickgate admin`.

mod encode;
mod parse;

use std::net::IpAddr;

use ipnet::IpNet;

use super::reject::{ErrorCode, Reject};
use crate::topic::{ClientId, Role, UserId};

pub(super) use parse::parse_command;

/// Milliseconds for which an address can be blocked or a user refused: a year. A block without a
/// time lasts until it is lifted.
pub const FOR_MS_MAX: u64 = 31_536_000_000;

/// Rows of `list_clients` if it does not say how many.
pub const ROWS_DEFAULT: usize = 100;

/// Most rows of `list_clients` and `list_blocks`.
pub const ROWS_MAX: usize = 1_000;

/// Bytes of the `reason` of a block.
pub const REASON_BYTES_MAX: usize = 256;

/// Bytes of the `message` of a broadcast.
pub const MESSAGE_BYTES_MAX: usize = 1_024;

/// Bytes of the `level` of the log.
pub const LEVEL_BYTES_MAX: usize = 256;

/// Bytes of a user's name.
pub const USER_BYTES_MAX: usize = 256;

/// Something an administrator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// Says who is there.
    ListClients {
        /// Only clients of this user.
        user: Option<UserId>,
        /// Only clients from there.
        address: Option<IpNet>,
        /// Rows, at most [`ROWS_MAX`].
        limit: usize,
    },
    /// Lets nobody in from a network, and closes its clients.
    Block {
        /// One address or a network.
        network: IpNet,
        /// For so many milliseconds, 1 to [`FOR_MS_MAX`]; `None`: until it is lifted.
        for_ms: Option<u64>,
        /// For whoever reads the list of blocks.
        reason: Option<String>,
    },
    /// Lifts the block of exactly this network.
    Unblock {
        /// As it was blocked.
        network: IpNet,
    },
    /// Says what is blocked.
    ListBlocks,
    /// Closes all clients of a user.
    RemoveUser {
        /// Whose.
        user: UserId,
        /// Refuses the user for so many milliseconds, at most [`FOR_MS_MAX`]; 0 ends an earlier
        /// refusal, `None` changes nothing about it.
        for_ms: Option<u64>,
    },
    /// Closes one client.
    CloseClient {
        /// Which.
        client: ClientId,
    },
    /// Tells everybody who has authenticated something.
    Broadcast {
        /// What.
        message: String,
    },
    /// Changes what is logged.
    LogLevel {
        /// As `log.level` of the configuration.
        level: String,
    },
}

impl AdminCommand {
    /// Every command's name.
    pub const NAMES: [&'static str; 8] = [
        "list_clients",
        "block",
        "unblock",
        "list_blocks",
        "remove_user",
        "close_client",
        "broadcast",
        "log_level",
    ];

    /// The command's name, one of [`AdminCommand::NAMES`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ListClients { .. } => "list_clients",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::ListBlocks => "list_blocks",
            Self::RemoveUser { .. } => "remove_user",
            Self::CloseClient { .. } => "close_client",
            Self::Broadcast { .. } => "broadcast",
            Self::LogLevel { .. } => "log_level",
        }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAnswer {
    /// Who is there.
    Clients {
        /// In the order in which they came, cut to the limit.
        rows: Vec<ClientRow>,
        /// All that match.
        total: usize,
    },
    /// A network is blocked.
    Blocked {
        /// Without host bits.
        network: IpNet,
        /// For so many milliseconds; `None`: until it is lifted.
        for_ms: Option<u64>,
        /// Connections that were there, those included that were on their way in.
        closed: usize,
    },
    /// A block is lifted.
    Unblocked {
        /// Without host bits.
        network: IpNet,
    },
    /// What is blocked.
    Blocks {
        /// Those of administrators first; cut to [`ROWS_MAX`].
        rows: Vec<BlockRow>,
        /// All.
        total: usize,
    },
    /// A user's clients are closed.
    UserRemoved {
        /// Whose.
        user: UserId,
        /// For so many milliseconds the user is refused.
        for_ms: Option<u64>,
        /// How many clients.
        closed: usize,
    },
    /// A client is closed.
    ClientClosed {
        /// Which.
        client: ClientId,
    },
    /// Everybody was told.
    Broadcast {
        /// How many clients.
        reached: usize,
    },
    /// The log follows another filter.
    LogLevel {
        /// The one that holds now.
        level: String,
        /// The one before.
        before: String,
    },
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// Its number.
    pub client: ClientId,
    /// As whom it has authenticated.
    pub user: Option<UserId>,
    /// What it may do.
    pub role: Role,
    /// From where it comes, if that is known.
    pub address: Option<IpAddr>,
    /// When its handshake was done, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Topics that it wants.
    pub topics: usize,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// What is blocked.
    pub network: IpNet,
    /// For so many milliseconds more; `None`: until it is lifted.
    pub left_ms: Option<u64>,
    /// Whether an administrator said so; otherwise its clients broke rules.
    pub ordered: bool,
    /// In the administrator's words.
    pub reason: Option<String>,
}

/// The message of a broadcast as clients get it: a JSON text.
#[must_use]
pub fn notice(message: &str, unix_ms: u64) -> Vec<u8> {
    encode::notice(message, unix_ms)
}

/// Refusals of administrators, and by administrators.
impl Reject {
    /// The user may not come in, for so many milliseconds more.
    #[must_use]
    pub fn removed_by_an_administrator(left_ms: u64) -> Self {
        let message = "This user was removed by an administrator";
        Self { retry_after_ms: Some(left_ms), ..Self::of(ErrorCode::Forbidden, message) }
    }

    /// A command makes no sense as things are; `why` says so.
    #[must_use]
    pub fn not_administered(why: &str) -> Self {
        let mut letters = why.chars();
        let capital = letters.next().map(|first| first.to_ascii_uppercase());
        let message: String = capital.into_iter().chain(letters).collect();
        Self::new(ErrorCode::InvalidParameters, &message)
    }

    /// A command was not carried out in time. It may be yet.
    #[must_use]
    pub fn administration_took_too_long() -> Self {
        Self::of(ErrorCode::ServerError, "The command was not carried out in time")
    }

    /// Too many commands wait.
    #[must_use]
    pub fn administration_is_busy() -> Self {
        Self::of(ErrorCode::ServerError, "Too many commands are waiting; try again later")
    }
}
