//! Situations worth being met by a search.

use super::words::words;

words! {
    /// A situation in which mistakes are made.
    pub enum Mark {
        // What a topic is, against whether it is wanted.
        OffAndWanted = "a topic that is off is wanted",
        OnAndWanted = "a topic that is on is wanted by one more",
        OnAndUnwanted = "the last want of a topic that is on ends",
        TurningOnAndWanted = "a topic is wanted by one more while it turns on",
        TurningOnAndUnwanted = "an unsubscribe crosses a subscribe in flight",
        TurningOffAndWanted = "a client returns while a topic turns off",
        TurningOffAndUnwanted = "a want comes and goes while a topic turns off",
        UnsureAndWanted = "a topic in doubt is wanted",
        UnsureAndUnwanted = "a topic in doubt is not wanted",
        // Topics.
        TopicTimedOut = "a subscribe is in doubt after a timeout",
        TopicDoubtOutlivesRefusal = "a refusal does not settle the doubt about a topic",
        TopicOnForNobody = "a topic comes on when nobody wants it any more",
        TopicOnForSeveral = "a topic comes on for several clients at once",
        TopicRefusedToHolders = "a topic cannot be restored for those who hold it",
        TopicNotTurnedOff = "an unsubscribe fails",
        TopicPaused = "a topic to be restored waits for its next try",
        TopicUrgent = "a client that waits does not wait for a topic's pause",
        // Sessions.
        SessionWantedAgain = "a client comes while the session closes",
        SessionUnneeded = "a session opens when nobody needs it any more",
        SessionRebuilt = "a live session is closed because credentials changed",
        CredentialsChangeInConnect = "credentials change while the session connects",
        CredentialsChangeInClose = "credentials change while the session closes",
        SessionTimedOut = "a session is in doubt after a timeout",
        SessionDoubtOutlivesRefusal = "a refusal does not settle the doubt about a session",
        SessionFailedForNobody = "a connect fails when nobody needs it any more",
        SessionNotClosed = "a disconnect fails",
        SessionPaused = "a session waits for its next try",
        SessionRestoresTopics = "a new session restores topics",
        SessionLostInConnect = "the broker goes while a session connects",
        SessionLostInClose = "the broker goes while a session closes",
        SessionLostInDoubt = "the broker goes while a session in doubt closes",
        SessionLostInCommand = "a session is lost with a topic's command in flight",
        SessionClosedInCommand = "a session is closed with a topic's command in flight",
        SessionDoubtWithoutBroker = "nobody needs a session in doubt and the broker is away",
        StopGivesUpSession = "a gateway that stops leaves a session in doubt behind",
        LateAnswer = "an answer comes when nobody waits for it any more",
        LateLoss = "an older session is lost",
        // Clients.
        ClientGoneWaiting = "a client goes while its request waits",
        ClientGoneQueued = "a client goes with requests in its queue",
        ClientSwitches = "a client becomes another user and leaves topics behind",
        ClientRejoinsDead = "a client authenticates again while the session is not live",
        ClientQueues = "a request waits for the one before it",
        ClientClosingAsks = "a client that is being closed asks for something",
        ClientOverdue = "a client does not authenticate in time",
        RequestOverdue = "a subscribe is not answered in time",
        AuthenticationOverdue = "an authentication waits too long for the session",
        NotAuthenticated = "nobody asks for data",
        LimitReached = "a client holds as many topics as it may",
        UserLimitReached = "a user's clients hold as many topics together as they may",
        ChannelCrowded = "a channel has as many connections as it may",
        BecomesAnonymous = "a client that shows no credential asks for something",
        AnonymousSwitches = "an anonymous client authenticates and leaves topics behind",
        UserCrowded = "a user has as many clients as it may",
        RateLimited = "a client says more than it may",
        ConductClosed = "a client is closed for its conduct",
        Silent = "a client has been silent for too long",
        // Roles and credentials.
        Forbidden = "a client asks for what its role may not have",
        RevokedInside = "a client is in by a credential that is gone or changed",
        RevokedOnTheWay = "a credential is gone while its client is on the way in",
        WrongAtDoor = "a wrong credential is shown at the door",
        // The gate.
        AddressCrowded = "an address has as many connections as it may",
        AttemptQueues = "a credential waits for those before it",
        AttemptWaits = "a credential comes too soon after failures",
        AddressBlocked = "an address is blocked for the conduct of its clients",
        BlockedAtDoor = "a block meets a client in its handshake",
        AlreadySubscribed = "a client asks for what it has",
        JoinedOn = "a client joins a topic that is on",
        PartlySubscribed = "a subscribe succeeds in part",
        NeverSubscribed = "a client gives up what it never had",
        // Broadcasts.
        AudienceBegins = "somebody listens to a broadcast again",
        AudienceEnds = "the last listener of a broadcast leaves",
        BroadcastAsksAgain = "a broadcast could not be subscribed",
        // Stopping.
        StopWaiting = "the gateway stops while a request waits",
        StopConnecting = "the gateway stops while a session connects",
        StopOpened = "a client arrives when the gateway has begun to stop",
        StopBrokerBack = "the broker comes back while the gateway stops",
        StopAtDoor = "the gateway stops while a client is at the door",
        // Shards and sockets.
        Conflated = "a tick replaces one that a client did not read",
        SkippedTold = "a tick tells how many were left out before it",
        LatestOverflowed = "the latest values alone are too many bytes for a client",
        TicksForgotten = "ticks wait for a subscription that ends",
        Overflowed = "too many answers wait for a client",
        OldestDropped = "the oldest tick goes so that another finds room",
        TicksOverflowed = "a tick finds no room and none may be made",
        Snapshot = "a client that subscribes gets the last value",
        // Paces.
        PaceArmed = "a value comes for a pace that has waited for one",
        PaceWithheld = "a paced client is not sent every value",
        PacedJoinsArmed = "a paced client comes in the middle of an interval",
        PacedHasLatest = "a boundary comes for a client that has the latest value already",
        PacedLastLeavesArmed = "the last of a pace leaves in the middle of an interval",
        PacedLags = "a boundary comes for a client that lags",
        ClosingDelivery = "something comes for a client that is being closed or gone",
        CloseOverdue = "a client takes too long to be closed",
        SlotReused = "a client gets the slot of one that has gone",
        SocketFull = "a socket takes no more",
        SocketTakesPart = "a socket takes a part of what is written",
        Stalled = "a socket has taken nothing for too long",
        SocketBroken = "a socket breaks in a write",
        CreditSpent = "a client has as many unanswered requests as it may",
        ProtocolBroken = "a client breaks the protocol",
        SaysGoodbye = "a client says goodbye",
        HandshakeFailed = "a connection does not become a client",
        // The feed, and the link to a broker.
        NoInterest = "a tick comes that nobody wants",
        FeedSheds = "a tick replaces one that waits for a shard that is behind",
        PrefixesChange = "publishers are asked for something else",
        OtherSource = "a tick is served by a leaner topic",
        TopicStale = "a topic is silent for longer than it should be",
        TopicClosed = "a topic is silent because its market is closed",
        TopicRecovering = "a topic is silent because its session is lost",
        TopicAliveAgain = "a topic ticks after a silence that clients were told of",
        JoinsSilent = "a client comes to a topic that is silent",
        SilencesTogether = "a client is told of several silences at once",
        LinkDown = "a command is given while the broker cannot be reached",
        LinkSilent = "a broker is given up for its silence",
        LinkReplaced = "a broker is greeted anew",
        AnswerUnknown = "a broker answers what it was not asked, or twice",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_its_own_name() {
        let names: std::collections::BTreeSet<_> =
            Mark::ALL.iter().map(|mark| mark.label()).collect();
        assert_eq!(names.len(), Mark::COUNT);
    }
}
