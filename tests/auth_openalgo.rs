//! Keys checked in OpenAlgo's own database: what it says, when it changes, when it is not there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;
use tickgate::auth::{
    BadCredentials, Credentials, Denied, KeyTable, Presented, Refusal, Verified, Verifier, Way,
};
use tickgate::config::{Auth, Config};
use tickgate::runtime::{Clock, Runtime, Task, TaskRegistry, TokioRuntime};
use tickgate::topic::Role;
use tokio::time::sleep;

use crate::auth_support::{self, Database, NOW_UNIX_MS, PEPPER, cheap_hash, environment};

/// How long any work takes off the async threads.
const WORK: Duration = Duration::from_millis(100);
/// After that long a change of the database is noticed.
const LOOK: Duration = Duration::from_secs(1);

/// Counts what is done off the async threads, where nothing takes real time.
#[derive(Clone, Default)]
struct Counting {
    inner: TokioRuntime,
    done: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

impl Runtime for Counting {
    type Stream = <TokioRuntime as Runtime>::Stream;
    type Listener = <TokioRuntime as Runtime>::Listener;

    async fn bind(&self, addr: &str) -> io::Result<Self::Listener> {
        self.inner.bind(addr).await
    }

    async fn connect(&self, addr: &str) -> io::Result<Self::Stream> {
        self.inner.connect(addr).await
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        self.inner.spawn(name, task)
    }

    async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let at_once = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        sleep(WORK).await;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
        work()
    }

    fn tasks(&self) -> &TaskRegistry {
        self.inner.tasks()
    }

    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }

    fn unix_ms(&self) -> u64 {
        NOW_UNIX_MS
    }
}

/// A gateway's verifier next to an OpenAlgo in which alice is logged in.
struct World {
    database: Database,
    path: PathBuf,
    runtime: Counting,
    verifier: Verifier<Counting>,
    _directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("openalgo.db");
        let database = Database::create(&path);
        database.set_hash("alice", &cheap_hash("key-of-alice"));
        database.log_in("alice", "zerodha", false);
        let runtime = Counting::default();
        let credentials = load(&path).expect("a good database");
        let verifier =
            Verifier::new(runtime.clone(), Clock::start(), credentials, &Auth::default());
        Self { database, path, runtime, verifier, _directory: directory }
    }

    async fn verify(&self, key: &str) -> Result<Verified, Denied> {
        verify(&self.verifier, key).await
    }

    /// How often the database was asked since this was asked last.
    fn asked(&self) -> usize {
        self.runtime.done.swap(0, Ordering::Relaxed)
    }
}

fn load(path: &Path) -> Result<Credentials, BadCredentials> {
    let mut config = Config::default();
    config.auth.openalgo_database = Some(path.to_owned());
    Credentials::load(&config, environment)
}

async fn verify<R: Runtime>(verifier: &Verifier<R>, key: &str) -> Result<Verified, Denied> {
    let presented = Presented { secret: key.into(), way: Way::ApiKey };
    verifier.verify(&presented, false, NOW_UNIX_MS).await
}

const UNKNOWN: Denied = Denied::Bad(Refusal::Unknown);

