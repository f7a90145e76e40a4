//! The adapter host of a story: it notes what it is asked and does as it is told.

mod book;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tickgate::protocol::control::{FromHost, Hello, ToHost, VERSION, Welcome, decode_to_host};
use tickgate::runtime::Runtime;
use tickgate::topic::Topic;
use tickgate::zmtp::{Message, Options, Router, RouterEvent};
use tokio::sync::Notify;

pub use book::{Call, Deed, Manner};

use book::Book;

/// Pause before the address is tried again.
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// An adapter host. Clones are the same host.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    book: Mutex<Book>,
    /// The story has said something.
    told: Notify,
}

impl Broker {
    /// A host that is alive and does whatever it is asked.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { book: Mutex::new(Book::new()), told: Notify::new() }))
    }

    /// Plays the host at `host:port`, through all its lives. Never returns.
    pub async fn run<R: Runtime>(&self, runtime: R, address: &str) {
        loop {
            while !self.book().is_alive() {
                self.0.told.notified().await;
            }
            match Router::bind(&runtime, Options::default(), address).await {
                Ok(router) => self.live(router).await,
                Err(_) => tokio::time::sleep(BIND_PAUSE).await,
            }
        }
    }

    /// From now on, treats requests of this kind and name (a symbol, or a user for sessions) so.
    pub fn when(&self, deed: Deed, name: &str, manner: Manner) {
        self.book().set_rule(deed, name, manner);
    }

    /// Serves what it held back of this kind and name, and from now on whatever comes.
    ///
    /// # Panics
    ///
    /// As [`Broker::release_as`].
    pub fn release(&self, deed: Deed, name: &str) {
        self.release_as(deed, name, Manner::Serve);
        self.when(deed, name, Manner::Serve);
    }

    /// Treats what it held back of this kind and name so.
    ///
    /// # Panics
    ///
    /// Panics if it holds back nothing of the kind: the story has to wait until it does.
    pub fn release_as(&self, deed: Deed, name: &str, manner: Manner) {
        self.book().release(deed, name, &manner);
        self.0.told.notify_one();
    }

    /// Sends the answers that it kept back.
    pub fn answer_late(&self) {
        self.book().answer_late();
        self.0.told.notify_one();
    }

    /// How many requests of this kind and name it holds back.
    #[must_use]
    pub fn holds(&self, deed: Deed, name: &str) -> usize {
        self.book().holds(deed, name)
    }

    /// How many answers it keeps back.
    #[must_use]
    pub fn keeps(&self) -> usize {
        self.book().keeps()
    }

    /// Ends a user's session as a broker would: unasked.
    pub fn lose_session(&self, user: &str) {
        self.book().lose_session(user);
        self.0.told.notify_one();
    }

    /// Dies: its connections and its port close, and everything is forgotten.
    pub fn die(&self) {
        self.book().die();
        self.0.told.notify_one();
    }

    /// Lives again.
    pub fn revive(&self) {
        self.book().revive();
        self.0.told.notify_one();
    }

    /// What it was asked, in order, since its first life or [`Broker::forget_calls`].
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.book().calls.clone()
    }

    /// How often it was asked this.
    #[must_use]
    pub fn count(&self, deed: Deed, name: &str) -> usize {
        self.book().calls.iter().filter(|call| call.deed == deed && call.name == name).count()
    }

    /// Forgets what it was asked.
    pub fn forget_calls(&self) {
        self.book().calls.clear();
    }

    /// Every open session's topics, by user.
    #[must_use]
    pub fn sessions(&self) -> BTreeMap<String, BTreeSet<Topic>> {
        self.book().sessions()
    }

    /// How often a session was opened while another one of the same user was open.
    #[must_use]
    pub fn replaced(&self) -> usize {
        self.book().replaced
    }

    async fn live(&self, mut router: Router) {
        while self.book().is_alive() {
            tokio::select! {
                biased;
                () = self.0.told.notified() => {}
                event = router.recv() => match event {
                    RouterEvent::Joined(_) => {}
                    RouterEvent::Left(peer) => self.book().left(peer),
                    RouterEvent::Message { peer, message } => self.received(peer, &message),
                }
            }
            let outgoing = self.book().take_outgoing();
            for (peer, message) in outgoing {
                // A peer that is gone, or that does not read, has no use for it.
                let _ = router.send(peer, Message::single(message.encode()));
            }
        }
    }

    fn received(&self, peer: tickgate::zmtp::PeerId, message: &Message) {
        let [body] = message.parts() else { panic!("the gateway sent {message:?}") };
        let mut book = self.book();
        match decode_to_host(body).expect("the gateway speaks the control protocol") {
            Some(ToHost::Hello(Hello { n, .. })) => {
                book.greeted(peer);
                let welcome = Welcome {
                    version: VERSION,
                    name: "story-host".into(),
                    instance: book.instance(),
                    n: Some(n),
                };
                book.say(peer, FromHost::Welcome(welcome));
            }
            Some(ToHost::Ping { n }) => book.say(peer, FromHost::Pong { n }),
            Some(ToHost::Request(request)) => book.asked(peer, request),
            None => panic!("the gateway says what version {VERSION} does not know"),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self::new()
    }
}
