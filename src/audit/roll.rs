//! Who is behind a connection, so that each of its lines tells.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::record::{Record, What};
use crate::topic::{ClientId, Role, UserId};

/// Connections that are remembered. Beyond, the oldest is forgotten: that can only be one whose
/// end was lost with a full queue, or one of very many.
const CONNECTIONS_MAX: usize = 65_536;

/// What earlier records have told of connections that are still open.
#[derive(Debug, Default)]
pub struct Roll(BTreeMap<ClientId, Person>);

#[derive(Debug, Default)]
struct Person {
    address: Option<IpAddr>,
    user: Option<UserId>,
    role: Option<Role>,
}

impl Roll {
    /// Fills in what the record leaves out and earlier ones have told.
    pub fn complete(&mut self, record: &mut Record) {
        let Some(client) = record.client else { return };
        match record.what {
            What::Opened { .. } | What::Authenticated {} => self.learn(client, record),
            _ => {}
        }
        if let Some(person) = self.0.get(&client) {
            record.address = record.address.or(person.address);
            if record.user.is_none() {
                record.user.clone_from(&person.user);
                record.role = person.role;
            }
        }
        if matches!(record.what, What::Closed { .. }) {
            self.0.remove(&client);
        }
    }

    fn learn(&mut self, client: ClientId, record: &Record) {
        let person = self.0.entry(client).or_default();
        person.address = record.address.or(person.address);
        if record.user.is_some() {
            person.user.clone_from(&record.user);
            person.role = record.role;
        }
        if self.0.len() > CONNECTIONS_MAX {
            self.0.pop_first();
        }
    }
}
