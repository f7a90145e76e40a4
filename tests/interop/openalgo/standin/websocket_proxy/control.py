"""What tests tell the adapters to do wrong: a JSON file, looked up at every call.

    {"connect": "error:no route", "subscribe:TCS": "hang", "disconnect": "hang"}

`error:TEXT` and `failure:TEXT` answer in the one and the other shape, `code:CODE` in the first
with this code; `raise:TEXT` raises it
before, `raise_after:TEXT` after the call was made; `timeout` raises a TimeoutError after it;
`success` and `none` are the other shape of, and nothing for, an answer; `hang` waits until the
file says otherwise and then makes the call. A `user/` in front concerns one user alone.
"""

import json
import os
import time
from pathlib import Path


def told(user, call, symbol=None):
    """What the file says about this call."""
    try:
        rules = json.loads(Path(os.environ["STANDIN_CONTROL"]).read_text())
    except (OSError, ValueError):
        return None
    keys = [call] if symbol is None else [f"{call}:{symbol}", call]
    for key in [f"{user}/{key}" for key in keys] + keys:
        if key in rules:
            return rules[key]
    return None


def obey(user, call, make, symbol=None):
    """Makes a call as the file wants it made, and answers as the file wants it answered."""
    order, waited = told(user, call, symbol), False
    while order == "hang":
        waited = True
        time.sleep(0.02)
        order = told(user, call, symbol)
    word, _, text = (order or "").partition(":")
    if word == "raise":
        raise RuntimeError(text)
    if word == "error":
        return {"status": "error", "code": "SUBSCRIPTION_ERROR", "message": text}
    if word == "code":
        return {"status": "error", "code": text, "message": "the broker says no"}
    if word == "failure":
        return {"success": False, "error": text}
    answer = make()
    if word == "raise_after":
        raise RuntimeError(text)
    if word == "timeout":
        raise TimeoutError("the broker says nothing")
    if word == "none":
        return None
    if word == "success":
        return {"success": True}
    if waited and isinstance(answer, dict):
        answer["message"] = "late"
    return answer