#[tokio::test(start_paused = true)]
async fn a_key_gives_its_user_and_the_broker_they_are_logged_in_with() {
    let world = World::new();
    let alice = world.verify("key-of-alice").await.expect("known");
    assert_eq!((alice.user.as_str(), alice.broker), ("alice", Some("zerodha".into())));
    assert_eq!((alice.role, alice.demo, alice.expires_unix_ms), (Role::Trader, false, None));
    let with_pepper = ["key-of-alice", PEPPER].concat();
    for wrong in ["key-of-alic", "key-of-alice ", "", PEPPER, &with_pepper, &"x".repeat(100_000)] {
        assert_eq!(world.verify(wrong).await, Err(UNKNOWN), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn good_and_bad_keys_are_remembered_and_no_longer_than_they_should() {
    let world = World::new();
    assert!(world.verify("key-of-alice").await.is_ok());
    assert_eq!(world.verify("wrong").await, Err(UNKNOWN));
    assert_eq!(world.asked(), 3, "two checks, and a first look at the files");
    assert!(world.verify("key-of-alice").await.is_ok());
    assert_eq!(world.verify("wrong").await, Err(UNKNOWN));
    assert_eq!(world.asked(), 0);

    sleep(Duration::from_secs(301)).await;
    assert!(world.verify("key-of-alice").await.is_ok());
    assert_eq!(world.asked(), 1, "a look");
    assert_eq!(world.verify("wrong").await, Err(UNKNOWN));
    assert_eq!(world.asked(), 1, "checked again after five minutes");
    sleep(Duration::from_secs(3_601)).await;
    assert!(world.verify("key-of-alice").await.is_ok());
    assert_eq!(world.asked(), 2, "a look, and a check after an hour");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_replaced_is_refused_and_the_new_one_taken_within_a_second() {
    let world = World::new();
    let old = world.verify("key-of-alice").await.expect("known");
    assert_eq!(world.verify("new-key").await, Err(UNKNOWN));
    world.database.set_hash("alice", &cheap_hash("new-key"));
    sleep(LOOK).await;
    assert_eq!(world.verify("key-of-alice").await, Err(UNKNOWN));
    let new = world.verify("new-key").await.expect("known");
    assert_ne!(old.tag, new.tag);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_checked_again_at_once() {
    let world = World::new();
    world.database.set_hash("bob", &cheap_hash("key-of-bob"));
    world.database.log_in("bob", "angel", false);
    sleep(LOOK).await;
    for key in ["key-of-alice", "key-of-bob"] {
        assert!(world.verify(key).await.is_ok());
    }
    assert_eq!(world.verify("new-key").await, Err(UNKNOWN));
    world.asked();
    world.database.set_hash("alice", &cheap_hash("new-key"));
    world.verifier.forget(&"alice".into());
    assert_eq!(world.verify("key-of-alice").await, Err(UNKNOWN));
    assert!(world.verify("new-key").await.is_ok());
    assert_eq!(world.asked(), 2);
    assert!(world.verify("key-of-bob").await.is_ok());
    assert_eq!(world.asked(), 0, "others are not concerned");
}

#[tokio::test(start_paused = true)]
async fn who_is_logged_in_nowhere_has_no_broker_and_another_login_gives_another() {
    let world = World::new();
    for (broker, is_revoked, wanted) in [
        ("zerodha", true, Err(Denied::NoBroker)),
        ("angel", false, Ok(Some("angel".into()))),
        ("dhan", false, Ok(Some("dhan".into()))),
    ] {
        world.database.log_in("alice", broker, is_revoked);
        sleep(LOOK).await;
        let broker = world.verify("key-of-alice").await.map(|verified| verified.broker);
        assert_eq!(broker, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn many_with_the_same_key_share_one_check() {
    let world = World::new();
    assert!(world.verify("first").await.is_err());
    world.asked();
    let all = join_all((0..50).map(|_| world.verify("key-of-alice"))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_wrong_keys_takes_few_threads_and_a_bounded_queue() {
    let world = World::new();
    assert!(world.verify("key-of-alice").await.is_ok());
    world.runtime.most_at_once.store(0, Ordering::Relaxed);
    let keys: Vec<_> = (0..100).map(|number| format!("wrong-{number}")).collect();
    let flood = join_all(keys.iter().map(|key| world.verify(key)));
    let known = async {
        sleep(WORK / 2).await;
        let clock = Clock::start();
        (world.verify("key-of-alice").await.is_ok(), clock.now())
    };
    let (flood, (known, took)) = tokio::join!(flood, known);
    assert!(known && took.is_zero(), "who is known does not wait: {took:?}");
    let later = flood.iter().filter(|result| matches!(result, Err(Denied::Unavailable(_))));
    assert_eq!(later.count(), 100 - 64);
    assert_eq!(flood.iter().filter(|result| **result == Err(UNKNOWN)).count(), 64);
    assert_eq!(world.runtime.most_at_once.load(Ordering::Relaxed), 2);
    assert!(world.verify("wrong-99").await == Err(UNKNOWN), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_leaves_takes_nothing_along() {
    let world = World::new();
    for number in 0..200 {
        let key = format!("wrong-{}", number % 3);
        let asking = world.verify(&key);
        assert!(tokio::time::timeout(WORK / 10, asking).await.is_err() || number >= 3);
        sleep(WORK).await;
    }
    sleep(10 * WORK).await;
    assert!(world.verify("key-of-alice").await.is_ok());
    assert_eq!(world.runtime.tasks().counts().get("key_check").copied().unwrap_or(0), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_read_before_a_change_is_not_given_after_it() {
    let world = World::new();
    assert!(world.verify("first").await.is_err());
    let asking = world.verify("key-of-alice");
    let revoking = async {
        sleep(WORK / 2).await;
        world.database.set_hash("alice", &cheap_hash("new-key"));
        world.verifier.forget(&"alice".into());
    };
    let (answer, ()) = tokio::join!(asking, revoking);
    assert_eq!(answer, Err(UNKNOWN));
    assert_eq!(world.verify("key-of-alice").await, Err(UNKNOWN));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_no_wrong_key_and_good_keys_are_remembered() {
    let world = World::new();
    assert!(world.verify("key-of-alice").await.is_ok());
    let hidden = world.path.with_extension("hidden");
    std::fs::rename(&world.path, &hidden).expect("moved");
    sleep(LOOK).await;
    assert!(world.verify("key-of-alice").await.is_ok(), "it was good a second ago");
    for _ in 0..2 {
        let away = world.verify("other-key").await;
        assert_eq!(away, Err(Denied::Unavailable("OpenAlgo's database cannot be read")));
    }
    std::fs::rename(&hidden, &world.path).expect("moved");
    world.database.set_hash("bob", &cheap_hash("other-key"));
    world.database.log_in("bob", "angel", false);
    assert!(world.verify("other-key").await.is_ok(), "it never counted as wrong");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_stays_away_is_told_ever_more_rarely() {
    let world = World::new();
    assert!(world.verify("key-of-alice").await.is_ok());
    let hidden = world.path.with_extension("hidden");
    std::fs::rename(&world.path, &hidden).expect("moved");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let writer = log.reopen().expect("the file");
    let subscriber = tracing_subscriber::fmt().with_writer(std::sync::Mutex::new(writer)).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for _ in 0..100 {
        sleep(LOOK).await;
        assert!(world.verify("key-of-alice").await.is_ok());
    }
    std::fs::rename(&hidden, &world.path).expect("moved");
    sleep(LOOK).await;
    assert!(world.verify("key-of-alice").await.is_ok());
    let told = std::fs::read_to_string(log.path()).expect("text");
    assert_eq!(told.matches("cannot be read").count(), 7, "1, 2, 4 .. 64: {told}");
    assert_eq!(told.matches("can be read again").count(), 1, "{told}");
}

#[test]
fn a_database_that_cannot_work_is_told_at_the_start() {
    let directory = tempfile::tempdir().expect("directory");
    let told = |path: &Path| load(path).expect_err("no good").to_string();
    let missing = directory.path().join("missing.db");
    assert!(
        told(&missing).contains("missing.db: unable to open database file"),
        "{}",
        told(&missing)
    );
    assert!(!missing.exists(), "it is never made");

    let empty = directory.path().join("empty.db");
    std::fs::write(&empty, "").expect("written");
    assert!(told(&empty).contains("no such table: api_keys"));
    let text = directory.path().join("text.db");
    std::fs::write(&text, "no database at all, but long enough to look at ".repeat(99))
        .expect("written");
    assert!(told(&text).contains("file is not a database"));

    let strange = directory.path().join("strange.db");
    Database::create(&strange).set_hash("carol", "hush-this-is-no-hash");
    assert!(told(&strange).ends_with("strange.db: the key of \"carol\" is no Argon2 hash"));
    let greedy =
        "$argon2id$v=19$m=4194304,t=3,p=4$c2l4dGVlbiBieXRlcw$c2l4dGVlbiBieXRlcyBhbmQgbW9yZQ";
    Database(rusqlite::Connection::open(&strange).expect("opens")).set_hash("carol", greedy);
    assert!(told(&strange).ends_with("to check it would take more than 1 GiB, or 64 passes"));

    let mut config = Config::default();
    config.auth.openalgo_database = Some(missing);
    for pepper in [None, Some("hush, but short".to_owned())] {
        let bad = Credentials::load(&config, |_| pepper.clone()).expect_err("no pepper");
        assert_eq!(
            bad.to_string(),
            "the environment variable API_KEY_PEPPER must hold OpenAlgo's pepper, at least 32 \
             characters, for `auth.openalgo_database`"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_used_keeps_nobody_else_out() {
    let World { database, path, _directory, .. } = World::new();
    let long = "x".repeat(65);
    for user in ["Alice Smith", &long, "line\nbreak"] {
        database.set_hash(user, &cheap_hash("key-of-a-strange-name"));
        database.log_in(user, "zerodha", false);
    }
    database.set_hash("carol", "hush-this-is-no-hash");
    let credentials = load(&path).expect("the others can come in");
    let warnings = credentials.warnings().join("; ");
    for wanted in [
        "the key of \"Alice Smith\" is not taken: names have 1 to 64 bytes, no spaces",
        "the key of \"line\\nbreak\" is not taken",
        "the key of \"carol\" is no Argon2 hash",
    ] {
        assert!(warnings.contains(wanted), "{wanted}: {warnings}");
    }
    assert_eq!(credentials.warnings().len(), 4);
    assert!(!warnings.contains("hush"), "{warnings}");
    let verifier =
        Verifier::new(Counting::default(), Clock::start(), credentials, &Auth::default());
    assert!(verify(&verifier, "key-of-alice").await.is_ok());
    assert_eq!(verify(&verifier, "key-of-a-strange-name").await, Err(UNKNOWN));
}

#[tokio::test(start_paused = true)]
async fn beyond_64_keys_those_there_are_go_on_and_the_others_are_named() {
    let World { database, path, _directory, .. } = World::new();
    for number in 0..66 {
        database.set_hash(&format!("user-{number:02}"), &cheap_hash(&format!("key-{number}")));
        database.log_in(&format!("user-{number:02}"), "angel", false);
    }
    let credentials = load(&path).expect("64 can come in");
    assert_eq!(
        credentials.warnings(),
        ["no more than 64 keys are taken, in the order of the users' names: 3 are not"]
    );
    let verifier =
        Verifier::new(Counting::default(), Clock::start(), credentials, &Auth::default());
    assert!(verify(&verifier, "key-of-alice").await.is_ok());
    assert!(verify(&verifier, "key-62").await.is_ok());
    assert_eq!(verify(&verifier, "key-63").await, Err(UNKNOWN));
}

#[tokio::test]
async fn a_hash_that_python_made_once_is_checked_on_real_threads() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("openalgo.db");
    let database = Database::create(&path);
    // argon2-cffi with its defaults, of the key and the pepper.
    database.set_hash("alice", HASH);
    database.log_in("alice", "zerodha", false);
    let credentials = load(&path).expect("a good database");
    let verifier =
        Verifier::new(TokioRuntime::new(), Clock::start(), credentials, &Auth::default());
    assert!(verify(&verifier, "openalgo-key-of-the-tests").await.is_ok());
    assert_eq!(verify(&verifier, "openalgo-key-of-the-test").await, Err(UNKNOWN));
}

const HASH: &str = "$argon2id$v=19$m=65536,t=3,p=4$MnClRbXr6vdleTN4yy05/g$IhJUSxIYlTMoDpQZohGNukXvcBFu1dH2Oope9GDXfFo";

/// Makes OpenAlgo's database and tokens as Python programs make them.
const PYTHON: &str = r#"
import argon2, jwt, sqlite3, sys
path, pepper, keys = sys.argv[1:]
hashed = argon2.PasswordHasher().hash("key-of-alice" + pepper)
database = sqlite3.connect(path)
database.execute("PRAGMA journal_mode = WAL")
database.execute(
    "INSERT INTO api_keys (user_id, api_key_hash, api_key_encrypted) VALUES (?, ?, '')",
    ("alice", hashed))
database.execute("INSERT INTO auth (name, auth, broker, is_revoked) VALUES ('alice', '', 'x', 0)")
database.commit()
def der(name):
    from cryptography.hazmat.primitives.serialization import load_der_private_key
    return load_der_private_key(open(f"{keys}/{name}.der", "rb").read(), None)
claims = {"sub": "alice", "exp": 1_800_000_060}
secret = b"a secret of the tests, 40 bytes of it ...."
for algorithm, kid, key in [
    ("HS256", "hs", secret), ("RS256", "rs", der("rsa")), ("EdDSA", "ed", der("ed25519")),
    ("ES256", "es", der("p256")),
]:
    print(jwt.encode(claims, key, algorithm, headers={"kid": kid}))
"#;

#[tokio::test]
async fn what_python_makes_is_good_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = root.join("target/venv/bin/python");
    let python = std::env::var_os("INTEROP_PYTHON").map_or(made, PathBuf::from);
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("openalgo.db");
    drop(Database::create(&path));
    let output = Command::new(&python)
        .arg("-c")
        .arg(PYTHON)
        .arg(&path)
        .arg(PEPPER)
        .arg(root.join("tests/auth_support/keys"))
        .output()
        .expect(".ci/tools has made an environment");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "run .ci/tools, or name a Python in INTEROP_PYTHON: {error}");

    let mut config = Config::default();
    config.auth.openalgo_database = Some(path);
    config.auth.jwt_keys_file = Some(auth_support::private_jwks(directory.path()));
    let credentials = Credentials::load(&config, environment).expect("good");
    let verifier =
        Verifier::new(TokioRuntime::new(), Clock::start(), credentials, &Auth::default());
    assert!(verify(&verifier, "key-of-alice").await.is_ok());
    let tokens = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(tokens.lines().count(), 4);
    for token in tokens.lines() {
        let verified = verify(&verifier, token).await;
        assert_eq!(verified.expect(token).user.as_str(), "alice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_one_use_token_is_good_once_and_goes_with_its_credential() {
    let keys = KeyTable::new().with_key("key-of-alice", "alice".into(), None).with_demo_key();
    let verifier = Verifier::new(Counting::default(), Clock::start(), keys, &Auth::default());
    let alice = verify(&verifier, "key-of-alice").await.expect("known");
    let minted = verifier.mint(&alice, verifier.generation()).expect("room").token;
    let way = |way| Presented { secret: minted.clone(), way };
    let first = verifier.verify(&way(Way::Query), false, NOW_UNIX_MS).await;
    assert_eq!(first, Ok(alice.clone()));
    let again = verifier.verify(&way(Way::Query), false, NOW_UNIX_MS).await;
    assert_eq!(again, Err(Denied::Bad(Refusal::Spent)));

    let minted = verifier.mint(&alice, verifier.generation()).expect("room").token;
    verifier.forget(&"alice".into());
    assert_eq!(verify(&verifier, minted.as_str()).await, Err(Denied::Bad(Refusal::Spent)));
    let minted = verifier.mint(&alice, verifier.generation()).expect("room").token;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(verify(&verifier, minted.as_str()).await, Err(Denied::Bad(Refusal::Spent)));

    let minted = verifier
        .mint(&Verified { demo: true, ..alice.clone() }, verifier.generation())
        .expect("room")
        .token;
    let from_afar = verify(&verifier, minted.as_str()).await;
    assert_eq!(from_afar, Err(Denied::Bad(Refusal::Spent)), "as the demo key itself");
    let short = Verified { expires_unix_ms: Some(NOW_UNIX_MS), ..alice };
    let minted = verifier.mint(&short, verifier.generation()).expect("room").token;
    assert_eq!(verify(&verifier, minted.as_str()).await, Err(Denied::Bad(Refusal::Spent)));
}
