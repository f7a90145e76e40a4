"""The socket and the books: who asked for what, until when, and who is still there.

One thread runs this loop. It makes no call of an adapter, so it answers pings and keeps deadlines
whatever brokers do.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from . import protocol
from .adapter import Adapter
from .protocol import Code, Done, Failure, Hello, Malformed, Op, Ping, Request
from .session import Event, Job, JobEnded, Owner, SessionLost, ThreadEnded, UserThread

LOG = logging.getLogger("adapter_host")

GATEWAYS_MAX = 64
IN_FLIGHT_MAX = 65_536
"""Requests that wait for brokers, of all gateways; further ones are refused."""
ABANDONED_MAX = 16
"""Threads in calls that never returned; beyond, no session is opened any more."""
DEADLINE_SECONDS_MAX = 3_600.0
MESSAGES_AT_ONCE = 1_000
STEP_SECONDS = 0.5


@dataclass(frozen=True)
class Options:
    """What can be chosen. Times are in seconds."""

    bind: str = "tcp://127.0.0.1:5600"
    name: str = "openalgo-host"
    users_max: int = 256
    gateway_silence: float = 60.0
    abandon_after: float = 30.0
    watch_interval: float = 1.0
    lost_after: float = 20.0
    stop_timeout: float = 5.0


class Host:
    """Serves gateways until it is told to stop."""

    def __init__(
        self,
        options: Options,
        new_adapter: Callable[[str], Adapter],
        forget_pool: Callable[[str], None],
    ) -> None:
        self._options = options
        self._new_adapter = new_adapter
        self._forget_pool = forget_pool
        self._instance = secrets.token_hex(8)
        self._gateways: dict[bytes, tuple[Owner, float]] = {}
        self._users: dict[str, UserThread] = {}
        self._abandoned: list[UserThread] = []
        self._waiting: dict[Job, UserThread] = {}
        self._deadlines: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stopping = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 500)
        self._router.setsockopt(zmq.SNDHWM, IN_FLIGHT_MAX)
        self._router.setsockopt(zmq.MAXMSGSIZE, 4 * protocol.MESSAGE_BYTES_MAX)

    def bind(self) -> None:
        """Raises `zmq.ZMQError` if the address cannot be used."""
        self._router.bind(self._options.bind)

    def stop(self) -> None:
        """Has `serve` close all sessions and return; for signal handlers and other threads."""
        self._stopping = True
        self._wake_up()

    def serve(self) -> None:
        """Runs until `stop`."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._woken.fileno(), zmq.POLLIN)
        while not self._stopping:
            poller.poll(self._pause_ms())
            self._receive()
            self._happened()
            self._passed(time.monotonic())
        self._close_all()
        self._router.close()

    def _pause_ms(self) -> int:
        now = time.monotonic()
        due = self._deadlines[0][0] if self._deadlines else now + STEP_SECONDS
        return int(min(max(due - now, 0.0), STEP_SECONDS) * 1_000) + 1

    def _receive(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            try:
                parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(parts) == 2:
                self._received(parts[0], parts[1])
            else:
                LOG.debug("a message of %d parts was dropped", len(parts) - 1)

    def _received(self, peer: bytes, body: bytes) -> None:
        now = time.monotonic()
        if peer in self._gateways:
            self._gateways[peer] = (self._gateways[peer][0], now)
        try:
            message = protocol.decode(body)
        except Malformed as malformed:
            LOG.debug("a malformed message was dropped: %s", malformed)
            if malformed.request_id is not None:
                self._answer(peer, malformed.request_id, Failure(Code.REFUSED, str(malformed)))
            return
        if isinstance(message, Hello):
            self._hello(peer, message, now)
        elif isinstance(message, Ping):
            # Whoever has not said hello shall find out by silence, and say it.
            if peer in self._gateways:
                self._send(peer, protocol.pong(message.n))
        elif isinstance(message, Request):
            refusal = self._request(peer, message, now)
            if refusal is not None:
                self._answer(peer, message.id, refusal)

    def _hello(self, peer: bytes, hello: Hello, now: float) -> None:
        for other, (owner, _) in list(self._gateways.items()):
            if other == peer or owner.gateway == hello.gateway:
                self._left(other)
        if hello.version == protocol.VERSION:
            if len(self._gateways) >= GATEWAYS_MAX:
                LOG.warning("a gateway beyond %d is not welcome", GATEWAYS_MAX)
                return
            self._gateways[peer] = (Owner(peer, hello.gateway), now)
            LOG.info("gateway %s says hello", hello.gateway)
        else:
            LOG.warning("a gateway speaks version %d, not 1", hello.version)
        self._send(peer, protocol.welcome(self._options.name, self._instance, hello.n))

    def _request(self, peer: bytes, request: Request, now: float) -> Failure | None:
        """Hands a request to its user's thread, or says why not."""
        if peer not in self._gateways:
            return Failure(Code.NOT_CONNECTED, "say hello first")
        if len(self._waiting) >= IN_FLIGHT_MAX:
            return Failure(Code.REFUSED, f"{IN_FLIGHT_MAX} requests wait for the broker")
        thread = self._users.get(request.user)
        if thread is None and request.op is not Op.CONNECT:
            if request.op is Op.DISCONNECT:
                self._answer(peer, request.id, Done())
                return None
            return Failure(Code.NOT_CONNECTED, f"no session {request.session} is open")
        if thread is None:
            self._abandoned = [thread for thread in self._abandoned if thread.alive]
            if len(self._abandoned) >= ABANDONED_MAX:
                return Failure(Code.REFUSED, "too many calls of adapters hang: restart the host")
            if len(self._users) >= self._options.users_max:
                return Failure(Code.REFUSED, f"{self._options.users_max} users have sessions")
            thread = UserThread(
                request.user,
                self._new_adapter,
                self._emit,
                self._options.watch_interval,
                self._options.lost_after,
            )
            self._users[request.user] = thread
        job = Job(self._gateways[peer][0], request)
        self._waiting[job] = thread
        deadline = now + min(request.deadline_ms / 1_000, DEADLINE_SECONDS_MAX)
        heapq.heappush(self._deadlines, (deadline, next(self._numbers), job))
        thread.put(job)
        return None

    def _left(self, peer: bytes) -> None:
        """A gateway is gone: nobody waits for its requests, and what it holds is closed."""
        owner, _ = self._gateways.pop(peer)
        for job in [job for job in self._waiting if job.owner is owner]:
            job.claim()
            del self._waiting[job]
        for thread in self._users.values():
            thread.put(Job(owner))

    def _happened(self) -> None:
        try:
            self._woken.recv(4_096)
        except BlockingIOError:
            pass
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, JobEnded):
                event.thread.outstanding -= 1
                if self._waiting.pop(event.job, None) is not None and event.job.request:
                    outcome = event.outcome or Failure(Code.REFUSED, "not carried out")
                    self._answer(event.job.owner.peer, event.job.request.id, outcome)
            elif isinstance(event, SessionLost):
                self._lost(event.owner, event.user, event.number, event.message)

    def _passed(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, job = heapq.heappop(self._deadlines)
            if job in self._waiting and job.claim():
                del self._waiting[job]
                assert job.request is not None
                failure = Failure(Code.TIMEOUT, "the broker has not answered in time")
                self._answer(job.owner.peer, job.request.id, failure)
        for peer, (owner, heard) in list(self._gateways.items()):
            if now - heard >= self._options.gateway_silence:
                LOG.warning("gateway %s is silent: its sessions are closed", owner.gateway)
                self._left(peer)
        for thread in list(self._users.values()):
            if thread.call_seconds(now) >= self._options.abandon_after:
                self._abandon(thread)
            elif thread.idle:
                thread.stop()
                del self._users[thread.user]

    def _abandon(self, thread: UserThread) -> None:
        """A call does not return: the user gets a new thread with the next connect."""
        LOG.error("a call of %s's adapter hangs; its session is given up", thread.user)
        session = thread.session
        thread.abandon()
        del self._users[thread.user]
        self._abandoned.append(thread)
        self._forget_pool(thread.user)
        failure = Failure(Code.NOT_CONNECTED, "a call of the adapter hangs")
        for job in [job for job, its_thread in self._waiting.items() if its_thread is thread]:
            del self._waiting[job]
            if job.claim() and job.request:
                self._answer(job.owner.peer, job.request.id, failure)
        if session:
            self._lost(session[0], thread.user, session[1], failure.message)

    def _close_all(self) -> None:
        """Closes every session at the same time, as far as the adapters let it."""
        for job in list(self._waiting):
            if job.claim() and job.request:
                failure = Failure(Code.NOT_CONNECTED, "the adapter host is ending")
                self._answer(job.owner.peer, job.request.id, failure)
        ending = set(self._users.values())
        for thread in ending:
            thread.stop()
        deadline = time.monotonic() + self._options.stop_timeout
        while ending:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                users = ", ".join(sorted(thread.user for thread in ending))
                LOG.warning("sessions that do not end are left behind: %s", users)
                return
            if isinstance(event, ThreadEnded):
                ending.discard(event.thread)

    def _lost(self, owner: Owner, user: str, number: int, message: str) -> None:
        LOG.warning("session %d of %s is lost: %s", number, user, message)
        if owner.peer in self._gateways and self._gateways[owner.peer][0] is owner:
            self._send(owner.peer, protocol.session_lost(user, number, message))

    def _answer(self, peer: bytes, request_id: int, outcome: Done | Failure) -> None:
        self._send(peer, protocol.answer(request_id, outcome))

    def _send(self, peer: bytes, body: bytes) -> None:
        try:
            self._router.send_multipart([peer, body], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            LOG.warning("a message to a gateway was dropped: %s", error)

    def _emit(self, event: Event) -> None:
        self._events.put(event)
        self._wake_up()

    def _wake_up(self) -> None:
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            # It is awake.
            pass
