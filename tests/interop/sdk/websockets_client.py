"""The `websockets` package, speaking the wire protocol by hand."""

import asyncio
import json

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from common import API_KEY, WEBSOCKET, check, say

TOPICS = [(mode, symbol) for mode in (1, 2, 3) for symbol in ("RELIANCE", "TCS:20")]


class Client:
    """A connection that keeps the ticks apart from the answers."""

    def __init__(self, socket):
        self.socket = socket
        self.ticks = []

    async def send(self, request, binary=False):
        text = request if isinstance(request, str) else json.dumps(request)
        await self.socket.send(text.encode() if binary else text)

    async def receive(self):
        """The next message, parsed, with its text."""
        text = await asyncio.wait_for(self.socket.recv(), timeout=10)
        check(isinstance(text, str), "the server sent a binary frame")
        return json.loads(text), text

    async def ask(self, request, binary=False):
        """Sends a request and returns its answer and its text."""
        await self.send(request, binary)
        while True:
            message, text = await self.receive()
            if message.get("type") != "market_data":
                return message, text
            self.ticks.append(message)

    async def ticks_for(self, seconds):
        """The ticks of the next while."""
        loop = asyncio.get_running_loop()
        deadline, found = loop.time() + seconds, []
        while (left := deadline - loop.time()) > 0:
            try:
                found.append(json.loads(await asyncio.wait_for(self.socket.recv(), timeout=left)))
            except TimeoutError:
                break
        return found

    async def until_all_tick(self):
        missing = set(TOPICS)
        while missing:
            message, _ = await self.receive()
            if message.get("type") == "market_data":
                check(type(message["mode"]) is int, f"mode is not an integer: {message}")
                check(message["broker"] == "paper", f"broker: {message}")
                missing.discard((message["mode"], message["symbol"]))


async def check_refusals(client):
    """Before authentication."""
    subscribe = {"action": "subscribe", "symbol": "RELIANCE", "exchange": "NSE", "mode": 1}
    answer, _ = await client.ask(subscribe | {"request_id": "early"})
    check(answer["status"] == "error" and answer["code"] == "NOT_AUTHENTICATED", answer)
    check(answer["request_id"] == "early", answer)
    for request, code in [
        ("{", "INVALID_JSON"),
        ("[]", None),
        ("", "INVALID_JSON"),
        ({"action": "dance"}, "INVALID_ACTION"),
        ({"action": "authenticate", "api_key": "wrong"}, "AUTHENTICATION_ERROR"),
    ]:
        answer, _ = await client.ask(request)
        check(answer["status"] == "error", answer)
        check(code is None or answer["code"] == code, f"{code}: {answer}")
        check(API_KEY not in json.dumps(answer), "the key is shown")


async def check_pings(client):
    answer, text = await client.ask('{"type":"ping","timestamp":1424.10,"_pingId":"p1"}')
    check(answer["type"] == "pong" and answer["status"] == "success", answer)
    check(answer["_pingId"] == "p1" and '"client_timestamp":1424.10' in text, text)
    check(answer["server_timestamp"] > 1_600_000_000_000, answer)
    pong = await client.socket.ping(b"are you there")
    await asyncio.wait_for(pong, timeout=5)


async def authenticate(client, binary=False):
    answer, _ = await client.ask({"action": "authenticate", "api_key": API_KEY}, binary)
    check(answer["type"] == "auth" and answer["status"] == "success", answer)
    check(answer["user_id"] == "alice" and answer["broker"] == "paper", answer)
    check(answer["supported_features"] == {"ltp": True, "quote": True, "depth": True}, answer)


async def subscribe_all(client):
    """In three spellings of the mode, one of them in a binary frame."""
    for mode, spelling, binary in [(1, " ltp ", False), (2, 2, True), (3, "DEPTH", False)]:
        symbols = [{"symbol": symbol, "exchange": "NSE"} for m, symbol in TOPICS if m == mode]
        request_id = {"n": mode, "list": [None, "x"]}
        answer, _ = await client.ask(
            {
                "action": "subscribe",
                "symbols": symbols,
                "mode": spelling,
                "depth": 5,
                "request_id": request_id,
            },
            binary,
        )
        check(answer["type"] == "subscribe" and answer["status"] == "success", answer)
        check(answer["request_id"] == request_id, answer)
        label = {1: "LTP", 2: "Quote", 3: "Depth"}[mode]
        rows = [(row["symbol"], row["status"], row["mode"]) for row in answer["subscriptions"]]
        check(rows == [(entry["symbol"], "success", label) for entry in symbols], answer)


