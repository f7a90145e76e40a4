"""A broker for tests, a process of its own: sessions over TCP, ticks, and a log of what was asked.

    broker.py PORT LOG TOKEN_FILE

A session is a connection. It speaks a JSON object a line: `login` (refused unless it shows the
token in the file), `subscribe` and `unsubscribe`, each answered in turn; what is subscribed
ticks every 50 ms. `drop` on a connection of its own ends all sessions of a user. The log is what
the broker saw: one JSON object a line, `session` being a number for each connection. `start` is
in it for each life of the broker, in which nothing is left of earlier ones.
"""

import itertools
import json
import socketserver
import sys
import threading
import time
from pathlib import Path

PORT, LOG, TOKEN = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
TICK_SECONDS = 0.05

lock = threading.Lock()
# Higher in each life of the broker.
numbers = itertools.count(int(time.time() * 1_000))
sessions = {}


def log(**what):
    with lock, LOG.open("a") as file:
        file.write(json.dumps(what) + "\n")


class Session(socketserver.StreamRequestHandler):
    """One connection."""

    def setup(self):
        super().setup()
        self.number, self.user, self.topics = next(numbers), None, set()
        self.writing = threading.Lock()
        self.open = True

    def send(self, message):
        with self.writing:
            self.wfile.write(json.dumps(message).encode() + b"\n")

    def handle(self):
        try:
            for line in self.rfile:
                self.send({"answer": self.serve(json.loads(line))})
        except (OSError, ValueError):
            pass

    def serve(self, asked):
        """Does what was asked, and says what was wrong with it."""
        call, user = asked["call"], asked.get("user")
        if call == "drop":
            for session in [s for s in sessions.values() if s.user == user]:
                session.request.shutdown(2)
            return None
        if call == "login":
            token = TOKEN.read_text().strip()
            good = asked["token"] == token
            log(session=self.number, call="login", user=user, good=good)
            if not good:
                return f"HTTP 403: invalid token {asked['token']}"
            self.user = user
            sessions[self.number] = self
            threading.Thread(target=self.tick, daemon=True).start()
            return None
        topic = (asked["exchange"], asked["symbol"], asked["mode"])
        log(session=self.number, call=call, user=self.user, topic=":".join(map(str, topic)))
        if call == "subscribe":
            self.topics = self.topics | {topic}
        else:
            self.topics = self.topics - {topic}
        return None

    def tick(self):
        price = 100.0
        try:
            while self.open:
                price += 0.05
                for topic in self.topics:
                    self.send({"tick": topic, "ltp": round(price, 2)})
                time.sleep(TICK_SECONDS)
        except OSError:
            pass

    def finish(self):
        self.open = False
        if sessions.pop(self.number, None):
            log(session=self.number, call="end", user=self.user)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


log(call="start")
with Server(("127.0.0.1", PORT), Session) as server:
    print("ready", flush=True)
    server.serve_forever(0.05)
