"""Whether a session still lives, as far as its adapters tell.

OpenAlgo's interface has no event for that; what adapters have in common are flags. An adapter
that has never claimed to be connected is never taken for lost: some set no flag at all, others
set it when their thread has connected, long after `connect` returned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

LOG = logging.getLogger("adapter_host")


class Watch:
    """Watches the connections of one session.

    A connection is lost when `running`, which it once had set, is unset: the adapter has given
    up. Or when it was connected and has not been for `lost_seconds`: until then the adapter is
    left to reconnect by itself, as most do. A pool is lost with any of its connections.
    """

    def __init__(self, parts: Callable[[], list[Any]], lost_seconds: float) -> None:
        self._parts = parts
        self._lost_seconds = lost_seconds
        # By the identity of the connection, which is kept alive beside what is known of it.
        self._known: dict[int, _Known] = {}

    def look(self, now: float) -> str | None:
        """The reason why the session is lost, if it is."""
        parts = self._parts()
        known = {}
        for part in parts:
            state = self._known.get(id(part)) or _Known(part)
            known[id(part)] = state
        self._known = known
        reasons = (state.look(now, self._lost_seconds) for state in known.values())
        return next((reason for reason in reasons if reason is not None), None)


class _Known:
    """What was seen of one connection."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self._was_running = False
        self._was_connected = False
        self._away_since: float | None = None

    def look(self, now: float, lost_seconds: float) -> str | None:
        running = _flag(self._part, "running")
        self._was_running |= running is True
        if self._was_running and running is False:
            return "the adapter has stopped"
        connected = _connected(self._part)
        if connected is not False:
            self._was_connected |= connected is True
            self._away_since = None
            return None
        if not self._was_connected:
            return None
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since < lost_seconds:
            return None
        return f"the adapter has not been connected for {lost_seconds:g} seconds"


def _connected(part: Any) -> bool | None:
    """What the adapter says of its connection; `None` if it says nothing."""
    asked = getattr(part, "is_connected", None)
    if callable(asked):
        try:
            said = asked()
        except Exception as error:
            LOG.debug("is_connected raised %s", type(error).__name__)
            said = None
        if isinstance(said, bool):
            return said
    return _flag(part, "connected")


def _flag(part: Any, name: str) -> bool | None:
    try:
        value = getattr(part, name, None)
    except Exception:
        return None
    return value if isinstance(value, bool) else None
