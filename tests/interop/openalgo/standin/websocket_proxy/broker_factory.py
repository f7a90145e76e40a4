"""The factory, and a pool with what matters of OpenAlgo's: a registry, a lock, a flag that stays.

`connected` of the pool is never cleared while it lives; `unsubscribe_all` forgets everything and
reaches only those adapters that have one; a call that hangs keeps the lock.
"""

import os
import threading

from .standin_adapter import StandinAdapter

_POOLED_ADAPTERS = {}


def create_broker_adapter(broker_name):
    """A pool, or one adapter if `ENABLE_CONNECTION_POOLING` is false."""
    if broker_name.lower() != "standin":
        raise ValueError(f"Unsupported broker: {broker_name}. No adapter available.")
    if os.getenv("ENABLE_CONNECTION_POOLING", "true").lower() == "true":
        return PooledAdapter(broker_name.lower())
    return StandinAdapter()


def _is_error(result):
    return bool(result) and (result.get("success") is False or result.get("status") == "error")


class Pool:
    """Adapters of one user, filled in order."""

    def __init__(self):
        self.lock = threading.RLock()
        self.adapters = []
        self.placed = {}
        self.connected = False
        self.symbols_max = int(os.getenv("MAX_SYMBOLS_PER_WEBSOCKET", "1000"))
        self.adapters_max = int(os.getenv("MAX_WEBSOCKET_CONNECTIONS", "3"))

    def initialize(self, broker_name, user_id):
        if self.adapters:
            return {"success": True, "message": "Already initialized"}
        with self.lock:
            adapter = StandinAdapter()
            try:
                result = adapter.initialize(broker_name, user_id)
            except Exception as error:
                return {"success": False, "error": str(error)}
            if _is_error(result):
                return {"success": False, "error": result.get("message", result.get("error"))}
            self.names = (broker_name, user_id)
            self.adapters.append(adapter)
            return {"success": True, "message": "Connection pool initialized"}

    def connect(self):
        if self.connected:
            return {"success": True, "message": "Already connected"}
        with self.lock:
            try:
                result = self.adapters[0].connect()
            except Exception as error:
                return {"success": False, "error": str(error)}
            if _is_error(result):
                return {"success": False, "error": result.get("message", result.get("error"))}
            self.connected = True
            return {"success": True, "message": "Connected"}

    def place(self, symbol, exchange):
        """The adapter that has this symbol, or one with room for it."""
        for (held, at, _), adapter in self.placed.items():
            if (held, at) == (symbol, exchange):
                return adapter
        for adapter in self.adapters:
            mine = {key[:2] for key, its in self.placed.items() if its is adapter}
            if len(mine) < self.symbols_max:
                return adapter
        if len(self.adapters) >= self.adapters_max:
            raise RuntimeError("Maximum capacity reached")
        adapter = StandinAdapter()
        adapter.initialize(*self.names)
        adapter.connect()
        self.adapters.append(adapter)
        return adapter

    def subscribe(self, symbol, exchange, mode, depth_level):
        with self.lock:
            if (symbol, exchange, mode) in self.placed:
                return {"status": "success", "message": "Already subscribed"}
            try:
                adapter = self.place(symbol, exchange)
                result = adapter.subscribe(symbol, exchange, mode, depth_level)
            except Exception as error:
                code = "SUBSCRIPTION_ERROR"
                return {"status": "error", "code": code, "message": str(error)}
            if not _is_error(result):
                self.placed[symbol, exchange, mode] = adapter
            return result

    def unsubscribe(self, symbol, exchange, mode):
        with self.lock:
            adapter = self.placed.pop((symbol, exchange, mode), None)
            if adapter is None:
                message = f"Not subscribed to {symbol}.{exchange}"
                return {"status": "error", "code": "NOT_SUBSCRIBED", "message": message}
            return adapter.unsubscribe(symbol, exchange, mode)

    def unsubscribe_all(self):
        with self.lock:
            for adapter in self.adapters:
                if hasattr(adapter, "unsubscribe_all"):
                    adapter.unsubscribe_all()
            self.placed.clear()

    def disconnect(self):
        with self.lock:
            for adapter in self.adapters:
                adapter.disconnect()
            self.adapters.clear()
            self.placed.clear()
            self.connected = False


class PooledAdapter:
    """What callers get: it finds its user's pool when it is initialized."""

    def __init__(self, broker_name):
        self._broker_name = broker_name
        self._pool = None
        self._user_id = None

    def initialize(self, broker_name, user_id, auth_data=None, force=False):
        self._user_id = user_id
        key = f"{self._broker_name}_{user_id}"
        self._pool = _POOLED_ADAPTERS.setdefault(key, Pool())
        return self._pool.initialize(broker_name, user_id)

    def connect(self):
        return self._pool.connect()

    def subscribe(self, symbol, exchange, mode=2, depth_level=5):
        return self._pool.subscribe(symbol, exchange, mode, depth_level)

    def unsubscribe(self, symbol, exchange, mode=2):
        return self._pool.unsubscribe(symbol, exchange, mode)

    def unsubscribe_all(self):
        self._pool.unsubscribe_all()

    def disconnect(self):
        if self._pool:
            self._pool.disconnect()
            _POOLED_ADAPTERS.pop(f"{self._broker_name}_{self._user_id}", None)

    @property
    def connected(self):
        return self._pool.connected if self._pool else False

    def clear_auth_cache_for_user(self, user_id):
        StandinAdapter().clear_auth_cache_for_user(user_id)
