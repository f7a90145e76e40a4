"""An adapter with OpenAlgo's interface, of the broker in tests/interop/openalgo/broker.py."""

import json
import os
import queue
import socket
import threading

import zmq

from database.auth_db import auth_cache, get_auth_token

from .control import obey

WORDS = {1: "LTP", 2: "QUOTE", 3: "DEPTH"}
DEPTH_MAX = 20


class Publisher:
    """The one PUB of the process, which connects to the bus."""

    _lock = threading.Lock()
    _socket = None

    @classmethod
    def publish(cls, topic, data):
        with cls._lock:
            if cls._socket is None:
                cls._socket = zmq.Context.instance().socket(zmq.PUB)
                cls._socket.setsockopt(zmq.LINGER, 0)
                host, port = os.environ["ZMQ_HOST"], os.environ["ZMQ_PORT"]
                cls._socket.connect(f"tcp://{host}:{port}")
            cls._socket.send_multipart([topic.encode(), json.dumps(data).encode()])


class StandinAdapter:
    """Answers in the shape of `status`; what it is told otherwise is in `control`.

    When its connection is lost it unsets `connected` and `running`; with `STANDIN_FLAGS` being
    `connected` that flag alone, and with `is_connected` none, but the method of that name knows.
    """

    def __init__(self):
        self.connected = False
        self.running = False
        self.away = False
        self.user = None
        self.auth_token = None
        self._socket = None
        self._answers = queue.Queue()

    def initialize(self, broker_name, user_id, auth_data=None):
        self.user = user_id

        def make():
            self.auth_token = get_auth_token(user_id)
            return {"status": "success", "message": "initialized"}

        return obey(user_id, "initialize", make)

    def connect(self):
        def make():
            address = ("127.0.0.1", int(os.environ["STANDIN_BROKER_PORT"]))
            self._socket = socket.create_connection(address, timeout=5)
            self._socket.settimeout(None)
            threading.Thread(target=self._read, args=(self._socket,), daemon=True).start()
            refusal = self._ask(call="login", user=self.user, token=self.auth_token)
            if refusal:
                return {"status": "error", "code": "CONNECTION_ERROR", "message": refusal}
            self.connected = self.running = True
            return None

        return obey(self.user, "connect", make)

    def subscribe(self, symbol, exchange, mode=2, depth_level=5):
        def make():
            self._ask(call="subscribe", exchange=exchange, symbol=symbol, mode=mode)
            answer = {"status": "success", "message": "subscribed"}
            if mode == 3:
                answer["actual_depth"] = min(depth_level, DEPTH_MAX)
            return answer

        return obey(self.user, "subscribe", make, symbol)

    def unsubscribe(self, symbol, exchange, mode=2):
        def make():
            self._ask(call="unsubscribe", exchange=exchange, symbol=symbol, mode=mode)
            return {"status": "success", "message": "unsubscribed"}

        return obey(self.user, "unsubscribe", make, symbol)

    def disconnect(self):
        def make():
            self.connected = self.running = False
            if self._socket:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                self._socket.close()

        return obey(self.user, "disconnect", make)

    def __getattr__(self, name):
        if name == "is_connected" and os.environ.get("STANDIN_FLAGS") == "is_connected":
            return lambda: not self.away
        raise AttributeError(name)

    def publish_market_data(self, topic, data):
        Publisher.publish(topic, data)

    def clear_auth_cache_for_user(self, user_id):
        auth_cache.pop(f"auth-{user_id}", None)

    def _ask(self, **what):
        if self._socket is None:
            raise ConnectionError("not connected")
        self._socket.sendall(json.dumps(what).encode() + b"\n")
        return self._answers.get(timeout=5)

    def _read(self, connection):
        try:
            for line in connection.makefile("rb"):
                message = json.loads(line)
                if "answer" in message:
                    self._answers.put(message["answer"])
                else:
                    exchange, symbol, mode = message["tick"]
                    data = {"ltp": message["ltp"], "user": self.user}
                    if mode == 3:
                        level = {"price": message["ltp"], "quantity": 1, "orders": 1}
                        data["depth"] = {"buy": [level], "sell": [level]}
                    self.publish_market_data(f"{exchange}_{symbol}_{WORDS[mode]}", data)
        except (OSError, ValueError):
            pass
        # Gone, and it does not reconnect by itself.
        self.away = True
        if os.environ.get("STANDIN_FLAGS") == "connected":
            self.connected = False
        elif os.environ.get("STANDIN_FLAGS") != "is_connected":
            self.connected = self.running = False
