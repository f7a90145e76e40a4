"""A client on the unmodified `openalgo` package, as its user would write it.

    client.py WEBSOCKET_URL API_KEY TICKS SYMBOL...

subscribes LTP and Depth of the symbols of NSE and writes a line to the file TICKS for every tick.
The 1.0.x line of the package does not reconnect by itself: its user connects and subscribes
again, as here. The 2.x line does both by itself, and is left alone.
"""

import sys
import threading
import time
from importlib.metadata import version

from openalgo import api

URL, API_KEY, TICKS, *SYMBOLS = sys.argv[1:]
RECONNECTS = int(version("openalgo").split(".")[0]) >= 2
INSTRUMENTS = [{"exchange": "NSE", "symbol": symbol} for symbol in SYMBOLS]
lock = threading.Lock()
ticks = open(TICKS, "a")


def on_tick(message):
    with lock:
        ticks.write(f"{message['exchange']}:{message['symbol']}:{message['mode']}\n")
        ticks.flush()


def begin():
    """Connects and subscribes, trying until it works."""
    while True:
        client = api(api_key=API_KEY, host="http://127.0.0.1:5000", ws_url=URL)
        if client.connect():
            client.subscribe_ltp(INSTRUMENTS, on_data_received=on_tick)
            client.subscribe_depth(INSTRUMENTS, on_data_received=on_tick)
            return client
        client.disconnect()
        time.sleep(0.2)


client = begin()
print("ready", flush=True)
while True:
    if not client.connected and not RECONNECTS:
        client.disconnect()
        client = begin()
    time.sleep(0.05)
