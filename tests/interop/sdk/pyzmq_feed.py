"""Publishers on libzmq: one that connects to the gateway, one that binds and is connected to.

They send every spelling of a topic, are restarted while the gateway runs, and have heartbeats
on; a client on `websockets` checks that what they send arrives digit for digit.
"""

import asyncio
import json
import urllib.request

import zmq
import zmq.asyncio
from websockets.asyncio.client import connect

from common import ADMIN, API_KEY, BUS, BUS_OF_BINDER, WEBSOCKET, check, say

# The topic on the bus, and what a client calls it.
TOPICS = [
    ("NSE_RELIANCE_LTP", "NSE", "RELIANCE", 1),
    ("paper_NSE_RELIANCE_QUOTE", "NSE", "RELIANCE", 2),
    ("NSE_RELIANCE_DEPTH", "NSE", "RELIANCE", 3),
    ("NSE_INDEX_NIFTY_QUOTE", "NSE_INDEX", "NIFTY", 2),
    ("paper_NSE_INDEX_BANKNIFTY_LTP", "NSE_INDEX", "BANKNIFTY", 1),
    ("CRYPTO_SOL_INR_LTP", "CRYPTO", "SOL_INR", 1),
    ("NSE_TCS_ltp", "NSE", "TCS", 1),
    ("NSE_INFY_3", "NSE", "INFY", 3),
    ("NSE_M&M_Quote", "NSE", "M&M", 2),
    ("NSE_TCS:20_DEPTH", "NSE", "TCS:20", 3),
]

# What is published, and what must arrive. `%d` is a number that tells the messages apart.
PAYLOADS = [
    ('{"ltp":1424.10,"n":%d}', '{"ltp":1424.10,"n":%d}'),
    ('{"ltp":1e5,"volume":12345678901234567890,"n":%d}',) * 2,
    ('{"ltp":-0.0,"open":0.1000000000000000055511151231257827,"n":%d}',) * 2,
    ('{ "ltp" : 1E+2 , "name":"caf\u00e9 \\u20b9 \\"x\\"", "n":%d }',) * 2,
    ('{"ltp":7,"depth":{"buy":[{"price":7.00,"quantity":1}],"sell":[]},"n":%d}',) * 2,
    ('{"ltp": NaN, "high": Infinity, "low": -Infinity, "s": "NaN", "n":%d}',
     '{"ltp": null, "high": null, "low": null, "s": "NaN", "n":%d}'),
]


class Publisher:
    """A PUB socket; `restart` is what a crash and a new start look like to the gateway."""

    def __init__(self, context, address, binds):
        self.context, self.address, self.binds = context, address, binds
        self.start()

    def start(self):
        self.socket = self.context.socket(zmq.PUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.HEARTBEAT_IVL, 200)
        self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2000)
        self.socket.setsockopt(zmq.HEARTBEAT_TTL, 2000)
        if self.binds:
            self.socket.bind(self.address)
        else:
            self.socket.connect(self.address)

    async def restart(self):
        self.socket.close()
        await asyncio.sleep(0.5)
        self.start()

    async def publish(self, topic, payload):
        await self.socket.send_multipart([topic.encode(), payload.encode()])


class Reader:
    """Reads the client's socket to the end and keeps what our publishers sent."""

    def __init__(self, socket):
        self.socket = socket
        self.answers = asyncio.Queue()
        self.arrived = {}

    async def run(self):
        async for text in self.socket:
            message = json.loads(text)
            data = message.get("data", message)
            if isinstance(data, dict) and "n" in data:
                self.arrived.setdefault(data["n"], []).append(text)
            elif message.get("type") != "market_data":
                await self.answers.put(message)

    async def ask(self, request):
        await self.socket.send(json.dumps(request))
        answer = await asyncio.wait_for(self.answers.get(), timeout=10)
        check(answer["status"] == "success", answer)


class Numbers:
    last = 0

    def next(self):
        self.last += 1
        return self.last


