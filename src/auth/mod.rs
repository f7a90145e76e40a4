//! Who may come in: what a credential is, and who is behind one.
//!
//! A [`Verifier`] asks its providers in order. Each says that a credential is good, that it is
//! bad, that it is none of its own, or that it cannot say now. Nothing here ever shows a secret, a
//! hash or a token, in no format.

mod credentials;
pub mod jwt;
pub mod keys;
pub mod keys_file;
mod mint;
mod openalgo;
mod presented;
mod verified;
mod verifier;

pub use credentials::{BadCredentials, Credentials, Reloaded};
pub use keys::{DEMO_KEY, DEMO_USER, KeyHash, KeyTable, new_key};
pub use mint::{
    MintFull, Minted, NotMinted, TOKEN_PREFIX, TOKENS_MAX, TOKENS_PER_USER_MAX, TokenMint,
};
pub use presented::{
    BadPresentation, SUBPROTOCOL, origin_allowed, presented, redact_uri, subprotocol,
};
pub use verified::{Denied, Presented, Refusal, Verified, Way};
pub use verifier::{Keeper, Verifier};
