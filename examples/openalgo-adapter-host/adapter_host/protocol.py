"""The control protocol, version 1: bytes to dataclasses and back.

Its description is in `src/protocol/control.rs` of tickgate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

VERSION = 1
MESSAGE_BYTES_MAX = 65_536
NAME_BYTES_MAX = 256
TEXT_BYTES_MAX = 1_024
NUMBER_MAX = 2**64 - 1


class Op(str, Enum):
    """What a gateway can ask for."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    UNSUBSCRIBE_ALL = "unsubscribe_all"


class Code(str, Enum):
    """Kinds of failure that a gateway treats differently."""

    REFUSED = "REFUSED"
    INIT_FAILED = "INIT_FAILED"
    NOT_CONNECTED = "NOT_CONNECTED"
    TIMEOUT = "TIMEOUT"


@dataclass(frozen=True)
class Topic:
    """What a broker is asked to publish; `mode` is 1 (LTP), 2 (Quote) or 3 (Depth)."""

    exchange: str
    symbol: str
    mode: int

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}/{self.mode}"


@dataclass(frozen=True)
class Hello:
    """A gateway makes a fresh start."""

    version: int
    gateway: str
    n: int


@dataclass(frozen=True)
class Ping:
    """A gateway wants a sign of life."""

    n: int


@dataclass(frozen=True)
class Request:
    """A gateway wants something done within `deadline_ms`."""

    id: int
    op: Op
    user: str
    session: int
    deadline_ms: int
    topic: Topic | None = None
    depth: int = 0


@dataclass(frozen=True)
class Done:
    """A request succeeded; `depth` is how many levels are really sent, if the adapter said so."""

    depth: int | None = None


class Failure(Exception):
    """A request failed. `message` may be shown to people and never holds a credential."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Malformed(ValueError):
    """A message that cannot be understood; `request_id` is the request to refuse, if any."""

    def __init__(self, problem: str, request_id: int | None = None) -> None:
        super().__init__(problem)
        self.request_id = request_id


def decode(body: bytes) -> Hello | Ping | Request | None:
    """Reads what a gateway said; `None` is a type that this version does not know.

    Raises `Malformed`: drop it, or refuse the request that it names.
    """
    if len(body) > MESSAGE_BYTES_MAX:
        raise Malformed(f"{len(body)} bytes exceed the limit of {MESSAGE_BYTES_MAX}")
    try:
        wire = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if not isinstance(wire, dict) or not isinstance(wire.get("type"), str):
        raise Malformed("not a JSON object with a type")
    kind = wire["type"]
    if kind == "hello":
        return Hello(_number(wire, "version"), _name(wire, "gateway"), _number(wire, "n"))
    if kind == "ping":
        return Ping(_number(wire, "n"))
    if kind == "request":
        try:
            return _request(wire)
        except Malformed as malformed:
            known = _is_number(wire.get("id"))
            raise Malformed(str(malformed), wire["id"] if known else None) from None
    return None


def welcome(name: str, instance: str, n: int) -> bytes:
    """The reply to a hello."""
    return _encode(type="welcome", version=VERSION, name=name, instance=instance, n=n)


def pong(n: int) -> bytes:
    """The reply to a ping."""
    return _encode(type="pong", n=n)


def answer(request_id: int, outcome: Done | Failure) -> bytes:
    """The one reply to a request."""
    if isinstance(outcome, Failure):
        return _encode(
            type="answer",
            id=request_id,
            status="error",
            code=outcome.code.value,
            message=cut(outcome.message),
        )
    depth = {} if outcome.depth is None else {"depth": outcome.depth}
    return _encode(type="answer", id=request_id, status="success", **depth)


def session_lost(user: str, session: int, message: str) -> bytes:
    """That session ended without being asked to."""
    return _encode(
        type="event", event="session_lost", user=user, session=session, message=cut(message)
    )


def cut(text: str) -> str:
    """The first `TEXT_BYTES_MAX` bytes of a text for people."""
    return text.encode("utf-8", "replace")[:TEXT_BYTES_MAX].decode("utf-8", "ignore")


def _encode(**message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _request(wire: dict[str, Any]) -> Request:
    try:
        op = Op(wire.get("op"))
    except ValueError:
        raise Malformed("bad op") from None
    topic, depth = None, 0
    if op in (Op.SUBSCRIBE, Op.UNSUBSCRIBE):
        mode = wire.get("mode")
        if not _is_number(mode) or mode not in (1, 2, 3):
            raise Malformed("bad mode")
        topic = Topic(_name(wire, "exchange"), _name(wire, "symbol"), mode)
    if op is Op.SUBSCRIBE:
        depth = _number(wire, "depth")
    # OpenAlgo's own pool opens what a user's topics need beyond the first.
    if wire.get("connection", 0) != 0:
        raise Malformed("one connection for each user is what there is: connections_per_user is 1")
    return Request(
        id=_number(wire, "id"),
        op=op,
        user=_name(wire, "user"),
        session=_number(wire, "session"),
        deadline_ms=_number(wire, "deadline_ms"),
        topic=topic,
        depth=depth,
    )


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= NUMBER_MAX


def _number(wire: dict[str, Any], field: str) -> int:
    value = wire.get(field)
    if not isinstance(value, int) or not _is_number(value):
        raise Malformed(f"bad {field}")
    return value


def _name(wire: dict[str, Any], field: str) -> str:
    value = wire.get(field)
    if not isinstance(value, str):
        raise Malformed(f"bad {field}")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise Malformed(f"bad {field}") from None
    if not 0 < length <= NAME_BYTES_MAX:
        raise Malformed(f"bad {field}")
    return value
