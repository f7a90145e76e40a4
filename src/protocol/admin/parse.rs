//! The fields of an administrator's command.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::value::RawValue;

use super::{
    AdminCommand, FOR_MS_MAX, LEVEL_BYTES_MAX, MESSAGE_BYTES_MAX, REASON_BYTES_MAX, ROWS_DEFAULT,
    ROWS_MAX, USER_BYTES_MAX,
};
use crate::protocol::fields::text;
use crate::protocol::name::is_plain;
use crate::protocol::reject::{ErrorCode, Reject};
use crate::topic::{ClientId, UserId};

/// Bits of an IPv6 prefix behind which an IPv4 address is mapped.
const MAPPED_BITS: u8 = 96;

/// Reads a command from the JSON object of a request. A field that is `null` counts as missing;
/// unknown fields are ignored.
///
/// # Errors
///
/// Says which field is wrong, and what it should be.
pub(in crate::protocol) fn parse_command(json: &str) -> Result<AdminCommand, Reject> {
    let fields = Fields(serde_json::from_str(json).map_err(|_| Reject::invalid_json())?);
    let command = fields.text("command", 64)?;
    match command.as_deref() {
        Some("list_clients") => Ok(AdminCommand::ListClients {
            user: fields.user()?,
            address: fields.network("address")?,
            limit: fields.limit()?,
        }),
        Some("block") => Ok(AdminCommand::Block {
            network: fields.required("network", Fields::network)?,
            for_ms: fields.number("for_ms", 1, FOR_MS_MAX)?,
            reason: fields.text("reason", REASON_BYTES_MAX)?,
        }),
        Some("unblock") => {
            Ok(AdminCommand::Unblock { network: fields.required("network", Fields::network)? })
        }
        Some("list_blocks") => Ok(AdminCommand::ListBlocks),
        Some("remove_user") => Ok(AdminCommand::RemoveUser {
            user: fields.required("user", |fields, _| fields.user())?,
            for_ms: fields.number("for_ms", 0, FOR_MS_MAX)?,
        }),
        Some("close_client") => Ok(AdminCommand::CloseClient {
            client: fields.required("client", |fields, name| {
                Ok(fields.number(name, 0, u64::MAX)?.map(ClientId))
            })?,
        }),
        Some("broadcast") => Ok(AdminCommand::Broadcast {
            message: fields
                .required("message", |fields, name| fields.text(name, MESSAGE_BYTES_MAX))?,
        }),
        Some("log_level") => Ok(AdminCommand::LogLevel {
            level: fields.required("level", |fields, _| fields.level())?,
        }),
        Some(_) | None => {
            Err(bad("command", &format!("must be one of {}", AdminCommand::NAMES.join(", "))))
        }
    }
}

/// A field that occurs twice counts as given last.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|raw| raw.get() != "null")
    }

    fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Self, &str) -> Result<Option<T>, Reject>,
    ) -> Result<T, Reject> {
        read(self, name)?.ok_or_else(|| bad(name, "is required"))
    }

    /// Text without anything that is invisible or changes how the rest is shown.
    fn text(&self, name: &str, bytes_max: usize) -> Result<Option<String>, Reject> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        let text = text(raw).ok_or_else(|| bad(name, "must be a string"))?;
        if text.is_empty() {
            return Err(bad(name, "is empty"));
        }
        if text.len() > bytes_max {
            return Err(Reject::too_long(name, bytes_max));
        }
        if !is_plain(&text) {
            return Err(bad(name, "holds characters that cannot be shown"));
        }
        Ok(Some(text.into_owned()))
    }

    fn user(&self) -> Result<Option<UserId>, Reject> {
        Ok(self.text("user", USER_BYTES_MAX)?.map(UserId::from))
    }

    fn level(&self) -> Result<Option<String>, Reject> {
        let level = self.text("level", LEVEL_BYTES_MAX)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "_:=,-[]{}.".contains(c);
        match level {
            Some(level) if !level.chars().all(fits) => {
                Err(bad("level", "must be a filter, as info,tickgate::server=debug"))
            }
            Some(_) | None => Ok(level),
        }
    }

    fn network(&self, name: &str) -> Result<Option<IpNet>, Reject> {
        let Some(text) = self.text(name, 64)? else { return Ok(None) };
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            bad(name, "must be an address or a network, as 203.0.113.7 or 203.0.113.0/24")
        })?;
        Ok(Some(canonical(network)))
    }

    fn limit(&self) -> Result<usize, Reject> {
        let limit = self.number("limit", 0, ROWS_MAX as u64)?;
        Ok(limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(ROWS_DEFAULT))
    }

    fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Reject> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        match raw.get().parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => {
                Err(bad(name, &format!("must be a whole number from {min} to {max}")))
            }
        }
    }
}

