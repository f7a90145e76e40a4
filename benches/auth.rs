//! What it costs to know who somebody is, by each kind of credential.

#[expect(dead_code, reason = "its tests use the rest")]
#[path = "../tests/auth_support/mod.rs"]
mod auth_support;

use std::hint::black_box;

use auth_support::{Database, NOW_UNIX_MS, claims, environment, jwt, token};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hyper::header::{AUTHORIZATION, COOKIE};
use hyper::{HeaderMap, Uri};
use tickgate::auth::{Credentials, KeyTable, Presented, TokenMint, Verifier, Way, presented};
use tickgate::config::Config;
use tickgate::runtime::{Clock, TokioRuntime};

/// Made by argon2-cffi with its defaults, as OpenAlgo's are.
const HASH: &str = "$argon2id$v=19$m=65536,t=3,p=4$MnClRbXr6vdleTN4yy05/g$IhJUSxIYlTMoDpQZohGNukXvcBFu1dH2Oope9GDXfFo";
const KEY: &str = "openalgo-key-of-the-tests";

fn keys(c: &mut Criterion) {
    let mut group = c.benchmark_group("keys_file");
    for count in [1, 100] {
        let table = (0..count).fold(KeyTable::new(), |table, number| {
            let (key, user) = (format!("key-{number}"), format!("user-{number}"));
            table.with_key(&key, user.into(), None)
        });
        group.bench_function(format!("of_{count}"), |b| {
            b.iter(|| table.verify(black_box("key-0"), false));
        });
    }
}

fn jwts(c: &mut Criterion) {
    let mut group = c.benchmark_group("jwt");
    let jwt = jwt();
    for (name, kid) in [("HS256", "hs"), ("RS256", "rs"), ("EdDSA", "ed"), ("ES256", "es")] {
        let token = token(kid, &claims());
        group.bench_function(name, |b| b.iter(|| jwt.verify(black_box(&token), NOW_UNIX_MS)));
    }
    let expired = token("rs", &claims());
    group.bench_function("unknown_key", |b| {
        let unknown = expired.replacen("ey", "eyB", 1);
        b.iter(|| jwt.verify(black_box(&unknown), NOW_UNIX_MS));
    });
}

fn one_use(c: &mut Criterion) {
    let table = KeyTable::new().with_key(KEY, "alice".into(), None);
    let alice = table.verify(KEY, false).expect("known");
    c.bench_function("one_use_token", |b| {
        let (mut mint, mut number) = (TokenMint::new(30_000), 0);
        b.iter_batched(
            || alice.clone(),
            |alice| {
                number += 1;
                let minted = mint.mint(alice, [number; 4], 0).expect("room");
                mint.redeem(minted.token.as_str(), 1)
            },
            BatchSize::SmallInput,
        );
    });
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {KEY}").parse().expect("a header"));
    headers.insert(COOKIE, "session=1234567890; theme=dark".parse().expect("a header"));
    let at: Uri = "/ws?symbols=NSE:TCS".parse().expect("a URI");
    c.bench_function("presented", |b| {
        b.iter(|| presented(black_box(&headers), &at, "tickgate_token"));
    });
}

fn openalgo(c: &mut Criterion) {
    let mut group = c.benchmark_group("openalgo");
    group.sample_size(20);
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("openalgo.db");
    let database = Database::create(&path);
    database.set_hash("alice", HASH);
    database.log_in("alice", "zerodha", false);
    let mut config = Config::default();
    config.auth.openalgo_database = Some(path);
    let credentials = Credentials::load(&config, environment).expect("a good database");
    let tokio = tokio::runtime::Runtime::new().expect("a runtime");
    let verifier = tokio.block_on(async {
        Verifier::new(TokioRuntime::new(), Clock::start(), credentials, &config.auth)
    });
    let key = Presented { secret: KEY.into(), way: Way::ApiKey };
    let verify = async || verifier.verify(&key, false, NOW_UNIX_MS).await.expect("known");
    group.bench_function("argon2", |b| {
        b.iter(|| {
            verifier.forget(&"alice".into());
            tokio.block_on(verify())
        });
    });
    group.bench_function("remembered", |b| b.iter(|| tokio.block_on(verify())));
}

criterion_group!(benches, keys, jwts, one_use, openalgo);
criterion_main!(benches);