async def check_repetition(client):
    again = {"action": "subscribe", "symbol": "RELIANCE", "exchange": "NSE", "mode": "LTP"}
    answer, _ = await client.ask(again)
    check(answer["subscriptions"][0]["status"] == "warning", answer)
    for mode in (True, 4, "fast"):
        answer, _ = await client.ask(again | {"mode": mode})
        check(answer["code"] == "INVALID_MODE", answer)
    _, text = await client.ask(json.dumps(again)[:-1] + ',"request_id":12345678901234567890.50}')
    check('"request_id":12345678901234567890.50' in text, f"not echoed untouched: {text}")


async def check_information(client):
    answer, _ = await client.ask({"action": "get_broker_info"})
    check(answer["type"] == "broker_info" and answer["broker"] == "paper", answer)
    answer, _ = await client.ask({"action": "get_supported_brokers"})
    check(answer["brokers"] == ["paper"] and answer["count"] == 1, answer)
    for action in ("subscribe_orders", "unsubscribe_orders"):
        answer, _ = await client.ask({"action": action, "request_id": None})
        check(answer["type"] == action and answer["status"] == "success", answer)


async def unsubscribe_step_by_step(client):
    reliance = {"symbol": "RELIANCE", "exchange": "NSE"}
    answer, _ = await client.ask({"action": "unsubscribe", "symbols": [reliance | {"mode": 1}]})
    check(answer["type"] == "unsubscribe" and answer["status"] == "success", answer)
    modes = {tick["mode"] for tick in await client.ticks_for(1) if tick["symbol"] == "RELIANCE"}
    check(modes == {2, 3}, f"after unsubscribing LTP: {modes}")

    # Without a mode: all that are left.
    answer, _ = await client.ask({"action": "unsubscribe", "symbols": [reliance]})
    check(answer["status"] == "success", answer)
    symbols = {tick["symbol"] for tick in await client.ticks_for(1)}
    check(symbols == {"TCS:20"}, f"after unsubscribing RELIANCE: {symbols}")

    answer, _ = await client.ask({"action": "unsubscribe", "symbols": [reliance], "mode": 2})
    check(answer["failed"][0]["symbol"] == "RELIANCE", answer)
    answer, _ = await client.ask({"action": "unsubscribe_all"})
    check(answer["type"] == "unsubscribe" and answer["status"] == "success", answer)
    late = await client.ticks_for(1)
    check(late == [], f"{len(late)} ticks after unsubscribe_all was answered")


async def until_closed(socket):
    try:
        while True:
            await asyncio.wait_for(socket.recv(), timeout=20)
    except ConnectionClosed as closed:
        check(closed.rcvd is not None, "the connection broke without a close frame")
        check(closed.rcvd.code == 1012, f"close code {closed.rcvd.code} at a restart")


async def connect_again():
    for _ in range(200):
        try:
            return await connect(WEBSOCKET)
        except (OSError, InvalidHandshake):
            await asyncio.sleep(0.1)
    check(False, "cannot connect after the restart")


async def main():
    async with connect(WEBSOCKET) as socket:
        client = Client(socket)
        await check_refusals(client)
        await check_pings(client)
        await authenticate(client, binary=True)
        await subscribe_all(client)
        await client.until_all_tick()
        await check_repetition(client)
        await check_information(client)
        say("restart")
        await until_closed(socket)

    async with await connect_again() as socket:
        client = Client(socket)
        # As the SDKs do: the subscriptions right behind the key, without waiting.
        await client.send({"action": "auth", "apikey": API_KEY})
        for mode, symbol in TOPICS:
            entry = {"action": "subscribe", "symbol": symbol, "exchange": "NSE", "mode": mode}
            await client.send(entry)
        await client.until_all_tick()
        await unsubscribe_step_by_step(client)
    say("passed")


asyncio.run(main())