/// Without host bits, and as IPv4 if it is that, mapped into IPv6.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= MAPPED_BITS => v6.addr().to_ipv4_mapped(),
        IpNet::V4(_) | IpNet::V6(_) => None,
    };
    let mapped =
        mapped.and_then(|v4| IpNet::new(v4.into(), network.prefix_len() - MAPPED_BITS).ok());
    mapped.unwrap_or(network).trunc()
}

fn bad(field: &str, why: &str) -> Reject {
    Reject::of(ErrorCode::InvalidParameters, format!("Field '{field}' {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        let reject = parse_command(json).expect_err(json);
        assert_eq!(reject.code, ErrorCode::InvalidParameters, "{json}");
        reject.message
    }

    fn network(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    #[test]
    fn every_command_is_read() {
        let read = |json: &str| parse_command(json).expect(json);
        assert_eq!(
            read(r#"{"command":"list_clients"}"#),
            AdminCommand::ListClients { user: None, address: None, limit: 100 }
        );
        assert_eq!(
            read(r#"{"command":"list_clients","user":"al","address":"10.1.2.3/8","limit":0}"#),
            AdminCommand::ListClients {
                user: Some("al".into()),
                address: Some(network("10.0.0.0/8")),
                limit: 0,
            }
        );
        assert_eq!(
            read(r#"{"command":"block","network":"1.2.3.4","for_ms":1,"reason":"too loud"}"#),
            AdminCommand::Block {
                network: network("1.2.3.4/32"),
                for_ms: Some(1),
                reason: Some("too loud".into()),
            }
        );
        assert_eq!(
            read(r#"{"command":"unblock","network":"2001:db8::1/64"}"#),
            AdminCommand::Unblock { network: network("2001:db8::/64") }
        );
        assert_eq!(read(r#"{"command":"list_blocks"}"#), AdminCommand::ListBlocks);
        assert_eq!(
            read(r#"{"command":"remove_user","user":"alice","for_ms":null}"#),
            AdminCommand::RemoveUser { user: "alice".into(), for_ms: None }
        );
        assert_eq!(
            read(r#"{"command":"close_client","client":7}"#),
            AdminCommand::CloseClient { client: ClientId(7) }
        );
        assert_eq!(
            read(r#"{"command":"broadcast","message":"closing at 16:00 – save"}"#),
            AdminCommand::Broadcast { message: "closing at 16:00 – save".into() }
        );
        assert_eq!(
            read(r#"{"command":"log_level","level":"info,tickgate::server=debug"}"#),
            AdminCommand::LogLevel { level: "info,tickgate::server=debug".into() }
        );
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_ipv4() {
        let read = |text: &str| canonical(network(text)).to_string();
        assert_eq!(read("::ffff:10.0.0.1/128"), "10.0.0.1/32");
        assert_eq!(read("::ffff:10.1.2.3/104"), "10.0.0.0/8");
        assert_eq!(read("::ffff:0:0/95"), "::fffe:0:0/95");
        assert_eq!(read("::1/64"), "::/64");
    }

    #[test]
    fn a_bad_field_is_named_with_what_it_should_be() {
        let commands = "list_clients, block, unblock, list_blocks, remove_user, close_client, \
                        broadcast, log_level";
        for json in [r"{}", r#"{"command":"reboot"}"#] {
            assert_eq!(refused(json), format!("Field 'command' must be one of {commands}"));
        }
        for (json, message) in [
            (r#"{"command":7}"#, "Field 'command' must be a string"),
            (r#"{"command":"block"}"#, "Field 'network' is required"),
            (
                r#"{"command":"block","network":"here"}"#,
                "Field 'network' must be an address or a network, as 203.0.113.7 or 203.0.113.0/24",
            ),
            (
                r#"{"command":"block","network":"1.2.3.4","for_ms":0}"#,
                "Field 'for_ms' must be a whole number from 1 to 31536000000",
            ),
            (
                r#"{"command":"block","network":"1.2.3.4","reason":"a\nb"}"#,
                "Field 'reason' holds characters that cannot be shown",
            ),
            (r#"{"command":"remove_user","user":""}"#, "Field 'user' is empty"),
            (
                r#"{"command":"close_client","client":"c7"}"#,
                "Field 'client' must be a whole number from 0 to 18446744073709551615",
            ),
            (
                r#"{"command":"list_clients","limit":1001}"#,
                "Field 'limit' must be a whole number from 0 to 1000",
            ),
            (
                r#"{"command":"log_level","level":"info;rm"}"#,
                "Field 'level' must be a filter, as info,tickgate::server=debug",
            ),
        ] {
            assert_eq!(refused(json), message, "{json}");
        }
        let long = format!(r#"{{"command":"broadcast","message":"{}"}}"#, "x".repeat(1_025));
        assert_eq!(refused(&long), "Field 'message' is longer than 1024 bytes");
    }
}
