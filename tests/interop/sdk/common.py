"""What the Python scripts share. tests/interop_sdk.rs runs them against a gateway it starts.

A script prints `restart` when the gateway is to be restarted under it, and `passed` at its end.
"""

import os
import sys
import time

WEBSOCKET = os.environ.get("INTEROP_WEBSOCKET", "ws://127.0.0.1:8765")
API_KEY = os.environ.get("INTEROP_API_KEY", "demo-key-for-local-use-only")
ADMIN = os.environ.get("INTEROP_ADMIN", "http://127.0.0.1:8766")
# Where publishers connect to the gateway, and where it looks for publishers that bind.
BUS = os.environ.get("INTEROP_BUS", "tcp://127.0.0.1:5555")
BUS_OF_BINDER = os.environ.get("INTEROP_BUS_OF_BINDER", "tcp://127.0.0.1:5556")


def say(line):
    print(line, flush=True)


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


def wait_until(condition, what, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.05)
