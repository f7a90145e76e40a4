//! The file of keys by which JWTs are judged: a JWK set (RFC 7517), one algorithm for each key.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::super::keys_file::mode_for_others;
use super::super::verified::fingerprint;
use crate::topic::CredentialTag;

/// More is no file of keys.
const FILE_BYTES_MAX: u64 = 1_048_576;
/// Keys in one file.
const KEYS_MAX: usize = 64;
/// Bytes of a key's name.
const KID_BYTES_MAX: usize = 256;
/// Bytes of a shared secret: fewer can be guessed from one token (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// Bits of an RSA modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// One key, with the one algorithm for which it is used.
#[derive(Clone)]
pub(super) struct JwtKey {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    /// As `alg` says it.
    pub(super) name: &'static str,
    pub(super) key: DecodingKey,
    pub(super) tag: CredentialTag,
}

/// The keys of a file, in its order.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<JwtKey>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Row>,
}

/// What a JWK may hold that matters here. Unknown members are passed over, as RFC 7517 wants.
#[derive(Deserialize)]
struct Row {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    /// The private part of an asymmetric key.
    d: Option<IgnoredAny>,
}

impl KeySet {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Says what is wrong, in one sentence that holds nothing of a key.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| format!("{shown}: {error}"))?;
        let metadata = file.metadata().map_err(|error| format!("{shown}: {error}"))?;
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(|error| format!("{shown}: {error}"))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("{shown}: it is larger than 1 MiB, so it is no JWK set"));
        }
        let set = Self::parse(&text).map_err(|reason| format!("{shown}: {reason}"))?;
        match mode_for_others(&metadata) {
            Some(mode) if set.holds_secrets() => Err(format!(
                "{shown}: it holds a shared secret and others can read it (mode {mode:04o}); run \
                 `chmod 600 {shown}`"
            )),
            Some(_) | None => Ok(set),
        }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// Says what is wrong, in one sentence that holds nothing of a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| {
            // Its own words may quote what stands there.
            let what = match error.classify() {
                Category::Data => "no JWK set, which is {\"keys\": [{\"kty\": …}, …]}",
                Category::Io | Category::Syntax | Category::Eof => "no JSON",
            };
            format!("line {}: this is {what}", error.line())
        })?;
        if document.keys.is_empty() || document.keys.len() > KEYS_MAX {
            return Err(format!("it must hold 1 to {KEYS_MAX} keys"));
        }
        let mut set = Self::default();
        let several = document.keys.len() > 1;
        for (number, row) in (1..).zip(&document.keys) {
            let key = row.key().map_err(|reason| format!("key {number}: {reason}"))?;
            if several && key.kid.is_none() {
                return Err(format!("key {number}: of several keys each needs a `kid`"));
            }
            if set.keys.iter().any(|other| other.kid == key.kid) {
                return Err(format!("key {number}: another one has the same `kid`"));
            }
            set.keys.push(key);
        }
        Ok(set)
    }

    /// The key of this name; without a name, the only key there is.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&JwtKey> {
        match (kid, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), keys) => keys.iter().find(|key| key.kid.as_deref() == kid),
        }
    }

    /// The tags under which tokens of these keys go.
    pub fn tags(&self) -> impl Iterator<Item = CredentialTag> {
        self.keys.iter().map(|key| key.tag)
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn holds_secrets(&self) -> bool {
        self.keys.iter().any(|key| key.algorithm == Algorithm::HS256)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

impl Row {
    fn key(&self) -> Result<JwtKey, String> {
        if self.kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(format!("a `kid` has 1 to {KID_BYTES_MAX} bytes"));
        }
        if self.r#use.as_ref().is_some_and(|r#use| r#use != "sig") {
            return Err("its `use` is not \"sig\"".into());
        }
        if self.d.is_some() {
            return Err("it holds a private part, `d`; only the public one belongs here".into());
        }
        let (algorithm, name, key, material) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", None) => self.secret()?,
            ("RSA", None) => self.rsa()?,
            ("OKP", Some("Ed25519")) => self.ed25519()?,
            ("EC", Some("P-256")) => self.p256()?,
            _ => return Err("it is none of oct, RSA, OKP with Ed25519, EC with P-256".into()),
        };
        if self.alg.as_ref().is_some_and(|alg| alg != name) {
            return Err(format!("its `alg` must be {name} or be left out"));
        }
        let kid = self.kid.clone();
        let label = kid.clone().unwrap_or_default();
        let tag = fingerprint(&[b"jwk", label.as_bytes(), name.as_bytes(), &material]);
        Ok(JwtKey { kid, algorithm, name, key, tag: CredentialTag::new(tag) })
    }

    fn secret(&self) -> Result<Parts, String> {
        let secret = bytes("k", self.k.as_deref())?;
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!("a shared secret has at least {SECRET_BYTES_MIN} bytes"));
        }
        Ok((Algorithm::HS256, "HS256", DecodingKey::from_secret(&secret), secret))
    }

    fn rsa(&self) -> Result<Parts, String> {
        let (n, e) = (bytes("n", self.n.as_deref())?, bytes("e", self.e.as_deref())?);
        let bits = n.iter().skip_while(|byte| **byte == 0).count() * 8;
        if !RSA_BITS.contains(&bits) {
            let (min, max) = (RSA_BITS.start(), RSA_BITS.end());
            return Err(format!("an RSA key has {min} to {max} bits"));
        }
        let key = DecodingKey::from_rsa_raw_components(&n, &e);
        Ok((Algorithm::RS256, "RS256", key, [n, e].concat()))
    }

    fn ed25519(&self) -> Result<Parts, String> {
        let x = bytes("x", self.x.as_deref())?;
        if x.len() != 32 {
            return Err("an Ed25519 key has 32 bytes".into());
        }
        Ok((Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_der(&x), x))
    }

    fn p256(&self) -> Result<Parts, String> {
        let (x, y) = (bytes("x", self.x.as_deref())?, bytes("y", self.y.as_deref())?);
        if x.len() != 32 || y.len() != 32 {
            return Err("a coordinate of P-256 has 32 bytes".into());
        }
        let point = [&[4][..], &x, &y].concat();
        Ok((Algorithm::ES256, "ES256", DecodingKey::from_ec_der(&point), point))
    }
}

/// Algorithm, its name, the key, and what makes the key this one.
type Parts = (Algorithm, &'static str, DecodingKey, Vec<u8>);

fn bytes(name: &str, text: Option<&str>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("`{name}` is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("`{name}` is not base64url without padding"))
}
