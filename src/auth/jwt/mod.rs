//! JSON Web Tokens (RFC 7519): signed by somebody whose keys are in a file.
//!
//! A token says by which key it is signed, and nothing it says about algorithms is believed: a
//! key has one. Times are judged against the calendar that the caller hands in.

mod key_set;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::keys_file::is_user_name;
use super::verified::{Asked, Judgement, Provider, Refusal, Verified, fingerprint};
use crate::config::Auth;
use crate::topic::{BrokerName, Role};

pub use key_set::KeySet;

/// Bytes of a token; a longer one is not looked at.
pub const TOKEN_BYTES_MAX: usize = 8_192;

/// Why a JWT is refused. For the operator: the client learns only that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtFault {
    /// It has more than [`TOKEN_BYTES_MAX`] bytes.
    #[error("it is too long")]
    TooLong,
    /// Its parts are not base64url, or not the JSON they should be.
    #[error("it is malformed")]
    Malformed,
    /// It demands to be understood in a way that is not known here.
    #[error("its header names something critical")]
    Critical,
    /// It names no key, and there are several.
    #[error("it does not say by which key it is signed")]
    NoKeyNamed,
    /// No key in the file has its `kid`.
    #[error("its key is not known")]
    UnknownKey,
    /// It claims another algorithm than the one of its key.
    #[error("its algorithm is not the one of its key")]
    WrongAlgorithm,
    /// It was signed by somebody else, or changed since.
    #[error("its signature is wrong")]
    BadSignature,
    /// It would hold for ever.
    #[error("it has no `exp`")]
    NoExpiry,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not begun.
    #[error("it is not valid yet")]
    NotYetValid,
    /// Somebody else has issued it than the one who was configured.
    #[error("its issuer is not `auth.jwt_issuer`")]
    WrongIssuer,
    /// It was made for somebody else than us.
    #[error("its audience is not `auth.jwt_audience`")]
    WrongAudience,
    /// The claim that names the user is missing, or is no name.
    #[error("it names no user")]
    NoUser,
    /// Its `role` is none.
    #[error("its role is unknown")]
    UnknownRole,
    /// Its `role` is above `auth.jwt_role_max`.
    #[error("its role is above `auth.jwt_role_max`")]
    RoleTooHigh,
    /// Its `broker` is no text.
    #[error("its broker is no name")]
    BadBroker,
}

/// What tokens must satisfy besides their signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRules {
    /// What `iss` must be; absent: anything.
    pub issuer: Option<String>,
    /// What `aud` must be or hold; absent: a token that names an audience is refused.
    pub audience: Option<String>,
    /// How far the issuer's clock may be off.
    pub leeway_ms: u64,
    /// The claim that names the user.
    pub user_claim: String,
    /// The highest role that a token may give.
    pub role_max: Role,
}

impl From<&Auth> for JwtRules {
    fn from(auth: &Auth) -> Self {
        Self {
            issuer: auth.jwt_issuer.clone(),
            audience: auth.jwt_audience.clone(),
            leeway_ms: auth.jwt_leeway_ms,
            user_claim: auth.jwt_user_claim.clone(),
            role_max: auth.jwt_role_max,
        }
    }
}