async def publish_until_it_arrives(publisher, reader, numbers, topic, payload):
    """A PUB drops what it sends before its subscriber is there; so the first is repeated."""
    for _ in range(300):
        number = numbers.next()
        await publisher.publish(topic, payload % number)
        for _ in range(10):
            if number in reader.arrived:
                return
            await asyncio.sleep(0.01)
    check(False, f"nothing arrives on {topic}")


async def arrives_once(reader, number, what):
    for _ in range(500):
        if number in reader.arrived:
            break
        await asyncio.sleep(0.01)
    texts = reader.arrived.get(number, [])
    check(len(texts) == 1, f"{what}: arrived {len(texts)} times")
    return texts[0]


async def check_all_topics(publisher, reader, numbers):
    await publish_until_it_arrives(publisher, reader, numbers, *first_topic())
    for topic, exchange, symbol, mode in TOPICS:
        for payload, expected in PAYLOADS:
            number = numbers.next()
            await publisher.publish(topic, payload % number)
            text = await arrives_once(reader, number, f"{payload} on {topic}")
            check(f'"data":{expected % number}' in text, f"not digit for digit: {text}")
            message = json.loads(text)
            named = (message["exchange"], message["symbol"], message["mode"])
            check(named == (exchange, symbol, mode), f"{topic} arrived as {named}")


def first_topic():
    return TOPICS[0][0], PAYLOADS[0][0]


async def check_private_and_broken(publisher, reader, numbers):
    """An order update goes to its user; what is broken or private stops nothing."""
    for topic, payload in [
        ("nonsense", "{}"),
        ("", "{}"),
        ("NSE_RELIANCE_LTP", "not json"),
        ("NSE_RELIANCE_LTP", "[1]"),
        ("NSE_RELIANCE_LTP", '{"ltp":1'),
        ("paper_alice_positions", '{"user_id":"alice","n":-1}'),
        ("paper_alice_margins", '{"user_id":"alice","n":-1}'),
        ("paper_eve_orders", '{"user_id":"eve","n":-1}'),
    ]:
        await publisher.publish(topic, payload)
    await publisher.socket.send_multipart([b"one part"])
    await publisher.socket.send_multipart([b"NSE_RELIANCE_LTP", b"{}", b"three parts"])
    number = numbers.next()
    update = '{"type":"order_update","user_id":"alice","average_price":10.50,"n":%d}' % number
    await publisher.publish("PAPER_alice_orders", update)
    text = await arrives_once(reader, number, "an order update")
    check(text == update, f"an order update was changed: {text}")
    check(-1 not in reader.arrived, f"private: {reader.arrived.get(-1)}")


def feed_status():
    with urllib.request.urlopen(f"{ADMIN}/status", timeout=5) as page:
        return json.load(page)["feed"]


async def check_heartbeats():
    """Quiet links stay up: both sides ping and answer."""
    before = await asyncio.to_thread(feed_status)
    await asyncio.sleep(4)
    after = await asyncio.to_thread(feed_status)
    for name in ("publishers", "reconnects_total", "protocol_errors_total"):
        check(before[name] == after[name], f"{name}: {before[name]} became {after[name]}")


async def main():
    context = zmq.asyncio.Context()
    numbers = Numbers()
    publishers = [Publisher(context, BUS, binds=False), Publisher(context, BUS_OF_BINDER, True)]
    async with connect(WEBSOCKET) as socket:
        reader = Reader(socket)
        reading = asyncio.create_task(reader.run())
        await reader.ask({"action": "authenticate", "api_key": API_KEY})
        await reader.ask({"action": "subscribe_orders"})
        for _, exchange, symbol, mode in TOPICS:
            entry = {"exchange": exchange, "symbol": symbol, "mode": mode}
            await reader.ask({"action": "subscribe"} | entry)
        for publisher in publishers:
            await check_all_topics(publisher, reader, numbers)
            await check_private_and_broken(publisher, reader, numbers)
        await check_heartbeats()
        for publisher in publishers:
            await publisher.restart()
            await check_all_topics(publisher, reader, numbers)
        check(not reading.done(), "the client's connection ended")
        reading.cancel()
    for publisher in publishers:
        publisher.socket.close()
    context.term()
    say(f"pyzmq {zmq.__version__} libzmq {zmq.zmq_version()}")
    say("passed")


asyncio.run(main())
