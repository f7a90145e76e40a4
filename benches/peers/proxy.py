"""A proxy on `websockets` that does for each message what OpenAlgo's does.

Per tick: parse the topic, `json.loads`, look up who wants it, and for each client build a dict,
`json.dumps` it and await its own `send`, all sends of a tick gathered before the next one. Of the
protocol it speaks what `tickgate bench` needs.
"""

import asyncio
import json
import signal
import sys

import websockets
import zmq
import zmq.asyncio

MODES = {"LTP": 1, "QUOTE": 2, "DEPTH": 3}
LABELS = {1: "LTP", 2: "Quote", 3: "Depth"}


class Proxy:
    def __init__(self):
        self.clients = {}
        # (symbol, exchange, mode) -> numbers of clients
        self.index = {}
        # number of a client -> its user's broker
        self.users = {}
        self.brokers = {"alice": "paper"}

    async def serve_client(self, websocket):
        client = id(websocket)
        self.clients[client] = websocket
        held = set()
        try:
            async for text in websocket:
                request = json.loads(text)
                answer = self.answer(client, held, request)
                if "request_id" in request:
                    answer["request_id"] = request["request_id"]
                await websocket.send(json.dumps(answer))
        except websockets.ConnectionClosed:
            pass
        finally:
            for key in held:
                self.index[key].discard(client)
            self.users.pop(client, None)
            del self.clients[client]

    def answer(self, client, held, request):
        action = request.get("action")
        if action == "authenticate":
            self.users[client] = "alice"
            return {"type": "auth", "status": "success", "broker": "paper", "user_id": "alice"}
        if action not in ("subscribe", "unsubscribe"):
            return {"status": "error", "code": "INVALID_ACTION", "message": str(action)}
        mode = request["mode"]
        rows = []
        for entry in request["symbols"]:
            key = (entry["symbol"], entry["exchange"], mode)
            if action == "subscribe":
                self.index.setdefault(key, set()).add(client)
                held.add(key)
            else:
                self.index.get(key, set()).discard(client)
                held.discard(key)
            rows.append({**entry, "status": "success", "mode": LABELS[mode], "broker": "paper"})
        return {"type": action, "status": "success", "subscriptions": rows}

    async def send(self, client, message):
        websocket = self.clients.get(client)
        if websocket is None:
            return
        try:
            await websocket.send(json.dumps(message))
        except websockets.ConnectionClosed:
            pass

    async def relay(self, bus):
        while True:
            topic, payload = await bus.recv_multipart()
            parts = topic.decode().split("_")
            if len(parts) < 3 or parts[-1] not in MODES:
                continue
            exchange, symbol, label = parts[0], "_".join(parts[1:-1]), parts[-1]
            data = json.loads(payload.decode())
            ticked = MODES[label]
            # A tick goes to whoever has its mode or a lower one.
            wanted = {}
            for mode in range(1, ticked + 1):
                for client in self.index.get((symbol, exchange, mode), ()):
                    wanted[client] = mode
            sends = []
            for client, mode in wanted.items():
                user = self.users.get(client)
                if user is None:
                    continue
                message = {
                    "type": "market_data",
                    "symbol": symbol,
                    "exchange": exchange,
                    "mode": mode,
                    "broker": self.brokers.get(user),
                    # Last, since the load reads the end of a message.
                    "data": data,
                }
                sends.append(self.send(client, message))
            if sends:
                await asyncio.gather(*sends)


async def main():
    proxy = Proxy()
    bus = zmq.asyncio.Context.instance().socket(zmq.SUB)
    bus_port = bus.bind_to_random_port("tcp://127.0.0.1")
    bus.setsockopt(zmq.SUBSCRIBE, b"")
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await websockets.serve(
        proxy.serve_client, "127.0.0.1", 0, backlog=4096, ping_interval=20, ping_timeout=20
    )
    port = server.sockets[0].getsockname()[1]
    print(f"clients ws://127.0.0.1:{port}\npublishers tcp://127.0.0.1:{bus_port}", flush=True)
    relay = asyncio.create_task(proxy.relay(bus))
    ended = asyncio.create_task(stopped.wait())
    await asyncio.wait((relay, ended), return_when=asyncio.FIRST_COMPLETED)
    if relay.done():
        relay.result()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
