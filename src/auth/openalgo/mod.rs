//! Keys of OpenAlgo, checked in its own database.
//!
//! A check is slow on purpose: Argon2 takes a tenth of a second and 64 MiB. So it is done off the
//! async threads, a few at once, with a bounded queue before it; one check serves all who present
//! the same key meanwhile; and what came out is remembered. What is remembered is compared with
//! the database whenever its files have changed, and forgotten when somebody says so: neither does
//! a revoked key live on, nor is a new one refused for what it was before.

mod cache;
pub(super) mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};

use self::cache::{Cache, Digest};
use self::store::{Account, News, Stamp, Store};
use super::verified::{Asked, Judgement, Provider, Refusal, Verified};
use crate::runtime::{Runtime, TaskGroup};
use crate::topic::{CredentialTag, Role, UserId};

/// How long a good key is remembered.
const GOOD_TTL_MS: u64 = 3_600_000;
/// How long a bad key is remembered.
const BAD_TTL_MS: u64 = 300_000;
const GOOD_MAX: usize = 1_024;
const BAD_MAX: usize = 4_096;
/// Different keys that are checked or wait for it; beyond, nobody can say.
const CHECKS_WAITING_MAX: usize = 64;
/// How often, at most, the files of the database are looked at.
const LOOK_MS: u64 = 1_000;
/// Bytes of a key; OpenAlgo's have 64.
const KEY_BYTES_MAX: usize = 1_024;
/// How often a check is repeated because the keys changed meanwhile.
const TRIES_MAX: usize = 3;

/// Checks keys. One for each gateway.
pub(super) struct OpenAlgo<R: Runtime> {
    runtime: R,
    store: Arc<Store>,
    /// Makes the digests of keys worthless outside this process.
    secret: [u8; 32],
    /// One permit for each check that may be done at once.
    checks: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
    tasks: TaskGroup,
}

struct State {
    good: Cache<Account>,
    bad: Cache<()>,
    /// Checks that are done or wait for it.
    running: BTreeMap<Digest, watch::Receiver<Option<Answer>>>,
    /// Rises whenever the keys may have changed: an answer that was read before is none.
    generation: u64,
    looked_at_ms: Option<u64>,
    stamp: Option<Stamp>,
    /// How often in a row it could not be looked at.
    looks_failed: u64,
    /// How often in a row a key could not be checked in it.
    checks_failed: u64,
    /// Why some keys are not taken, as it was told last.
    unusable: Vec<String>,
    /// The keys that there were when the database was read last.
    tags: Vec<CredentialTag>,
    /// Those that have gone since, of which nobody was told.
    gone: Vec<CredentialTag>,
}

impl State {
    /// Takes in which keys there are. A login or logout changes none.
    fn remember(&mut self, tags: Vec<CredentialTag>) {
        self.gone.extend(self.tags.iter().filter(|tag| !tags.contains(tag)));
        self.tags = tags;
    }

    /// Tells which keys are not taken, unless it was told already.
    fn tell(&mut self, unusable: Vec<String>) {
        for reason in unusable.iter().filter(|reason| !self.unusable.contains(reason)) {
            tracing::warn!(%reason, "a key of OpenAlgo cannot be used");
        }
        self.unusable = unusable;
    }
}

/// What a check found, and as of which generation.
#[derive(Clone)]
struct Answer {
    generation: u64,
    /// `Err`: the database could not be read.
    found: Result<Option<Account>, ()>,
}

/// What is known of a key without waiting.
enum Known {
    Good(Account),
    Bad,
    Checking(watch::Receiver<Option<Answer>>),
    TooBusy,
}

impl<R: Runtime> OpenAlgo<R> {
    /// Checks keys in this database.
    pub(super) fn new(runtime: R, store: Store) -> Self {
        let mut secret = [0; 32];
        for chunk in secret.chunks_exact_mut(8) {
            chunk.copy_from_slice(&runtime.entropy().to_be_bytes());
        }
        let state = State {
            good: Cache::new(GOOD_TTL_MS, GOOD_MAX),
            bad: Cache::new(BAD_TTL_MS, BAD_MAX),
            running: BTreeMap::new(),
            generation: 0,
            looked_at_ms: None,
            stamp: None,
            looks_failed: 0,
            checks_failed: 0,
            unusable: store.unusable().to_vec(),
            tags: Vec::new(),
            gone: Vec::new(),
        };
        Self {
            runtime,
            checks: Arc::new(Semaphore::new(store.checks_max)),
            store: Arc::new(store),
            secret,
            state: Arc::new(Mutex::new(state)),
            tasks: TaskGroup::new(),
        }
    }

    /// Forgets the good keys of a user, and all bad keys, since a new one may be among them.
    pub(super) fn forget(&self, user: &UserId) {
        let mut state = lock(&self.state);
        state.generation += 1;
        state.good.retain(|account| account.user != *user);
        state.bad.clear();
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        let mut state = lock(&self.state);
        state.generation += 1;
        state.good.clear();
        state.bad.clear();
    }

