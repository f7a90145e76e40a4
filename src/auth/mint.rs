//! Tokens for browsers: good once and for a short time, made for somebody who has shown a
//! credential that should not be in a URL or within reach of a page's scripts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::verified::{Asked, Judgement, Provider, Refusal, Verified};
use crate::protocol::Secret;
use crate::topic::UserId;

/// What our one-use tokens begin with.
pub const TOKEN_PREFIX: &str = "tgt_";

/// Unused tokens of one user; beyond, no more are made until one is used or too old.
pub const TOKENS_PER_USER_MAX: usize = 16;
/// Unused tokens in all.
pub const TOKENS_MAX: usize = 10_000;

/// A token that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The token, told this once.
    pub token: Secret,
    /// How long it can be used, in milliseconds.
    pub ttl_ms: u64,
}

/// There are too many unused tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many unused tokens; one becomes free in {retry_after_ms} ms at the latest")]
pub struct MintFull {
    /// When one of them is too old, in milliseconds from now.
    pub retry_after_ms: u64,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMinted {
    /// There are too many.
    #[error(transparent)]
    Full(#[from] MintFull),
    /// Credentials have been read again meanwhile: show yours once more.
    #[error("credentials have been read again meanwhile")]
    Outdated,
}

/// Makes tokens and takes them back. Keeps their hashes alone.
#[derive(Debug)]
pub struct TokenMint {
    ttl_ms: u64,
    tokens: BTreeMap<Hash, Token>,
    /// Unused tokens of each user who has any.
    per_user: BTreeMap<UserId, usize>,
    /// Every unused token once, oldest first; and some that are gone.
    order: VecDeque<Hash>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hash([u8; 32]);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash(…)")
    }
}

#[derive(Debug)]
struct Token {
    verified: Verified,
    until_ms: u64,
}

impl TokenMint {
    /// Tokens can be used for `ttl_ms`.
    #[must_use]
    pub const fn new(ttl_ms: u64) -> Self {
        Self { ttl_ms, tokens: BTreeMap::new(), per_user: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Makes a token that lets `verified` in once. `entropy` is used for nothing else; `now_ms`
    /// is of a clock that never steps.
    ///
    /// # Errors
    ///
    /// Fails if the user, or all users together, have too many unused ones.
    pub fn mint(
        &mut self,
        verified: Verified,
        entropy: [u64; 4],
        now_ms: u64,
    ) -> Result<Minted, MintFull> {
        self.drop_old(now_ms);
        let user = verified.user.clone();
        let of_user = self.per_user.get(&user).copied().unwrap_or(0);
        if of_user >= TOKENS_PER_USER_MAX || self.tokens.len() >= TOKENS_MAX {
            let mut theirs = self.order.iter().filter_map(|hash| self.tokens.get(hash));
            let everybody = of_user < TOKENS_PER_USER_MAX;
            let oldest = theirs.find(|token| everybody || token.verified.user == user);
            let until_ms = oldest.map_or(now_ms, |token| token.until_ms);
            return Err(MintFull { retry_after_ms: until_ms.saturating_sub(now_ms) });
        }
        let digits: String = entropy.iter().map(|bits| format!("{bits:016x}")).collect();
        let token = format!("{TOKEN_PREFIX}{digits}");
        let hash = Hash::of(&token);
        let until_ms = now_ms.saturating_add(self.ttl_ms);
        self.tokens.insert(hash, Token { verified, until_ms });
        self.order.push_back(hash);
        self.per_user.insert(user, of_user + 1);
        Ok(Minted { token: token.into(), ttl_ms: self.ttl_ms })
    }

    /// Whom a token lets in. It is used up by that.
    pub fn redeem(&mut self, token: &str, now_ms: u64) -> Option<Verified> {
        self.drop_old(now_ms);
        let token = self.take(Hash::of(token))?;
        Some(token.verified)
    }

    /// Takes back the unused tokens of whoever satisfies this.
    pub fn forget(&mut self, gone: impl Fn(&Verified) -> bool) {
        let going = self.tokens.iter().filter(|(_, token)| gone(&token.verified));
        for hash in going.map(|(hash, _)| *hash).collect::<Vec<_>>() {
            self.take(hash);
        }
    }

    /// How many are unused.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether none is unused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Checks everything that must hold between two calls.
    ///
    /// # Panics
    ///
    /// Panics if it does not.
    pub fn check(&self) {
        let mut per_user: BTreeMap<UserId, usize> = BTreeMap::new();
        for (hash, token) in &self.tokens {
            *per_user.entry(token.verified.user.clone()).or_default() += 1;
            assert!(self.order.contains(hash), "each token grows too old");
        }
        assert_eq!(per_user, self.per_user, "tokens are counted by user");
        assert!(per_user.values().all(|count| *count <= TOKENS_PER_USER_MAX), "few for each");
        assert!(self.tokens.len() <= TOKENS_MAX, "few in all");
        assert!(self.order.len() <= 2 * TOKENS_MAX, "the order is bounded");
        let unused = self.order.iter().filter_map(|hash| self.tokens.get(hash));
        assert!(unused.map(|token| token.until_ms).is_sorted(), "the oldest is first");
    }

    fn take(&mut self, hash: Hash) -> Option<Token> {
        let token = self.tokens.remove(&hash)?;
        let user = &token.verified.user;
        match self.per_user.get_mut(user) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                self.per_user.remove(user);
            }
        }
        if self.order.len() > 2 * self.tokens.len() + TOKENS_PER_USER_MAX {
            self.order.retain(|hash| self.tokens.contains_key(hash));
        }
        Some(token)
    }

