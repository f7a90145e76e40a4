//! The bytes of what an administrator is answered.

use super::{AdminAnswer, BlockRow, ClientRow};
use crate::protocol::json::ObjectWriter;

impl AdminAnswer {
    /// The name of the command that is answered.
    #[must_use]
    pub const fn command(&self) -> &'static str {
        match self {
            Self::Clients { .. } => "list_clients",
            Self::Blocked { .. } => "block",
            Self::Unblocked { .. } => "unblock",
            Self::Blocks { .. } => "list_blocks",
            Self::UserRemoved { .. } => "remove_user",
            Self::ClientClosed { .. } => "close_client",
            Self::Broadcast { .. } => "broadcast",
            Self::LogLevel { .. } => "log_level",
        }
    }

    pub(in crate::protocol) const fn row_count(&self) -> usize {
        match self {
            Self::Clients { rows, .. } => rows.len(),
            Self::Blocks { rows, .. } => rows.len(),
            Self::Blocked { .. }
            | Self::Unblocked { .. }
            | Self::UserRemoved { .. }
            | Self::ClientClosed { .. }
            | Self::Broadcast { .. }
            | Self::LogLevel { .. } => 0,
        }
    }

    pub(in crate::protocol) fn write(&self, object: &mut ObjectWriter<'_>) {
        object.text("type", "admin").text("status", "success").text("command", self.command());
        match self {
            Self::Clients { rows, total } => {
                object.array("clients", rows, write_client).number("total", *total as u64);
            }
            Self::Blocked { network, for_ms, closed } => {
                object.text("network", &network.to_string());
                number(object, "for_ms", *for_ms).number("closed", *closed as u64);
            }
            Self::Unblocked { network } => {
                object.text("network", &network.to_string());
            }
            Self::Blocks { rows, total } => {
                object.array("blocks", rows, write_block).number("total", *total as u64);
            }
            Self::UserRemoved { user, for_ms, closed } => {
                object.text("user", user.as_str());
                number(object, "for_ms", *for_ms).number("closed", *closed as u64);
            }
            Self::ClientClosed { client } => {
                object.number("client", client.0);
            }
            Self::Broadcast { reached } => {
                object.number("reached", *reached as u64);
            }
            Self::LogLevel { level, before } => {
                object.text("level", level).text("before", before);
            }
        }
    }
}

/// Writes nothing if there is no number.
fn number<'w, 'a>(
    object: &'w mut ObjectWriter<'a>,
    key: &str,
    number: Option<u64>,
) -> &'w mut ObjectWriter<'a> {
    match number {
        Some(number) => object.number(key, number),
        None => object,
    }
}

fn write_client(out: &mut Vec<u8>, row: &ClientRow) {
    let mut object = ObjectWriter::new(out);
    object.number("client", row.client.0);
    if let Some(user) = &row.user {
        object.text("user", user.as_str());
    }
    object.text("role", row.role.as_str());
    if let Some(address) = row.address {
        object.text("address", &address.to_string());
    }
    object.number("since", row.since_unix_ms).number("topics", row.topics as u64).end();
}

fn write_block(out: &mut Vec<u8>, row: &BlockRow) {
    let mut object = ObjectWriter::new(out);
    object.text("network", &row.network.to_string());
    number(&mut object, "left_ms", row.left_ms);
    object.text("by", if row.ordered { "administrator" } else { "conduct" });
    if let Some(reason) = &row.reason {
        object.text("reason", reason);
    }
    object.end();
}

pub(super) fn notice(message: &str, unix_ms: u64) -> Vec<u8> {
    let mut json = Vec::with_capacity(64 + message.len());
    ObjectWriter::new(&mut json)
        .text("type", "notice")
        .text("message", message)
        .number("timestamp", unix_ms)
        .end();
    json
}
