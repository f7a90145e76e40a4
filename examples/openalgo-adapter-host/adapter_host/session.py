"""One user's broker session, and the thread that makes all calls of it.

OpenAlgo's adapters block, and expect one caller. So each user has a thread of its own, with a
queue: a call that hangs holds up that user and nobody else. The thread alone knows what is open
and subscribed; what it finds goes to the host's loop as events.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Union

from .adapter import Adapter
from .protocol import Code, Done, Failure, Op, Request, Topic, cut
from .watch import Watch

LOG = logging.getLogger("adapter_host")


class Owner:
    """One fresh start of one gateway: what it opened is closed when the next one comes."""

    def __init__(self, peer: bytes, gateway: str) -> None:
        self.peer = peer
        self.gateway = gateway


@dataclass(eq=False)
class Job:
    """Something for a user's thread to do: a request, or to close what `owner` holds."""

    owner: Owner
    request: Request | None = None
    _claimed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        """Whether the caller is the one who answers: once true, then never again."""
        with self._lock:
            first = not self._claimed
            self._claimed = True
            return first

    @property
    def claimed(self) -> bool:
        """Whether it was answered, or nobody waits any more."""
        return self._claimed


@dataclass(frozen=True)
class JobEnded:
    """A job is done with; `outcome` is to be sent, unless it came too late."""

    thread: UserThread
    job: Job
    outcome: Done | Failure | None


@dataclass(frozen=True)
class SessionLost:
    """A session ended without being asked to."""

    owner: Owner
    user: str
    number: int
    message: str


@dataclass(frozen=True)
class ThreadEnded:
    """A user's thread has closed everything and returned."""

    thread: UserThread


Event = Union[JobEnded, SessionLost, ThreadEnded]


@dataclass(eq=False)
class Session:
    """An open broker session and the topics that the broker publishes in it."""

    owner: Owner
    number: int
    adapter: Adapter
    watch: Watch
    topics: dict[Topic, Done] = field(default_factory=dict)