/// Judges tokens.
#[derive(Clone)]
pub struct Jwt {
    keys: KeySet,
    rules: JwtRules,
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwt({} keys)", self.keys.len())
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Jwt {
    /// Judges by these keys and rules.
    #[must_use]
    pub const fn new(keys: KeySet, rules: JwtRules) -> Self {
        Self { keys, rules }
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Whom a token belongs to at this time, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// Fails if it is not good. Do not tell the client more than that.
    pub fn verify(&self, token: &str, unix_ms: u64) -> Result<Verified, JwtFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtFault::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(JwtFault::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(JwtFault::Malformed)?;
        let header: Header = part(header)?;
        if header.crit.is_some() {
            return Err(JwtFault::Critical);
        }
        let kid = header.kid.as_deref();
        let key = self.keys.find(kid).ok_or(match kid {
            Some(_) => JwtFault::UnknownKey,
            None => JwtFault::NoKeyNamed,
        })?;
        if header.alg != key.name {
            return Err(JwtFault::WrongAlgorithm);
        }
        let good =
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, key.algorithm);
        match good {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(JwtFault::BadSignature),
        }
        let claims: Map<String, Value> = part(claims)?;
        let expires_unix_ms = self.rules.in_time(&claims, unix_ms)?;
        self.rules.addressed(&claims)?;
        let (user, broker, role) = self.rules.whom(&claims)?;
        let tag = key.tag.issuing(fingerprint(&[b"jwt", message.as_bytes()]));
        let expires_unix_ms = Some(expires_unix_ms);
        Ok(Verified { user: user.into(), broker, role, demo: false, tag, expires_unix_ms })
    }
}

impl Provider for Jwt {
    async fn judge(&self, asked: Asked<'_>) -> Judgement {
        if !looks_like_one(asked.secret) {
            return Judgement::NotMine;
        }
        match self.verify(asked.secret, asked.unix_ms) {
            Ok(verified) => Judgement::Good(verified),
            Err(fault) => Judgement::Bad(Refusal::Jwt(fault)),
        }
    }
}

/// Whether it has three parts, of which the first may be a JSON object in base64url.
fn looks_like_one(token: &str) -> bool {
    token.starts_with("ey") && token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// One part of a token, decoded.
fn part<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, JwtFault> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtFault::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| JwtFault::Malformed)
}

impl JwtRules {
    /// When it will be refused for its age, if it is good now.
    fn in_time(&self, claims: &Map<String, Value>, unix_ms: u64) -> Result<u64, JwtFault> {
        let exp = claims.get("exp").ok_or(JwtFault::NoExpiry)?;
        let end = millis(exp)?.saturating_add(self.leeway_ms);
        if unix_ms >= end {
            return Err(JwtFault::Expired);
        }
        if let Some(nbf) = claims.get("nbf")
            && unix_ms.saturating_add(self.leeway_ms) < millis(nbf)?
        {
            return Err(JwtFault::NotYetValid);
        }
        Ok(end)
    }

    /// Whether the right one has made it, for us.
    fn addressed(&self, claims: &Map<String, Value>) -> Result<(), JwtFault> {
        let is = |value: &Value, wanted: &str| value.as_str() == Some(wanted);
        if let Some(issuer) = &self.issuer
            && !claims.get("iss").is_some_and(|iss| is(iss, issuer))
        {
            return Err(JwtFault::WrongIssuer);
        }
        let ours = match (claims.get("aud"), &self.audience) {
            (None, None) => true,
            (Some(Value::Array(many)), Some(us)) => many.iter().any(|one| is(one, us)),
            (Some(one), Some(us)) => is(one, us),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if ours { Ok(()) } else { Err(JwtFault::WrongAudience) }
    }

    fn whom<'a>(
        &self,
        claims: &'a Map<String, Value>,
    ) -> Result<(&'a str, Option<BrokerName>, Role), JwtFault> {
        let user = claims.get(&self.user_claim).and_then(Value::as_str);
        let user = user.filter(|user| is_user_name(user)).ok_or(JwtFault::NoUser)?;
        let broker = match claims.get("broker") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if !name.is_empty() => Some(name.as_str().into()),
            Some(_) => return Err(JwtFault::BadBroker),
        };
        let role = match claims.get("role") {
            None | Some(Value::Null) => Role::default().min(self.role_max),
            Some(role) => {
                role.as_str().and_then(|role| role.parse().ok()).ok_or(JwtFault::UnknownRole)?
            }
        };
        if role > self.role_max {
            return Err(JwtFault::RoleTooHigh);
        }
        Ok((user, broker, role))
    }
}

/// Seconds since 1970, perhaps with a fraction, in milliseconds.
fn millis(seconds: &Value) -> Result<u64, JwtFault> {
    if let Some(whole) = seconds.as_u64() {
        return Ok(whole.saturating_mul(1_000));
    }
    let seconds = seconds.as_f64().filter(|seconds| *seconds >= 0.0);
    let ms = seconds.ok_or(JwtFault::Malformed)? * 1_000.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let ms = ms as u64;
    Ok(ms)
}