    /// Compares what is remembered with the database, if that has changed.
    async fn look(&self, now_ms: u64) {
        let last = {
            let mut state = lock(&self.state);
            if state.looked_at_ms.is_some_and(|at_ms| now_ms < at_ms.saturating_add(LOOK_MS)) {
                return;
            }
            state.looked_at_ms = Some(now_ms);
            state.stamp
        };
        let store = self.store.clone();
        let news = self.runtime.offload(move || store.news(last)).await;
        match news {
            Ok(None) => can_be_read(&mut lock(&self.state).looks_failed),
            Ok(Some((stamp, News { accounts, unusable }))) => {
                let mut state = lock(&self.state);
                can_be_read(&mut state.looks_failed);
                state.tell(unusable);
                state.stamp = Some(stamp);
                state.generation += 1;
                state.good.retain(|account| accounts.contains(account));
                state.remember(accounts.iter().map(|account| account.tag).collect());
                state.bad.clear();
            }
            // Nothing is known of a change; it is looked for again.
            Err(error) => cannot_be_read(&error, &mut lock(&self.state).looks_failed),
        }
    }

    /// Looks at the database; the keys that have gone since this was asked last.
    pub(super) async fn revoked(&self, now_ms: u64) -> Vec<CredentialTag> {
        self.look(now_ms).await;
        std::mem::take(&mut lock(&self.state).gone)
    }

    fn known(&self, key: &str, now_ms: u64) -> Known {
        let digest = self.digest(key);
        let mut state = lock(&self.state);
        if let Some(account) = state.good.get(&digest, now_ms) {
            return Known::Good(account.clone());
        }
        if state.bad.get(&digest, now_ms).is_some() {
            return Known::Bad;
        }
        if let Some(running) = state.running.get(&digest) {
            return Known::Checking(running.clone());
        }
        if state.running.len() >= CHECKS_WAITING_MAX {
            return Known::TooBusy;
        }
        let (answer, answered) = watch::channel(None);
        state.running.insert(digest, answered.clone());
        drop(state);
        let check = self.check(digest, key.to_owned(), now_ms, answer);
        self.tasks.spawn(&self.runtime, "key_check", check);
        Known::Checking(answered)
    }

    /// Looks a key up, remembers what came out and tells it.
    fn check(
        &self,
        digest: Digest,
        key: String,
        now_ms: u64,
        answer: watch::Sender<Option<Answer>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (runtime, store) = (self.runtime.clone(), self.store.clone());
        let (checks, state) = (self.checks.clone(), self.state.clone());
        let running = Running { state: state.clone(), digest };
        async move {
            let Ok(_permit) = checks.acquire_owned().await else { return };
            let generation = lock(&state).generation;
            let found = runtime.offload(move || store.find(&key)).await;
            let found = {
                let mut state = lock(&state);
                let found = found.map_err(|error| cannot_be_read(&error, &mut state.checks_failed));
                if found.is_ok() {
                    can_be_read(&mut state.checks_failed);
                }
                if state.generation == generation {
                    match &found {
                        Ok(Some(account)) => state.good.insert(digest, account.clone(), now_ms),
                        Ok(None) => state.bad.insert(digest, (), now_ms),
                        Err(()) => {}
                    }
                }
                found
            };
            // Whoever asks again because of a change must not meet this check.
            drop(running);
            answer.send_replace(Some(Answer { generation, found }));
        }
    }

    fn digest(&self, key: &str) -> Digest {
        Sha256::new().chain_update(self.secret).chain_update(key).finalize().into()
    }
}

impl<R: Runtime> Provider for OpenAlgo<R> {
    async fn judge(&self, asked: Asked<'_>) -> Judgement {
        if !asked.way.takes_keys() || asked.secret.len() > KEY_BYTES_MAX {
            return Judgement::NotMine;
        }
        self.look(asked.now_ms).await;
        for _ in 0..TRIES_MAX {
            let mut answer = match self.known(asked.secret, asked.now_ms) {
                Known::Good(account) => return judgement(account),
                Known::Bad => return Judgement::Bad(Refusal::Unknown),
                Known::TooBusy => return Judgement::Unavailable("too many keys are being checked"),
                Known::Checking(answer) => answer,
            };
            let answer = answer.wait_for(Option::is_some).await.ok().and_then(|it| it.clone());
            let Some(Answer { generation, found }) = answer else {
                return Judgement::Unavailable("the check of a key has failed");
            };
            match found {
                Err(()) => return Judgement::Unavailable("OpenAlgo's database cannot be read"),
                Ok(_) if generation != lock(&self.state).generation => {}
                Ok(Some(account)) => return judgement(account),
                Ok(None) => return Judgement::Bad(Refusal::Unknown),
            }
        }
        Judgement::Unavailable("OpenAlgo's keys are changing")
    }
}

fn judgement(account: Account) -> Judgement {
    let Account { user, broker, tag } = account;
    if broker.is_none() {
        return Judgement::NoBroker;
    }
    let (role, demo) = (Role::default(), false);
    Judgement::Good(Verified { user, broker, role, demo, tag, expires_unix_ms: None })
}

/// A check that is done or waits for it. Gives its place back however it ends.
struct Running {
    state: Arc<Mutex<State>>,
    digest: Digest,
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.state).running.remove(&self.digest);
    }
}

/// The first, the second, the fourth time in a row and so on is told: it is tried every second.
fn cannot_be_read(error: &rusqlite::Error, times: &mut u64) {
    *times += 1;
    if times.is_power_of_two() {
        tracing::warn!(%error, times, "OpenAlgo's database cannot be read");
    }
}

fn can_be_read(times: &mut u64) {
    if std::mem::take(times) > 0 {
        tracing::info!("OpenAlgo's database can be read again");
    }
}

/// A panic elsewhere cannot leave these tables half-changed.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
