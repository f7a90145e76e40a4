"""An OpenAlgo installation: its environment, and its factory of adapters."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)$")
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<text>.*?)(?P=quote)\s*(?:#.*)?$""")


class Unusable(Exception):
    """The installation cannot be used; the text says why."""


class Installation:
    """OpenAlgo's modules, importable in this process and in no other way changed."""

    def __init__(self, root: Path) -> None:
        if not (root / "websocket_proxy").is_dir():
            raise Unusable(f"{root} is no OpenAlgo installation: it has no websocket_proxy")
        read_environment(root / ".env")
        # Its paths, that of the database among them, count from its own directory.
        os.chdir(root)
        sys.path.insert(0, str(root))
        try:
            self._factory = importlib.import_module("websocket_proxy.broker_factory")
            self.create_adapter: Callable[[str], Any] = self._factory.create_broker_adapter
        except Exception as error:
            raise Unusable(
                f"{root}: websocket_proxy cannot be imported: {error}; is this the Python of "
                "that installation?"
            ) from error

    def forget_pool(self, broker: str, user: str) -> None:
        """Has the next adapter of this user begin with a pool of its own.

        For a pool that hangs in a call and holds its lock: whoever used it would hang as well.
        """
        pools = getattr(self._factory, "_POOLED_ADAPTERS", None)
        if isinstance(pools, dict):
            pools.pop(f"{broker.lower()}_{user}", None)


def read_environment(path: Path) -> None:
    """Sets what a `.env` file names and the environment does not, as OpenAlgo itself does."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeError) as error:
        raise Unusable(f"{path}: {error}") from error
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            os.environ.setdefault(match["name"], _value(match["value"]))


def _value(text: str) -> str:
    quoted = _QUOTED.match(text)
    if quoted:
        return quoted["text"]
    return re.split(r"\s+#|^#", text, maxsplit=1)[0].strip()


def bus_address() -> str:
    """Where adapters publish, as they read it."""
    host = os.environ.get("ZMQ_HOST", "127.0.0.1")
    return f"tcp://{host}:{os.environ.get('ZMQ_PORT', '5555')}"
