//! API keys, known by their SHA-256 alone.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::verified::{Asked, Judgement, Provider, Verified, fingerprint};
use crate::runtime::Runtime;
use crate::topic::{BrokerName, CredentialTag, Role, UserId};

/// The key that works without any configuration, for clients on loopback alone.
pub const DEMO_KEY: &str = "demo-key-for-local-use-only";

/// The user behind [`DEMO_KEY`].
pub const DEMO_USER: &str = "demo";

/// What our keys begin with, so that people and scanners recognise one that got loose.
const KEY_PREFIX: &str = "tg_";

/// The SHA-256 of a key. Shows nothing of itself, and is compared in constant time.
///
/// Keys are 256 random bits, so that a hash without salt and stretching gives nothing away.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// All the keys of a gateway.
///
/// A user may have several; one key belongs to one user.
#[derive(Clone, Default)]
pub struct KeyTable {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    hash: KeyHash,
    verified: Verified,
    loopback_only: bool,
}

impl KeyTable {
    /// A table that lets nobody in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the demo key, accepted from loopback alone.
    #[must_use]
    pub fn with_demo_key(mut self) -> Self {
        let hash = KeyHash::of(DEMO_KEY);
        let verified =
            Verified { demo: true, ..hash.verified(DEMO_USER.into(), None, Role::default()) };
        self.entries.push(Entry { hash, verified, loopback_only: true });
        self
    }

    /// Adds a key of `user`, accepted from everywhere, with the role of a trader.
    #[must_use]
    pub fn with_key(self, key: &str, user: UserId, broker: Option<BrokerName>) -> Self {
        self.with_hash(KeyHash::of(key), user, broker, Role::default())
    }

    /// Adds a key by its hash. Of two users with the same key, the first one counts.
    #[must_use]
    pub fn with_hash(
        mut self,
        hash: KeyHash,
        user: UserId,
        broker: Option<BrokerName>,
        role: Role,
    ) -> Self {
        let verified = hash.verified(user, broker, role);
        self.entries.push(Entry { hash, verified, loopback_only: false });
        self
    }

    /// Whom `key` belongs to. `loopback` says whether the client is on this machine.
    ///
    /// Takes the same time whichever entry matches, if any: every hash is compared whole.
    #[must_use]
    pub fn verify(&self, key: &str, loopback: bool) -> Option<Verified> {
        let hash = KeyHash::of(key);
        let mut found = Choice::from(0);
        let mut index = 0_u64;
        for (at, entry) in (0_u64..).zip(&self.entries) {
            let allowed = Choice::from(u8::from(loopback || !entry.loopback_only));
            let matches = entry.hash.ct_eq(&hash) & allowed & !found;
            index.conditional_assign(&at, matches);
            found |= matches;
        }
        let entry = self.entries.get(usize::try_from(index).ok()?)?;
        bool::from(found).then(|| entry.verified.clone())
    }

    /// How many keys there are, the demo key included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody can come in.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the demo key is among them.
    #[must_use]
    pub fn has_demo_key(&self) -> bool {
        self.entries.iter().any(|entry| entry.verified.demo)
    }

    /// What the keys of this table give, in its order.
    pub fn all(&self) -> impl Iterator<Item = &Verified> {
        self.entries.iter().map(|entry| &entry.verified)
    }
}

impl Provider for KeyTable {
    async fn judge(&self, asked: Asked<'_>) -> Judgement {
        if !asked.way.takes_keys() {
            return Judgement::NotMine;
        }
        self.verify(asked.secret, asked.loopback).map_or(Judgement::NotMine, Judgement::Good)
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTable({} keys)", self.entries.len())
    }
}

impl KeyHash {
    /// Hashes a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    fn verified(self, user: UserId, broker: Option<BrokerName>, role: Role) -> Verified {
        let tag = CredentialTag::new(fingerprint(&[b"key", &self.0]));
        Verified { user, broker, role, demo: false, tag, expires_unix_ms: None }
    }

    /// Reads 64 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }

    /// 64 hexadecimal digits, for the keys file alone.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl ConstantTimeEq for KeyHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// Makes a new key of 256 random bits.
pub fn new_key(runtime: &impl Runtime) -> String {
    let mut key = String::from(KEY_PREFIX);
    for _ in 0..4 {
        key.push_str(&format!("{:016x}", runtime.entropy()));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::TokioRuntime;

    fn table() -> KeyTable {
        KeyTable::new().with_demo_key().with_key("key-of-alice", "alice".into(), None).with_key(
            "key-of-bob",
            "bob".into(),
            Some("zerodha".into()),
        )
    }

    #[test]
    fn a_key_gives_its_user_and_broker() {
        let bob = table().verify("key-of-bob", false).expect("known");
        assert_eq!((bob.user.as_str(), bob.broker), ("bob", Some("zerodha".into())));
        let alice = table().verify("key-of-alice", true).expect("known");
        assert_eq!((alice.user.as_str(), alice.broker), ("alice", None));
        assert_eq!((alice.role, alice.demo), (Role::Trader, false));
        assert_ne!(alice.tag, bob.tag);
    }

    #[test]
    fn a_key_that_is_not_whole_gives_nobody() {
        for wrong in ["", "key-of-bo", "key-of-bobb", "Key-of-bob", "nonsense", " key-of-bob"] {
            assert_eq!(table().verify(wrong, true), None, "{wrong:?}");
        }
        assert_eq!(KeyTable::new().verify("key-of-bob", true), None);
    }

    #[test]
    fn the_demo_key_is_for_loopback_alone() {
        let demo = table().verify(DEMO_KEY, true).expect("known");
        assert_eq!((demo.user.as_str(), demo.demo), ("demo", true));
        assert_eq!(table().verify(DEMO_KEY, false), None);
        assert_eq!(KeyTable::new().verify(DEMO_KEY, true), None, "only if it was added");
    }

    #[test]
    fn of_two_users_with_one_key_the_first_counts() {
        let table = table().with_key("key-of-alice", "mallory".into(), None);
        let verified = table.verify("key-of-alice", true).expect("known");
        assert_eq!(verified.user.as_str(), "alice");
    }

    #[test]
    fn a_hash_is_written_and_read_as_hexadecimal_digits() {
        let hash = KeyHash::of("abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_hex(), hex);
        for text in [hex.to_owned(), hex.to_uppercase()] {
            let read = KeyHash::from_hex(&text).expect("reads");
            assert!(bool::from(read.ct_eq(&hash)));
        }
        for bad in ["", "00", &hex[1..], &hex.replace('b', "g"), &hex.replace('b', "+")] {
            assert!(KeyHash::from_hex(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_shown_for_debugging_holds_no_hash() {
        let shown = format!("{:?} {:?}", table(), KeyHash::of("key-of-bob"));
        assert_eq!(shown, "KeyTable(3 keys) KeyHash(…)");
    }

    #[test]
    fn new_keys_are_long_and_never_the_same() {
        let runtime = TokioRuntime::new();
        let (one, two) = (new_key(&runtime), new_key(&runtime));
        assert_eq!(one.len(), KEY_PREFIX.len() + 64);
        assert!(one.starts_with(KEY_PREFIX));
        assert_ne!(one, two);
    }
}
