//! Which event found a client, a broker session or a topic in which state.

use super::words::words;

words! {
    /// A topic of a user. The state includes whether anybody wants it.
    pub enum TopicAt {
        Absent = "absent",
        Off = "off",
        TurningOn = "turning on",
        TurningOnUnwanted = "turning on, unwanted",
        On = "on",
        OnUnwanted = "on, unwanted",
        TurningOff = "turning off",
        TurningOffWanted = "turning off, wanted",
        Unsure = "unsure",
        UnsureUnwanted = "unsure, unwanted",
    }
}

words! {
    /// What happens to a topic.
    pub enum TopicEvent {
        Wanted = "a client wants it",
        Unwanted = "a client gives it up",
        Agreed = "the broker agrees",
        Refused = "the broker refuses",
        TimedOut = "no answer in time",
        SessionGone = "the answer is that there is no session",
        SessionBegins = "the session begins",
        SessionEnds = "the session ends",
        Retry = "it may be tried again",
    }
}

words! {
    /// A user's broker session. The state includes whether any client needs it.
    pub enum SessionAt {
        Absent = "absent",
        Down = "down",
        Connecting = "connecting",
        ConnectingStale = "connecting, stale",
        ConnectingUnneeded = "connecting, unneeded",
        Up = "up",
        UpUnneeded = "up, unneeded",
        Emptying = "emptying",
        Closing = "closing",
        ClosingNeeded = "closing, needed",
        Unsure = "unsure",
        UnsureUnneeded = "unsure, unneeded",
    }
}

words! {
    /// What happens to a broker session.
    pub enum SessionEvent {
        Joins = "a client joins",
        Leaves = "a client leaves",
        Agreed = "the broker agrees",
        Refused = "the broker refuses",
        TimedOut = "no answer in time",
        Lost = "the broker has lost it",
        BrokerDown = "the broker goes",
        BrokerUp = "the broker comes",
        Invalidated = "credentials change",
        Retry = "it may be tried again",
        Drain = "the gateway stops",
    }
}

words! {
    /// A client.
    pub enum ClientAt {
        Absent = "absent",
        Nobody = "nobody",
        Joining = "joining",
        Joined = "joined",
        Rejoining = "authenticating again",
        Subscribing = "subscribing",
        Closing = "being closed",
    }
}

words! {
    /// What happens to a client.
    pub enum ClientEvent {
        Opened = "it connects",
        Closed = "its connection ends",
        Authenticate = "authenticate",
        Subscribe = "subscribe",
        Unsubscribe = "unsubscribe",
        UnsubscribeAll = "unsubscribe_all",
        SubscribeOrders = "subscribe_orders",
        UnsubscribeOrders = "unsubscribe_orders",
        BrokerInfo = "get_broker_info",
        SupportedBrokers = "get_supported_brokers",
        Ready = "a ping or what is no request",
        AuthenticationOverdue = "it did not authenticate in time",
        RequestOverdue = "its request was not answered in time",
        Drain = "the gateway stops",
    }
}

/// A state and an event of the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Of a topic.
    Topic(TopicAt, TopicEvent),
    /// Of a broker session.
    Session(SessionAt, SessionEvent),
    /// Of a client.
    Client(ClientAt, ClientEvent),
}

const TOPIC_PAIRS: usize = TopicAt::COUNT * TopicEvent::COUNT;
const SESSION_PAIRS: usize = SessionAt::COUNT * SessionEvent::COUNT;
const CLIENT_PAIRS: usize = ClientAt::COUNT * ClientEvent::COUNT;

impl Pair {
    /// How many there are, those that cannot be included.
    pub const COUNT: usize = TOPIC_PAIRS + SESSION_PAIRS + CLIENT_PAIRS;

