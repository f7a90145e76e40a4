//! Keys of the tests, and what is signed with them. The private ones were made for this alone.

use std::path::{Path, PathBuf};

use argon2::PasswordHasher;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tickgate::auth::jwt::{Jwt, JwtRules, KeySet};
use tickgate::topic::Role;

/// What the calendar shows in the tests of verifiers.
pub const NOW_UNIX_MS: u64 = 1_800_000_000_000;
const NOW: u64 = NOW_UNIX_MS / 1_000;

/// The shared secret `hs` of the key set.
pub const SECRET: &[u8] = b"a secret of the tests, 40 bytes of it ....";

/// Public keys and the secret, by `kid`: hs, rs, ed, es.
pub const JWKS: &str = include_str!("keys/jwks.json");

/// The signing key of this `kid`, and the algorithm.
pub fn signer(kid: &str) -> (Algorithm, EncodingKey) {
    match kid {
        "hs" => (Algorithm::HS256, EncodingKey::from_secret(SECRET)),
        "rs" => (Algorithm::RS256, EncodingKey::from_rsa_der(include_bytes!("keys/rsa.der"))),
        "ed" => (Algorithm::EdDSA, EncodingKey::from_ed_der(include_bytes!("keys/ed25519.der"))),
        "es" => (Algorithm::ES256, EncodingKey::from_ec_der(include_bytes!("keys/p256.der"))),
        other => panic!("no key {other:?}"),
    }
}

/// Claims of alice that are good for a minute.
pub fn claims() -> Value {
    json!({ "sub": "alice", "exp": NOW + 60, "iss": "the-issuer", "aud": "tickgate" })
}

/// The good claims with others in their place; `null` takes one out.
pub fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => claims.as_object_mut().expect("an object").remove(name),
            value => claims.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A token signed by the key of this `kid`.
pub fn token(kid: &str, claims: &Value) -> String {
    let (algorithm, key) = signer(kid);
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    encode(&header, claims, &key).expect("signs")
}

pub fn rules() -> JwtRules {
    JwtRules {
        issuer: Some("the-issuer".into()),
        audience: Some("tickgate".into()),
        leeway_ms: 30_000,
        user_claim: "sub".into(),
        role_max: Role::Analyst,
    }
}

pub fn jwt() -> Jwt {
    Jwt::new(KeySet::parse(JWKS).expect("a key set"), rules())
}

/// What OpenAlgo mixes into its hashes, in the tests.
pub const PEPPER: &str = "a-pepper-of-the-tests-with-32-chars!";

/// The environment of a gateway next to OpenAlgo.
pub fn environment(name: &str) -> Option<String> {
    (name == "API_KEY_PEPPER").then(|| PEPPER.to_owned())
}

/// A hash as OpenAlgo makes it, but cheap.
pub fn cheap_hash(key: &str) -> String {
    let params = argon2::Params::new(64, 1, 4, None).expect("allowed");
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let peppered = [key, PEPPER].concat();
    let hash = argon2.hash_password_with_salt(peppered.as_bytes(), b"sixteen bytes ..");
    hash.expect("hashes").to_string()
}

/// A database with OpenAlgo's tables as its `auth_db.py` makes them.
pub struct Database(pub rusqlite::Connection);

impl Database {
    pub fn create(path: &Path) -> Self {
        let connection = rusqlite::Connection::open(path).expect("a new database");
        connection
            .execute_batch(
                "CREATE TABLE auth (
                    id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE,
                    auth TEXT NOT NULL, feed_token TEXT, broker VARCHAR(20) NOT NULL,
                    user_id VARCHAR(255), is_revoked BOOLEAN);
                CREATE TABLE api_keys (
                    id INTEGER NOT NULL PRIMARY KEY, user_id VARCHAR NOT NULL UNIQUE,
                    api_key_hash TEXT NOT NULL, api_key_encrypted TEXT NOT NULL,
                    created_at DATETIME DEFAULT CURRENT_TIMESTAMP, order_mode VARCHAR(20));",
            )
            .expect("tables");
        Self(connection)
    }

    /// Gives a user a key, in place of the one there may be.
    pub fn set_hash(&self, user: &str, hash: &str) {
        let sql = "INSERT INTO api_keys (user_id, api_key_hash, api_key_encrypted) \
            VALUES (?1, ?2, 'gAAAA') \
            ON CONFLICT (user_id) DO UPDATE SET api_key_hash = ?2";
        self.0.execute(sql, (user, hash)).expect("a key");
    }

    /// Logs a user in with a broker, or out.
    pub fn log_in(&self, user: &str, broker: &str, is_revoked: bool) {
        let sql = "INSERT INTO auth (name, auth, broker, is_revoked) VALUES (?1, 'x', ?2, ?3) \
            ON CONFLICT (name) DO UPDATE SET broker = ?2, is_revoked = ?3";
        self.0.execute(sql, (user, broker, is_revoked)).expect("a login");
    }
}

/// The key set in a file that is its owner's alone.
pub fn private_jwks(directory: &Path) -> PathBuf {
    let path = directory.join("jwks.json");
    std::fs::write(&path, JWKS).expect("written");
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("set");
    }
    path
}
