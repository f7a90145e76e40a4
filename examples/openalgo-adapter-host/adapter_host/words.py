"""What may be told of a broker's words: never a credential."""

from __future__ import annotations

import os
import re

# What stands for something that is not told.
HIDDEN = "[hidden]"
# Shorter values are words of everyday messages as well.
SECRET_CHARACTERS_MIN = 8

_SECRET_NAME = re.compile(
    r"secret|token|passw|pepper|salt|api_?key|app_?key|auth|credential|cookie|totp|mpin", re.I
)
# name=value, "name": "value", name: value; the value is what is hidden.
_NAMED = re.compile(
    r"""(?P<name>["']?[\w-]*(?:secret|token|passw|pepper|api[-_]?key|app[-_]?key|authorization"""
    r"""|credential|cookie|totp|mpin|jwt|enctoken|session_?(?:id|key))[\w-]*["']?\s*[=:]\s*)"""
    r"""(?P<value>(?:bearer\s+|token\s+|basic\s+)?(?:"[^"]*"|'[^']*'|[^\s"',;&)}\]]+))""",
    re.I,
)
_BEARER = re.compile(r"\b(bearer|basic)\s+[^\s\"',;]+", re.I)
_USER_INFO = re.compile(r"(\w+://)[^\s/@]+@")
# Long, with digits and small letters: keys, hashes, parts of a JWT. Symbols are in capitals.
_OPAQUE = re.compile(r"(?=[\w+=-]*\d)(?=[\w+=-]*[a-z])[\w+=-]{20,}")

# Tried in this order; a broker's own words for a session that is good no more.
_STALE = (
    "401",
    "403",
    "unauthori",
    "forbidden",
    "authentication fail",
    "auth failed",
    "not authenticated",
    "invalid token",
    "invalid access token",
    "invalid session",
    "invalid credential",
    "invalid api key",
    "invalid apikey",
    "invalid jwt",
    "token expired",
    "token has expired",
    "token is expired",
    "expired token",
    "session expired",
    "session has expired",
    "access denied",
    "no authentication token",
    "login required",
    "please login",
)


def is_about_credentials(message: str) -> bool:
    """Whether a broker means that the user's credentials are bad or stale."""
    message = message.lower()
    return any(
        re.search(rf"(?<!\d){sign}(?!\d)", message) if sign.isdigit() else sign in message
        for sign in _STALE
    )


def without_credentials(message: str, known: frozenset[str] = frozenset()) -> str:
    """A broker's words with everything taken out that is, or looks like, a credential."""
    for secret in sorted(known | _of_environment(), key=len, reverse=True):
        message = message.replace(secret, HIDDEN)
    message = _USER_INFO.sub(rf"\g<1>{HIDDEN}@", message)
    message = _NAMED.sub(rf"\g<name>{HIDDEN}", message)
    message = _BEARER.sub(rf"\g<1> {HIDDEN}", message)
    return _OPAQUE.sub(HIDDEN, message)


def secrets_of(*things: object) -> frozenset[str]:
    """The values of attributes of an adapter that are named as credentials are."""
    found = set()
    for thing in things:
        for name, value in list(getattr(thing, "__dict__", {}).items()):
            if _SECRET_NAME.search(name) and isinstance(value, str):
                found.add(value)
    return frozenset(value for value in found if len(value) >= SECRET_CHARACTERS_MIN)


def _of_environment() -> frozenset[str]:
    values = (value for name, value in os.environ.items() if _SECRET_NAME.search(name))
    return frozenset(value for value in values if len(value) >= SECRET_CHARACTERS_MIN)