class UserThread:
    """A user's session and the thread that owns it."""

    def __init__(
        self,
        user: str,
        new_adapter: Callable[[str], Adapter],
        emit: Callable[[Event], None],
        watch_seconds: float,
        lost_seconds: float,
    ) -> None:
        self.user = user
        self.outstanding = 0
        """Jobs put and not yet ended, counted by the host's loop."""
        self._new_adapter = new_adapter
        self._emit = emit
        self._watch_seconds = watch_seconds
        self._lost_seconds = lost_seconds
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._session: Session | None = None
        self._call_began: float | None = None
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"user-{user}", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Adds a job behind all others."""
        self.outstanding += 1
        self._jobs.put(job)

    def stop(self) -> None:
        """Has the thread close its session and end, behind all jobs."""
        self._jobs.put(None)

    def abandon(self) -> None:
        """Gives the thread up in a call that does not return; if it ever does, all is closed."""
        self._abandoned.set()
        self._jobs.put(None)

    @property
    def alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    @property
    def session(self) -> tuple[Owner, int] | None:
        """Whose session is open, and its number; may be out of date a moment later."""
        session = self._session
        return (session.owner, session.number) if session else None

    def call_seconds(self, now: float) -> float:
        """How long the call in work has taken so far."""
        began = self._call_began
        return 0.0 if began is None else now - began

    @property
    def idle(self) -> bool:
        """Whether nothing is open, nothing to do, and nothing still being closed."""
        # In this order: a session that is lost is gone from here before it is closed.
        return self.outstanding == 0 and self._session is None and self._call_began is None

    def _run(self) -> None:
        while not self._abandoned.is_set():
            try:
                job = self._jobs.get(timeout=self._watch_seconds)
                if job is None:
                    break
                self._do(job)
            except queue.Empty:
                pass
            # After every job too: what connects and is lost between two looks was never seen.
            self._look()
        self._drop("the host is ending")
        self._emit(ThreadEnded(self))

    def _do(self, job: Job) -> None:
        self._call_began = time.monotonic()
        outcome: Done | Failure | None = None
        try:
            if job.request is None:
                if self._session and self._session.owner is job.owner:
                    self._drop("its gateway has gone")
            elif not job.claimed or job.request.op is Op.DISCONNECT:
                # What nobody waits for any more is not begun, but what is to be closed is closed.
                outcome = self._carry_out(job.owner, job.request)
            if not job.claim():
                if outcome == Done() and job.request and job.request.op is Op.CONNECT:
                    self._drop("it came too late: nobody knows of it")
                outcome = None
        finally:
            self._call_began = None
            self._emit(JobEnded(self, job, outcome))

    def _carry_out(self, owner: Owner, request: Request) -> Done | Failure:
        try:
            return self._serve(owner, request)
        except Failure as failure:
            LOG.info("%s of %s: %s", request.op.value, self.user, failure.message)
            return failure
        except Exception as error:
            LOG.exception("%s of %s", request.op.value, self.user)
            return Failure(Code.REFUSED, f"the adapter host failed: {type(error).__name__}")

    def _serve(self, owner: Owner, request: Request) -> Done:
        if request.op is Op.CONNECT:
            return self._connect(owner, request.session)
        held = self._session if self._session and self._session.owner is owner else None
        if request.op is Op.DISCONNECT:
            if held and held.number <= request.session:
                self._close()
            return Done()
        if held is None or held.number != request.session:
            raise Failure(Code.NOT_CONNECTED, f"no session {request.session} is open")
        if request.op is Op.UNSUBSCRIBE_ALL:
            self._unsubscribe_all(held)
            return Done()
        topic = request.topic
        assert topic is not None
        if request.op is Op.SUBSCRIBE:
            if topic not in held.topics:
                held.topics[topic] = held.adapter.subscribe(topic, request.depth)
            return held.topics[topic]
        if topic in held.topics:
            held.adapter.unsubscribe(topic)
            del held.topics[topic]
        return Done()

    def _unsubscribe_all(self, held: Session) -> None:
        if held.topics and held.adapter.unsubscribe_all():
            held.topics.clear()
        for topic in list(held.topics):
            self._call_began = time.monotonic()
            held.adapter.unsubscribe(topic)
            del held.topics[topic]

    def _connect(self, owner: Owner, number: int) -> Done:
        held = self._session
        if held and held.owner is owner and held.number == number:
            return Done()
        if held and held.owner is owner and held.number > number:
            raise Failure(Code.REFUSED, f"session {held.number} is open already")
        if held:
            if held.owner is not owner:
                message = "another gateway opened a session of this user"
                self._emit(SessionLost(held.owner, self.user, held.number, message))
            self._drop("another takes its place")
        adapter = self._open()
        watch = Watch(adapter.parts, self._lost_seconds)
        self._session = Session(owner, number, adapter, watch)
        LOG.info("session %d of %s is open", number, self.user)
        return Done()

    def _open(self) -> Adapter:
        adapter = self._new_adapter(self.user)
        try:
            adapter.open()
        except Failure:
            self._discard(adapter)
            raise
        return adapter

    def _close(self) -> None:
        """Closes the session; if the adapter refuses, it stays and can be closed again."""
        session = self._session
        if session:
            session.adapter.close()
            self._session = None
            LOG.info("session %d of %s is closed", session.number, self.user)

    def _drop(self, why: str) -> None:
        """Closes the session, if there is one, and forgets it whatever the adapter says."""
        session, self._session = self._session, None
        if session:
            LOG.info("session %d of %s is closed: %s", session.number, self.user, why)
            self._discard(session.adapter)

    def _discard(self, adapter: Adapter) -> None:
        try:
            adapter.close()
        except Failure as failure:
            LOG.warning("a session of %s may be open still: %s", self.user, failure.message)

    def _look(self) -> None:
        """Tells the gateway if the adapter says that its session is gone."""
        session = self._session
        if session is None or self._abandoned.is_set():
            return
        self._call_began = time.monotonic()
        try:
            reason = session.watch.look(time.monotonic())
            if reason is not None:
                reason = cut(reason)
                self._emit(SessionLost(session.owner, self.user, session.number, reason))
                self._drop(reason)
        finally:
            self._call_began = None
