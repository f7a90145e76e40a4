//! Asks the providers of credentials in their order, and exchanges what they know.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::credentials::{BadCredentials, Credentials, Reloaded, Source, Tables};
use super::mint::{Minted, NotMinted, TokenMint};
use super::openalgo::OpenAlgo;
use super::verified::{Asked, Denied, Judgement, Presented, Provider, Refusal, Verified};
use crate::config::Auth;
use crate::runtime::{Clock, Runtime};
use crate::topic::UserId;

/// Says who is behind a credential. One for each gateway, shared by all its tasks.
pub struct Verifier<R: Runtime> {
    runtime: R,
    clock: Clock,
    source: Option<Source>,
    tables: RwLock<Arc<Tables>>,
    /// How often the files have been read again.
    generation: AtomicU64,
    mint: Mutex<TokenMint>,
    openalgo: Option<OpenAlgo<R>>,
}

impl<R: Runtime> fmt::Debug for Verifier<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("tables", &self.tables()).finish_non_exhaustive()
    }
}

/// A verifier for those who have news of credentials and do not know its runtime.
#[derive(Clone)]
pub struct Keeper(Arc<dyn Keep>);

trait Keep: Send + Sync {
    fn reload(self: Arc<Self>) -> BoxFuture<'static, Result<Reloaded, BadCredentials>>;
    fn forget(&self, user: &UserId);
    fn look(self: Arc<Self>) -> BoxFuture<'static, Option<Reloaded>>;
    fn looks(&self) -> bool;
}

impl<R: Runtime> Keep for Verifier<R> {
    fn reload(self: Arc<Self>) -> BoxFuture<'static, Result<Reloaded, BadCredentials>> {
        async move { Self::reload(&self).await }.boxed()
    }

    fn forget(&self, user: &UserId) {
        Self::forget(self, user);
    }

    fn look(self: Arc<Self>) -> BoxFuture<'static, Option<Reloaded>> {
        async move { Self::look(&self).await }.boxed()
    }

    fn looks(&self) -> bool {
        self.openalgo.is_some()
    }
}

impl Keeper {
    /// Has the files read again.
    ///
    /// # Errors
    ///
    /// As [`Verifier::reload`].
    pub async fn reload(&self) -> Result<Reloaded, BadCredentials> {
        self.0.clone().reload().await
    }

    /// Looks whether keys have gone that nobody announces, as [`Verifier::look`] does.
    pub async fn look(&self) -> Option<Reloaded> {
        self.0.clone().look().await
    }

    /// Whether there is anything to look at.
    #[must_use]
    pub fn looks(&self) -> bool {
        self.0.looks()
    }

    /// Has a user forgotten whose credentials may have changed, as [`Verifier::forget`] does.
    pub fn forget(&self, user: &UserId) {
        self.0.forget(user);
    }
}

/// The answer of a provider that is sure of it.
macro_rules! settled {
    ($judgement:expr) => {
        match $judgement {
            Judgement::Good(verified) => return Ok(verified),
            Judgement::Bad(refusal) => return Err(refusal.into()),
            Judgement::NoBroker => return Err(Denied::NoBroker),
            Judgement::Unavailable(why) => return Err(Denied::Unavailable(why)),
            Judgement::NotMine => {}
        }
    };
}

impl<R: Runtime> Verifier<R> {
    /// Knows these credentials.
    #[must_use]
    pub fn new(runtime: R, clock: Clock, credentials: impl Into<Credentials>, auth: &Auth) -> Self {
        let Credentials { tables, source, openalgo } = credentials.into();
        let openalgo = openalgo.map(|store| OpenAlgo::new(runtime.clone(), store));
        let (tables, mint) = (Arc::new(tables), TokenMint::new(auth.ws_token_ttl_ms));
        let (tables, mint) = (RwLock::new(tables), Mutex::new(mint));
        let generation = AtomicU64::new(0);
        Self { runtime, clock, source, tables, generation, mint, openalgo }
    }

    /// Who is behind a credential. `loopback` says whether the client is on this machine,
    /// `unix_ms` what the calendar shows, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// Fails if it is wrong, or cannot be checked now. Only the first is an attempt to be counted.
    pub async fn verify(
        &self,
        presented: &Presented,
        loopback: bool,
        unix_ms: u64,
    ) -> Result<Verified, Denied> {
        let Presented { secret, way } = presented;
        let now_ms = self.clock.now_ms();
        let asked = Asked { secret: secret.as_str(), way: *way, loopback, unix_ms, now_ms };
        let tables = self.tables();
        settled!(tables.keys.judge(asked).await);
        settled!(self.mint.judge(asked).await);
        if let Some(jwt) = &tables.jwt {
            settled!(jwt.judge(asked).await);
        }
        if let Some(openalgo) = &self.openalgo {
            settled!(openalgo.judge(asked).await);
        }
        Err(Refusal::Unknown.into())
    }

    /// Makes a token that lets somebody in once, within a short time.
    ///
    /// # Errors
    ///
    /// Fails if there are too many unused ones, or if credentials have been read again since this
    /// one was found good, `generation` having been theirs.
    pub fn mint(&self, verified: &Verified, generation: u64) -> Result<Minted, NotMinted> {
        let entropy = std::array::from_fn(|_| self.runtime.entropy());
        let mut tokens = self.tokens();
        // What is revoked from here on is forgotten behind this lock.
        if self.generation() != generation {
            return Err(NotMinted::Outdated);
        }
        Ok(tokens.mint(verified.clone(), entropy, self.clock.now_ms())?)
    }

    /// Forgets what is remembered of a user whose credentials may have changed: good keys, unused
    /// one-use tokens, and all bad keys, since a new one may be among them.
    pub fn forget(&self, user: &UserId) {
        self.tokens().forget(|verified| verified.user == *user);
        if let Some(openalgo) = &self.openalgo {
            openalgo.forget(user);
        }
    }

    /// Reads the files again and exchanges what they say, all at once or not at all. What comes
    /// from no file stays.
    ///
    /// # Errors
    ///
    /// Fails if a file is bad; what held before goes on holding then.
    pub async fn reload(&self) -> Result<Reloaded, BadCredentials> {
        if let Some(openalgo) = &self.openalgo {
            openalgo.forget_all();
        }
        let Some(source) = self.source.clone() else { return Ok(Reloaded::default()) };
        let tables = Arc::new(self.runtime.offload(move || source.read()).await?);
        let mut slot = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let mut reloaded = slot.compare(&tables);
        *slot = tables;
        reloaded.generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.tokens().forget(|verified| reloaded.concerns(verified.tag));
        Ok(reloaded)
    }

    /// Looks at OpenAlgo's database, if its files have changed, at most once a second. `Some`: keys
    /// have gone; whoever is in by one has to leave.
    pub async fn look(&self) -> Option<Reloaded> {
        let revoked = self.openalgo.as_ref()?.revoked(self.clock.now_ms()).await;
        if revoked.is_empty() {
            return None;
        }
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let reloaded = Reloaded { generation, revoked, changed: Vec::new() };
        self.tokens().forget(|verified| reloaded.concerns(verified.tag));
        Some(reloaded)
    }

    /// How often the files have been read again. Ask before you verify: what is revoked with a
    /// higher number concerns what was found then.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// This verifier, for those who do not know its runtime.
    #[must_use]
    pub fn keeper(self: &Arc<Self>) -> Keeper {
        Keeper(self.clone())
    }

    fn tokens(&self) -> MutexGuard<'_, TokenMint> {
        self.mint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> Arc<Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
