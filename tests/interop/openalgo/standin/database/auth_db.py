"""Where adapters get the user's token: remembered, as OpenAlgo remembers it."""

import os
from pathlib import Path

auth_cache = {}


def get_auth_token(user):
    """The token of this user's login, as it was when it was first asked for."""
    key = f"auth-{user}"
    if key not in auth_cache:
        auth_cache[key] = Path(os.environ["STANDIN_TOKEN_FILE"]).read_text().strip()
    return auth_cache[key]