    /// All, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        let topics = cross(TopicAt::ALL, TopicEvent::ALL).map(|(at, event)| Self::Topic(at, event));
        let sessions =
            cross(SessionAt::ALL, SessionEvent::ALL).map(|(at, event)| Self::Session(at, event));
        let clients =
            cross(ClientAt::ALL, ClientEvent::ALL).map(|(at, event)| Self::Client(at, event));
        topics.chain(sessions).chain(clients)
    }

    /// Its place in [`Pair::all`].
    #[must_use]
    pub const fn number(self) -> usize {
        match self {
            Self::Topic(at, event) => at as usize * TopicEvent::COUNT + event as usize,
            Self::Session(at, event) => {
                TOPIC_PAIRS + at as usize * SessionEvent::COUNT + event as usize
            }
            Self::Client(at, event) => {
                TOPIC_PAIRS + SESSION_PAIRS + at as usize * ClientEvent::COUNT + event as usize
            }
        }
    }

    /// The machine it is of.
    #[must_use]
    pub const fn machine(self) -> &'static str {
        match self {
            Self::Topic(..) => "topic",
            Self::Session(..) => "session",
            Self::Client(..) => "client",
        }
    }

    /// The state.
    #[must_use]
    pub const fn state(self) -> &'static str {
        match self {
            Self::Topic(at, _) => at.label(),
            Self::Session(at, _) => at.label(),
            Self::Client(at, _) => at.label(),
        }
    }

    /// The event.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Topic(_, event) => event.label(),
            Self::Session(_, event) => event.label(),
            Self::Client(_, event) => event.label(),
        }
    }

    /// Whether the event can find the machine in this state, if the program is right.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        match self {
            Self::Topic(at, event) => topic_can(at, event),
            Self::Session(at, event) => session_can(at, event),
            Self::Client(at, event) => client_can(at, event),
        }
    }
}

fn cross<A: Copy, B: Copy>(
    states: &'static [A],
    events: &'static [B],
) -> impl Iterator<Item = (A, B)> {
    states.iter().flat_map(move |state| events.iter().map(move |event| (*state, *event)))
}

const fn topic_can(at: TopicAt, event: TopicEvent) -> bool {
    use TopicAt as At;
    use TopicEvent as Event;
    match event {
        Event::Wanted => true,
        Event::Unwanted => {
            matches!(at, At::Off | At::TurningOn | At::On | At::TurningOffWanted | At::Unsure)
        }
        // Only what is in flight is answered.
        Event::Agreed | Event::Refused | Event::TimedOut | Event::SessionGone => matches!(
            at,
            At::TurningOn | At::TurningOnUnwanted | At::TurningOff | At::TurningOffWanted
        ),
        // Without a session every topic is off.
        Event::SessionBegins => matches!(at, At::Off),
        Event::SessionEnds => !matches!(at, At::Absent),
        // The pause may end when it no longer matters.
        Event::Retry => !matches!(at, At::Absent),
    }
}

const fn session_can(at: SessionAt, event: SessionEvent) -> bool {
    use SessionAt as At;
    use SessionEvent as Event;
    match event {
        Event::Joins | Event::Invalidated => true,
        // Somebody has to be there.
        Event::Leaves => !matches!(
            at,
            At::Absent | At::ConnectingUnneeded | At::UpUnneeded | At::Closing | At::UnsureUnneeded
        ),
        // Only what is in flight is answered.
        Event::Agreed | Event::Refused | Event::TimedOut => matches!(
            at,
            At::Connecting
                | At::ConnectingStale
                | At::ConnectingUnneeded
                | At::Emptying
                | At::Closing
                | At::ClosingNeeded
        ),
        Event::Lost => matches!(at, At::Up | At::UpUnneeded | At::Emptying),
        // While the broker is away no session is opened or closed.
        Event::BrokerUp => matches!(at, At::Down | At::Unsure | At::UnsureUnneeded),
        Event::BrokerDown | Event::Retry | Event::Drain => !matches!(at, At::Absent),
    }
}

const fn client_can(at: ClientAt, event: ClientEvent) -> bool {
    use ClientAt as At;
    use ClientEvent as Event;
    match event {
        Event::Opened => matches!(at, At::Absent),
        Event::AuthenticationOverdue => matches!(at, At::Nobody),
        Event::RequestOverdue => matches!(at, At::Joining | At::Rejoining | At::Subscribing),
        // A client's task says nothing after its end.
        Event::Closed
        | Event::Authenticate
        | Event::Subscribe
        | Event::Unsubscribe
        | Event::UnsubscribeAll
        | Event::SubscribeOrders
        | Event::UnsubscribeOrders
        | Event::BrokerInfo
        | Event::SupportedBrokers
        | Event::Ready
        | Event::Drain => !matches!(at, At::Absent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_own_number() {
        let numbers: Vec<usize> = Pair::all().map(Pair::number).collect();
        assert_eq!(numbers, (0..Pair::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_is_not_asked_for() {
        assert!(!Pair::Topic(TopicAt::Off, TopicEvent::Agreed).is_possible());
        assert!(Pair::Topic(TopicAt::TurningOnUnwanted, TopicEvent::Agreed).is_possible());
    }
}