    fn drop_old(&mut self, now_ms: u64) {
        while let Some(hash) = self.order.front().copied() {
            if self.tokens.get(&hash).is_some_and(|token| now_ms < token.until_ms) {
                break;
            }
            self.order.pop_front();
            self.take(hash);
        }
    }
}

impl Hash {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl Provider for Mutex<TokenMint> {
    async fn judge(&self, asked: Asked<'_>) -> Judgement {
        if !asked.secret.starts_with(TOKEN_PREFIX) {
            return Judgement::NotMine;
        }
        let mut mint = self.lock().unwrap_or_else(PoisonError::into_inner);
        let verified = mint.redeem(asked.secret, asked.now_ms).filter(|verified| {
            let holds = verified.expires_unix_ms.is_none_or(|end| asked.unix_ms < end);
            holds && (asked.loopback || !verified.demo)
        });
        verified.map_or(Judgement::Bad(Refusal::Spent), Judgement::Good)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::auth::KeyTable;

    fn verified(user: &str) -> Verified {
        let table = KeyTable::new().with_key(user, user.into(), None);
        table.verify(user, true).expect("known")
    }

    fn mint(mint: &mut TokenMint, user: &str, entropy: u64, now_ms: u64) -> String {
        let minted = mint.mint(verified(user), [entropy, 1, 2, 3], now_ms).expect("not full");
        minted.token.as_str().to_owned()
    }

    #[test]
    fn a_token_lets_its_user_in_once() {
        let mut tokens = TokenMint::new(30_000);
        let token = mint(&mut tokens, "alice", 7, 0);
        assert!(token.starts_with("tgt_") && token.len() == 4 + 64, "{token}");
        assert_eq!(tokens.redeem(&token[..20], 1), None, "not even a part is good");
        assert_eq!(tokens.redeem(&token, 29_999), Some(verified("alice")));
        assert_eq!(tokens.redeem(&token, 29_999), None);
        tokens.check();
    }

    #[test]
    fn a_token_that_is_too_old_is_none() {
        let mut tokens = TokenMint::new(30_000);
        let token = mint(&mut tokens, "alice", 7, 5);
        assert_eq!(tokens.redeem(&token, 30_005), None);
        assert!(tokens.is_empty());
    }

    #[test]
    fn a_user_with_too_many_is_told_when_to_come_back_and_others_are_not_concerned() {
        let mut tokens = TokenMint::new(30_000);
        for number in 0..16 {
            mint(&mut tokens, "alice", number, number);
        }
        let full = tokens.mint(verified("alice"), [99; 4], 1_000).expect_err("too many");
        assert_eq!(full.retry_after_ms, 29_000);
        mint(&mut tokens, "bob", 100, 1_000);
        mint(&mut tokens, "alice", 101, 30_000);
        tokens.check();
    }

    #[test]
    fn there_is_a_limit_for_all_together() {
        let mut tokens = TokenMint::new(30_000);
        for number in 0..TOKENS_MAX as u64 {
            mint(&mut tokens, &format!("user{}", number / 16), number, 0);
        }
        let full = tokens.mint(verified("carol"), [0, 0, 0, 9], 10).expect_err("too many");
        assert_eq!(full.retry_after_ms, 29_990);
        tokens.check();
        mint(&mut tokens, "carol", 0, 30_000);
        assert_eq!(tokens.len(), 1);
    }

    #[test]
    fn what_is_revoked_takes_its_tokens_along() {
        let mut tokens = TokenMint::new(30_000);
        let (alice, bob) = (mint(&mut tokens, "alice", 1, 0), mint(&mut tokens, "bob", 2, 0));
        let gone = verified("alice").tag;
        tokens.forget(|verified| gone.covers(verified.tag));
        assert_eq!(tokens.redeem(&alice, 1), None);
        assert_eq!(tokens.redeem(&bob, 1), Some(verified("bob")));
        tokens.check();
    }

    #[derive(Clone, Debug)]
    enum Step {
        Mint(u8),
        /// One of those made so far, used or not.
        Redeem(prop::sample::Index),
        Forget(u8),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u8..3).prop_map(Step::Mint),
            6 => any::<prop::sample::Index>().prop_map(Step::Redeem),
            1 => (0_u8..3).prop_map(Step::Forget),
            2 => (0_u64..40).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn no_token_is_ever_good_twice_or_too_late(steps in prop::collection::vec(step(), 0..300)) {
            let mut tokens = TokenMint::new(50);
            let (mut made, mut used) = (Vec::new(), BTreeSet::new());
            let mut now_ms = 0;
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Mint(user) => {
                        let user = format!("user{user}");
                        if let Ok(minted) = tokens.mint(verified(&user), [number; 4], now_ms) {
                            made.push((minted.token.as_str().to_owned(), user, now_ms));
                        }
                    }
                    Step::Redeem(_) if made.is_empty() => {}
                    Step::Redeem(index) => {
                        let (token, user, at_ms) = index.get(&made);
                        if let Some(verified) = tokens.redeem(token, now_ms) {
                            prop_assert_eq!(verified.user.as_str(), user);
                            prop_assert!(now_ms < at_ms + 50, "too old");
                            prop_assert!(used.insert(token.clone()), "used twice");
                        }
                    }
                    Step::Forget(user) => {
                        let user = format!("user{user}");
                        tokens.forget(|verified| verified.user.as_str() == user);
                        let theirs = made.iter().filter(|(_, of, _)| *of == user);
                        used.extend(theirs.map(|(token, ..)| token.clone()));
                    }
                    Step::Wait(ms) => now_ms += ms,
                }
                tokens.check();
            }
        }
    }
}
