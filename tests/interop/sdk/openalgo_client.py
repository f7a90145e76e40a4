"""The unmodified `openalgo` package, used as its documentation shows.

Its 1.0.x line does not reconnect by itself: its user connects and subscribes again. The 2.0.x
line does both by itself.
"""

import sys
import threading
import time
from importlib.metadata import version

from openalgo import api

from common import API_KEY, WEBSOCKET, check, say, wait_until

INSTRUMENTS = [
    {"exchange": "NSE", "symbol": "RELIANCE"},
    {"exchange": "NSE", "symbol": "M&M"},
    {"exchange": "NSE_INDEX", "symbol": "NIFTY"},
]
MODES = {"ltp": 1, "quote": 2, "depth": 3}
LINE = int(version("openalgo").split(".")[0])


class Ticks:
    """Counts the ticks that the callbacks are given."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {}
        self.latest = {}

    def take(self, message):
        key = (message["mode"], message["exchange"], message["symbol"])
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1
            self.latest[key] = message["data"]

    def snapshot(self):
        with self.lock:
            return dict(self.counts)

    def forget(self):
        with self.lock:
            self.counts.clear()

    def has_all(self):
        """Two of each: the first may be the snapshot of the last value."""
        counts = self.snapshot()
        pairs = [(i["exchange"], i["symbol"]) for i in INSTRUMENTS]
        wanted = [(mode, *pair) for mode in MODES.values() for pair in pairs]
        return all(counts.get(key, 0) >= 2 for key in wanted)


def subscribe_all(client, ticks):
    for name in MODES:
        subscribe = getattr(client, f"subscribe_{name}")
        check(subscribe(INSTRUMENTS, on_data_received=ticks.take), f"subscribe_{name} said no")


def check_contents(client, ticks):
    for instrument in INSTRUMENTS:
        exchange, symbol = instrument["exchange"], instrument["symbol"]
        ltp = ticks.latest[(1, exchange, symbol)]
        check(ltp["ltp"] > 0, f"an LTP tick without a price: {ltp}")
        quote = ticks.latest[(2, exchange, symbol)]
        check(quote["low"] <= quote["ltp"] <= quote["high"], f"an impossible quote: {quote}")
        book = ticks.latest[(3, exchange, symbol)]["depth"]
        check(len(book["buy"]) == 5 and len(book["sell"]) == 5, f"not five levels: {book}")
        check(book["buy"][0]["price"] < book["sell"][0]["price"], f"a crossed book: {book}")

        check(client.get_ltp()["ltp"][exchange][symbol]["ltp"] > 0, "get_ltp knows no price")
        check(client.get_quotes()["quote"][exchange][symbol]["open"] > 0, "get_quotes knows none")
        depth = client.get_depth()["depth"][exchange][symbol]
        check(depth["buyBook"]["1"]["price"] > 0, "get_depth knows no book")


def check_order_stream(client):
    if LINE >= 2:
        check(client.subscribe_orders(on_order_update=lambda update: None), "subscribe_orders")
        check(client.unsubscribe_orders(), "unsubscribe_orders")


def come_back(client, ticks):
    """Survives a restart of the gateway."""
    say("restart")
    wait_until(lambda: not client.connected, "the restart is noticed")
    ticks.forget()
    if LINE < 2:
        wait_until(client.connect, "connected again", seconds=30)
        subscribe_all(client, ticks)
    wait_until(ticks.has_all, "every topic ticks again after the restart", seconds=45)


def unsubscribe_and_listen(client, ticks):
    """One mode after the other: the others go on."""
    for name, mode in MODES.items():
        check(getattr(client, f"unsubscribe_{name}")(INSTRUMENTS), f"unsubscribe_{name} said no")
        time.sleep(0.5)
        ticks.forget()
        time.sleep(1.0)
        seen = {key[0] for key in ticks.snapshot()}
        later = {other for other in MODES.values() if other > mode}
        check(seen == later, f"after unsubscribe_{name} modes {seen} still tick, not {later}")


def main():
    client = api(api_key=API_KEY, host="http://127.0.0.1:5000", ws_url=WEBSOCKET)
    ticks = Ticks()
    wait_until(client.connect, "connected and authenticated", seconds=20)

    subscribe_all(client, ticks)
    wait_until(ticks.has_all, "every instrument ticks in every mode")
    check_contents(client, ticks)
    check_order_stream(client)

    come_back(client, ticks)
    unsubscribe_and_listen(client, ticks)

    client.disconnect()
    check(not client.connected, "disconnected")
    stranger = api(api_key="not-a-key", host="http://127.0.0.1:5000", ws_url=WEBSOCKET)
    check(not stranger.connect(), "a wrong key was accepted")
    stranger.disconnect()
    say(f"openalgo {version('openalgo')} on Python {sys.version.split()[0]}")
    say("passed")


main()
