"""One broker adapter of OpenAlgo, and what it means by what it returns.

Adapters return `{"status": "success" | "error", "message"}` or `{"success": bool, "error"}`, or
nothing at all, or raise. Here each call either returns or raises a `Failure`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from . import words
from .protocol import Code, Done, Failure, Topic

LOG = logging.getLogger("adapter_host")

# Codes of adapters that mean what the protocol calls by other names.
_NOT_CONNECTED = {"NOT_CONNECTED", "CONNECTION_ERROR", "CONNECTION_FAILED", "NOT_INITIALIZED"}
_NOT_SUBSCRIBED = {"NOT_SUBSCRIBED"}
_NOT_CONNECTED_WORDS = (
    "not connected",
    "not initialized",
    "connection refused",
    "connection reset",
    "connection closed",
    "connection lost",
    "websocket is closed",
    "socket is already closed",
)

Factory = Callable[[str], Any]


class Adapter:
    """A broker session in OpenAlgo: an adapter, or a pool of them.

    Not safe for several threads, as OpenAlgo's own are not: one thread makes all calls.
    """

    def __init__(self, factory: Factory, broker: str, user: str) -> None:
        self._broker = broker
        self._user = user
        try:
            self._inner = factory(broker)
        except Exception as error:
            raise Failure(Code.REFUSED, self._told(error)) from error
        if self._inner is None:
            raise Failure(Code.REFUSED, f"OpenAlgo has no adapter for {broker}")

    def open(self) -> None:
        """Initializes and connects, with the credentials that the database has now."""
        # What this process remembers of the user's tokens may be older than the last login.
        clear = getattr(self._inner, "clear_auth_cache_for_user", None)
        if callable(clear):
            self._quietly("clear_auth_cache_for_user", lambda: clear(self._user))
        self._call("initialize", Code.INIT_FAILED, self._broker, self._user)
        self._call("connect", Code.NOT_CONNECTED)

    def subscribe(self, topic: Topic, depth: int) -> Done:
        """Has the topic published on the bus. What fails half-way is undone."""
        try:
            result = self._call(
                "subscribe", Code.REFUSED, topic.symbol, topic.exchange, topic.mode, depth
            )
        except Failure as failure:
            # An adapter that raised, or gave up waiting, may have subscribed all the same.
            if failure.__cause__ is not None or failure.code is Code.TIMEOUT:
                self._quietly("unsubscribe", lambda: self.unsubscribe(topic))
            raise
        actual = result.get("actual_depth") if isinstance(result, dict) else None
        is_count = type(actual) is int and 0 < actual < 2**32
        return Done(depth=actual if is_count else None)

    def unsubscribe(self, topic: Topic) -> None:
        """Ends the topic; succeeds if it was not subscribed."""
        self._call("unsubscribe", Code.REFUSED, topic.symbol, topic.exchange, topic.mode)

    def unsubscribe_all(self) -> bool:
        """Ends all topics, or says that each must be ended on its own.

        A pool forgets its topics even where its adapters have no `unsubscribe_all` and so go on
        publishing.
        """
        parts = [self._inner, *self.parts()]
        if all(callable(getattr(part, "unsubscribe_all", None)) for part in parts):
            self._call("unsubscribe_all", Code.REFUSED)
            return True
        return False

    def close(self) -> None:
        """Ends the session at the broker."""
        self._call("disconnect", Code.REFUSED)

    def parts(self) -> list[Any]:
        """The connections that say whether they live: the adapters of a pool, or the adapter."""
        pool = getattr(self._inner, "_pool", None)
        adapters = getattr(pool, "adapters", None)
        return list(adapters) if adapters else [self._inner]

    def _call(self, method: str, code: Code, *arguments: object) -> Any:
        try:
            result = getattr(self._inner, method)(*arguments)
        except Exception as error:
            LOG.debug("%s of %s raised %s", method, self._broker, type(error).__name__)
            raise self._failure(code, self._told(error), error) from error
        message, its_code = _complaint(result)
        if message is None or (method == "unsubscribe" and its_code in _NOT_SUBSCRIBED):
            return result
        if its_code in _NOT_CONNECTED and code is Code.REFUSED:
            code = Code.NOT_CONNECTED
        raise self._failure(code, message or f"{method} failed")

    def _failure(self, code: Code, message: str, error: Exception | None = None) -> Failure:
        lower = message.lower()
        if words.is_about_credentials(message):
            code = Code.INIT_FAILED
        elif code is Code.REFUSED and isinstance(error, TimeoutError):
            code = Code.TIMEOUT
        elif code is Code.REFUSED and isinstance(error, ConnectionError):
            code = Code.NOT_CONNECTED
        elif code is Code.REFUSED and any(sign in lower for sign in _NOT_CONNECTED_WORDS):
            code = Code.NOT_CONNECTED
        return Failure(code, self._scrub(message))

    def _told(self, error: Exception) -> str:
        return self._scrub(str(error) or type(error).__name__)

    def _scrub(self, message: str) -> str:
        inner = getattr(self, "_inner", None)
        pool = getattr(inner, "_pool", None)
        parts = self.parts() if inner is not None else []
        return words.without_credentials(message, words.secrets_of(inner, pool, *parts))

    def _quietly(self, what: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            LOG.debug("%s of %s: %s", what, self._broker, self._told(error))


def _complaint(result: object) -> tuple[str | None, str | None]:
    """The message and code of a result that says no; `None` is no complaint."""
    if result is False:
        return "", None
    if not isinstance(result, dict):
        return None, None
    status = result.get("status")
    says_no = (isinstance(status, str) and status.lower() in ("error", "failed", "failure")) or (
        result.get("success") is False
    )
    says_nothing = status is None and "success" not in result
    if not says_no and not (says_nothing and result.get("error")):
        return None, None
    text = result.get("message") or result.get("error") or ""
    code = result.get("code")
    return str(text), code if isinstance(code, str) else None
