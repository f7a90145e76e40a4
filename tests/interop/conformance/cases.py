"""What RFC 6455 asks of a server, section by section. A case's id begins with the section's number.

The gateway is no echo server: what has to come back goes in a `ping` request's `_pingId`.
"""

import json

from wire import (
    ACCEPT, API_KEY, BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, Connection, check,
    close_payload, connected, frame, ping_request, request_bytes,
)

CASES = []
MESSAGE_MAX = 65536


def case(number, text):
    def register(run):
        CASES.append((number, text, run))
        return run
    return register


# 4: opening handshake

def answered(expected, data, also=None):
    """A case of the handshake: these bytes are answered with one of these statuses."""
    def run():
        with Connection() as connection:
            connection.send(data)
            status, headers = connection.head()
            check(status in expected, f"{status}, not {expected}")
            if status == 101:
                check(headers["sec-websocket-accept"] == ACCEPT, "4.2.2: the wrong accept key")
                check(headers["upgrade"].lower() == "websocket", "4.2.2: Upgrade")
                check(headers["connection"].lower() == "upgrade", "4.2.2: Connection")
                connection.serves_on()
            if also:
                also(headers)
    return run


def names_13(headers):
    check(headers.get("sec-websocket-version") == "13", "4.4: it must say which version it wants")


def lacks(name):
    def judge(headers):
        check(name not in headers, f"{name}: {headers.get(name)}")
    return judge


def once(name, value):
    def judge(headers):
        check(headers.get(name) == value, f"{name}: {headers.get(name)}")
        check(headers["names"].count(name) == 1, f"{name} more than once")
    return judge


HANDSHAKES = [
    ("4.2.1-1", "a good request", [101], request_bytes()),
    ("4.2.1-2", "any path and query", [101], request_bytes("GET /a/b?c=d HTTP/1.1")),
    ("4.2.1-3", "not by POST", [400, 405, 426], request_bytes("POST / HTTP/1.1")),
    ("4.2.1-4", "not with HTTP/1.0", [400, 426, 505], request_bytes("GET / HTTP/1.0")),
    ("4.2.1-5", "not without Host", [400], request_bytes(Host=None)),
    ("4.2.1-6", "not with two Hosts", [400], request_bytes(Host=["a", "b"])),
    ("4.2.1-7", "not without Upgrade", [426], request_bytes(Upgrade=None)),
    ("4.2.1-8", "not to another protocol", [426], request_bytes(Upgrade="h2c")),
    ("4.2.1-9", "Upgrade in any case", [101], request_bytes(Upgrade="WebSocket")),
    ("4.2.1-10", "Upgrade as a list", [101], request_bytes(Upgrade="h2c, websocket")),
    ("4.2.1-11", "not without Connection", [400], request_bytes(Connection=None)),
    ("4.2.1-12", "not with another Connection", [400], request_bytes(Connection="keep-alive")),
    ("4.2.1-13", "Connection as a list", [101], request_bytes(Connection="keep-alive, uPgRaDe")),
    ("4.2.1-14", "Connection in two lines", [101],
     request_bytes(Connection=["keep-alive", "Upgrade"])),
    ("4.2.1-15", "not without a key", [400], request_bytes(Sec_WebSocket_Key=None)),
    ("4.2.1-16", "not with an empty key", [400], request_bytes(Sec_WebSocket_Key="")),
    ("4.2.1-17", "not with 15 bytes of key", [400],
     request_bytes(Sec_WebSocket_Key="MTIzNDU2Nzg5MDEyMzQ1")),
    ("4.2.1-18", "not with 17 bytes of key", [400],
     request_bytes(Sec_WebSocket_Key="MTIzNDU2Nzg5MDEyMzQ1Njc=")),
    ("4.2.1-19", "not with a key that is no base64", [400],
     request_bytes(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZ!==")),
    ("4.2.1-20", "not with two keys", [400], request_bytes(Sec_WebSocket_Key=[KEY, KEY])),
    ("4.2.1-21", "unknown headers are passed over", [101], request_bytes(X_Unknown="x, y; z")),
    ("4.4-1", "not without a version", [400, 426], request_bytes(Sec_WebSocket_Version=None),
     names_13),
    ("4.4-2", "not version 12", [426], request_bytes(Sec_WebSocket_Version="12"), names_13),
    ("4.4-3", "not version 14", [426], request_bytes(Sec_WebSocket_Version="14"), names_13),
    ("4.4-4", "not two versions", [400, 426], request_bytes(Sec_WebSocket_Version=["13", "8"]),
     names_13),
    ("4.2.2-1", "a subprotocol nobody knows is not echoed", [101],
     request_bytes(Sec_WebSocket_Protocol="chat, superchat"), lacks("sec-websocket-protocol")),
    ("4.2.2-2", "one that is known is chosen alone", [101],
     request_bytes(Sec_WebSocket_Protocol="chat, tickgate"),
     once("sec-websocket-protocol", "tickgate")),
    ("4.2.2-3", "none is chosen unasked", [101], request_bytes(), lacks("sec-websocket-protocol")),
    ("9.1-1", "no extension is negotiated", [101],
     request_bytes(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"),
     lacks("sec-websocket-extensions")),
]
for number, text, expected, data, *also in HANDSHAKES:
    case(number, text)(answered(expected, data, *also))


@case("4.2.2-4", "a request byte by byte")
def _():
    with Connection() as connection:
        connection.send_slowly(request_bytes())
        check(connection.head()[0] == 101, "refused")
        connection.serves_on()


@case("4.2.2-5", "frames right behind the request are served")
def _():
    with Connection() as connection:
        connection.send(request_bytes(), frame(TEXT, ping_request("1")), frame(PING, b"2"))
        check(connection.head()[0] == 101, "refused")
        check(sorted(opcode for opcode, _ in connection.frames(2)) == [TEXT, PONG], "both")


# 5.1 and 5.3: masking; 5.2: framing

def closes(codes, *frames):
    """A case in which these frames have the server fail the connection."""
    def run():
        with connected() as connection:
            # What comes behind a failure is not looked at any more.
            connection.send(*frames, frame(TEXT, ping_request("late")))
            connection.closes(*codes)
    return run


def serves(*frames, names=("x",)):
    """A case in which these frames are served and answered with these names."""
    def run():
        with connected() as connection:
            connection.send(*frames)
            for name in names:
                connection.echoes(name)
            connection.serves_on()
    return run


def ponged(*frames, payloads):
    def run():
        with connected() as connection:
            connection.send(*frames)
            for payload in payloads:
                connection.pong(payload)
            connection.serves_on()
    return run


PROTOCOL = (1002,)
case("5.1-1", "text without a mask")(closes(PROTOCOL, frame(TEXT, ping_request(), mask=None)))
case("5.1-2", "a ping without a mask")(closes(PROTOCOL, frame(PING, b"x", mask=None)))
case("5.1-3", "a close without a mask")(closes(PROTOCOL, frame(CLOSE, mask=None)))
case("5.1-4", "a fragment without a mask")(
    closes(PROTOCOL, frame(TEXT, b"{", fin=False), frame(CONTINUATION, b"}", mask=None)))
case("5.1-5", "an empty frame without a mask")(closes(PROTOCOL, frame(TEXT, b"", mask=None)))
case("5.3-1", "a mask of zeros")(serves(frame(TEXT, ping_request(), mask=bytes(4))))
case("5.3-2", "a mask of ones")(serves(frame(TEXT, ping_request(), mask=b"\xff" * 4)))
case("5.3-3", "another mask for each frame")(serves(
    *(frame(TEXT, ping_request(str(n)), mask=bytes([n, n + 1, n + 2, n + 3])) for n in range(9)),
    names=[str(n) for n in range(9)]))

for bit in (1, 2, 4):
    case(f"5.2-{bit}", f"reserved bit {bit} on text")(
        closes(PROTOCOL, frame(TEXT, ping_request(), rsv=bit)))
    case(f"5.2-{bit + 10}", f"reserved bit {bit} on a ping")(
        closes(PROTOCOL, frame(PING, b"x", rsv=bit)))
case("5.2-15", "a reserved bit on a continuation")(
    closes(PROTOCOL, frame(TEXT, b"{", fin=False), frame(CONTINUATION, b"}", rsv=4)))
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    case(f"5.2-{opcode + 20}", f"reserved opcode {opcode}")(closes(PROTOCOL, frame(opcode, b"x")))
    case(f"5.2-{opcode + 40}", f"reserved opcode {opcode}, empty")(closes(PROTOCOL, frame(opcode)))
for at, length in enumerate((125, 126, 127, 128, 65535, 65536)):
    case(f"5.2-{at + 60}", f"text of {length} bytes")(
        serves(frame(TEXT, ping_request(length=length))))
for at, (length, size) in enumerate([(50, 2), (125, 2), (50, 8), (126, 8), (65535, 8)]):
    case(f"5.2-{at + 70}", f"{length} said in {size} bytes, which is not minimal")(
        closes(PROTOCOL, frame(TEXT, ping_request(length=length), size=size)))
case("5.2-75", "a ping whose length is not minimal")(
    closes(PROTOCOL, frame(PING, b"x", size=2)))
case("5.2-76", "a length with its highest bit set")(
    closes((1002, 1009), frame(BINARY, b"", length=1 << 63 | 5, size=8)))


@case("5.2-80", "frames byte by byte")
def _():
    with connected() as connection:
        connection.send_slowly(frame(TEXT, ping_request("1", 130)) + frame(PING, b"2"))
        check(sorted(opcode for opcode, _ in connection.frames(2)) == [TEXT, PONG], "both")


@case("5.2-81", "many frames in one segment")
def _():
    with connected() as connection:
        connection.send(*(frame(TEXT, ping_request(str(n))) for n in range(100)))
        for n in range(100):
            connection.echoes(str(n))


def long_answer(symbols):
    """The server's own lengths, which `read_frame` judges."""
    def run():
        with connected() as connection:
            login = {"action": "authenticate", "api_key": API_KEY}
            connection.send(frame(TEXT, json.dumps(login).encode()))
            check(connection.answer().get("status") == "success", "no login")
            rows = [{"symbol": f"S{n}", "exchange": "NSE"} for n in range(symbols)]
            unsubscribe = {"action": "unsubscribe", "mode": 1, "symbols": rows}
            connection.send(frame(TEXT, json.dumps(unsubscribe).encode()))
            check(len(connection.answer()["failed"]) == symbols, "rows are missing")
    return run


case("5.2-82", "the server's length in 2 bytes")(long_answer(5))
case("5.2-83", "the server's length in 8 bytes")(long_answer(1000))


# 5.4: fragmentation

def pieces(payload, *cuts, opcode=TEXT):
    """A message in fragments that are cut here."""
    edges = [0, *cuts, len(payload)]
    parts = [payload[begin:end] for begin, end in zip(edges, edges[1:])]
    last = len(parts) - 1
    return [
        frame(opcode if at == 0 else CONTINUATION, part, fin=at == last)
        for at, part in enumerate(parts)
    ]


WHOLE = ping_request()
HALVES = pieces(WHOLE, 9)
case("5.4-1", "two fragments")(serves(*HALVES))
case("5.4-2", "a fragment for each byte")(serves(*pieces(WHOLE, *range(1, len(WHOLE)))))
case("5.4-3", "binary fragments")(serves(*pieces(WHOLE, 3, 9, opcode=BINARY)))
case("5.4-4", "an empty first fragment")(serves(*pieces(WHOLE, 0)))
case("5.4-5", "empty fragments in the middle")(serves(*pieces(WHOLE, 5, 5, 5, 5)))
case("5.4-6", "an empty last fragment")(serves(*pieces(WHOLE, len(WHOLE))))
case("5.4-7", "a thousand empty fragments")(serves(*pieces(WHOLE, *[4] * 1000)))
case("5.4-10", "a continuation of nothing")(closes(PROTOCOL, frame(CONTINUATION, WHOLE)))
case("5.4-11", "an open continuation of nothing")(
    closes(PROTOCOL, frame(CONTINUATION, WHOLE, fin=False)))
case("5.4-12", "text within a message")(closes(PROTOCOL, HALVES[0], frame(TEXT, WHOLE)))
case("5.4-13", "binary within a message")(closes(PROTOCOL, HALVES[0], frame(BINARY, WHOLE)))
case("5.4-14", "another first fragment within a message")(
    closes(PROTOCOL, HALVES[0], frame(TEXT, WHOLE, fin=False)))


@case("5.4-15", "a continuation of a message that is complete")
def _():
    with connected() as connection:
        connection.send(*HALVES)
        connection.echoes()
        connection.send(frame(CONTINUATION, b"x"))
        connection.closes(1002)


@case("5.4-20", "a ping within a message is answered before the message is complete")
def _():
    with connected() as connection:
        connection.send(HALVES[0], frame(PING, b"now"))
        connection.pong(b"now")
        connection.send(HALVES[1])
        connection.echoes()


@case("5.4-21", "pings and pongs between all fragments")
def _():
    with connected() as connection:
        parts = pieces(WHOLE, *range(1, len(WHOLE)))
        for n, part in enumerate(parts):
            connection.send(part, frame(PONG, b"unasked"), frame(PING, bytes([n])))
        for n in range(len(parts) - 1):
            connection.pong(bytes([n]))
        rest = [connection.read_frame()[0] for _ in range(2)]
        check(sorted(rest) == [TEXT, PONG], f"{rest}")


@case("5.4-22", "a close within a message is obeyed")
def _():
    with connected() as connection:
        connection.send(HALVES[0], frame(CLOSE, close_payload(1000)))
        connection.closes(1000)


# 5.5: control frames

for at, (name, opcode) in enumerate((("ping", PING), ("pong", PONG), ("close", CLOSE))):
    payload = close_payload(1000) + b"x" * 124 if opcode == CLOSE else b"x" * 126
    case(f"5.5-{at + 1}", f"a {name} of 126 bytes")(closes(PROTOCOL, frame(opcode, payload)))
    case(f"5.5-{at + 4}", f"a {name} in fragments")(
        closes(PROTOCOL, frame(opcode, close_payload(1000), fin=False), frame(CONTINUATION)))


def close_reply(sent, *codes, reason=b""):
    def run():
        with connected() as connection:
            connection.send(frame(CLOSE, sent))
            got = connection.closes(*codes)
            check(not reason or got == reason, f"the reason became {got!r}")
    return run


LONGEST = ("ä" * 61).encode() + b"x"
case("5.5.1-1", "a close without a code")(close_reply(b"", None, 1000))
case("5.5.1-2", "a close with a code")(close_reply(close_payload(1000), 1000))
case("5.5.1-3", "a close with a reason")(close_reply(close_payload(1000, b"bye"), 1000))
case("5.5.1-4", "the longest reason")(close_reply(close_payload(1000, LONGEST), 1000))
case("5.5.1-5", "half a close code")(close_reply(b"\x03", 1002))
case("5.5.1-6", "a reason that is no UTF-8")(close_reply(close_payload(1000, b"\xff"), 1007))
case("5.5.1-7", "a reason cut within a character")(
    close_reply(close_payload(1000, b"\xe2\x82"), 1007))


@case("5.5.1-8", "nothing is answered behind a close")
def _():
    with connected() as connection:
        late = [frame(TEXT, ping_request("late")), frame(PING, b"late"), frame(CLOSE)]
        connection.send(frame(CLOSE, close_payload(1001)), *late)
        connection.closes(1001)


@case("5.5.1-9", "a close is answered although there are requests before it")
def _():
    with connected() as connection:
        connection.send(*(frame(TEXT, ping_request(str(n))) for n in range(5)))
        connection.send(frame(CLOSE, close_payload(1000)))
        connection.closes_in_the_end(1000)


@case("5.5.1-10", "the server ends the stream although the client keeps it open")
def _():
    with connected() as connection:
        connection.send(frame(CLOSE))
        connection.closes(None, 1000)


BYTES = bytes(range(125))
case("5.5.2-1", "an empty ping")(ponged(frame(PING), payloads=[b""]))
case("5.5.2-2", "a ping of 125 bytes of any kind")(ponged(frame(PING, BYTES), payloads=[BYTES]))
case("5.5.2-3", "a ping that is no UTF-8")(ponged(frame(PING, b"\xff\xfe"), payloads=[b"\xff\xfe"]))
case("5.5.2-4", "ten pings at once, in their order")(
    ponged(*(frame(PING, bytes([n])) for n in range(10)), payloads=[bytes([n]) for n in range(10)]))
case("5.5.3-1", "an unasked pong")(serves(frame(PONG), frame(TEXT, WHOLE)))
case("5.5.3-2", "an unasked pong with a payload")(serves(frame(PONG, BYTES), frame(TEXT, WHOLE)))
case("5.5.3-3", "a pong, then a ping")(
    ponged(frame(PONG, b"1"), frame(PING, b"2"), payloads=[b"2"]))


# 5.6 and 8.1: data frames and UTF-8

case("5.6-1", "text")(serves(frame(TEXT, WHOLE)))
case("5.6-2", "binary, which is taken for the same")(serves(frame(BINARY, WHOLE)))


def refused_and_alive(data):
    def run():
        with connected() as connection:
            connection.send(data)
            check(connection.answer().get("code") == "INVALID_JSON", "it is no request")
            connection.serves_on()
    return run


case("5.6-3", "empty text is no request, and no end")(refused_and_alive(frame(TEXT)))
case("5.6-4", "binary that is no UTF-8 is no request, and no end")(
    refused_and_alive(frame(BINARY, b"\xff\xfe")))

GOOD = ["κόσμε", "\u00a9", "\u20ac", "\U0001f980", "\U0010ffff", "\ufffe\uffff", "\ud7ff\ue000"]
for at, text in enumerate(GOOD):
    whole = ping_request(text)
    case(f"8.1-{at + 1}", f"good UTF-8, {text.encode().hex()}")(
        serves(frame(TEXT, whole), names=[text]))
    case(f"8.1-{at + 11}", f"the same cut at every byte, {text.encode().hex()}")(
        serves(*pieces(whole, *range(1, len(whole))), names=[text]))

BAD = ["80", "bf", "c0af", "c1bf", "e080af", "f08080af", "eda080", "edbfbf", "f4908080", "f8888080",
       "fe", "ff", "c3", "e282", "f09fa6", "e28228", "c328", "ceba00e1bdb9cf83cebcceb5eda080"]
for at, digits in enumerate(BAD):
    bad = ping_request("@").replace(b"@", bytes.fromhex(digits))
    case(f"8.1-{at + 21}", f"bad UTF-8, {digits}")(closes((1007,), frame(TEXT, bad)))
    case(f"8.1-{at + 41}", f"the same cut at every byte, {digits}")(
        closes((1007,), *pieces(bad, *range(1, len(bad)))))


@case("8.1-60", "bad UTF-8 is noticed before its message is complete")
def _():
    with connected() as connection:
        connection.send(frame(TEXT, b"{\"action\":\"\xff", fin=False))
        connection.closes(1007)


@case("8.1-61", "a message that ends within a character")
def _():
    with connected() as connection:
        connection.send(frame(TEXT, b"\xe2", fin=False), frame(CONTINUATION, b"\x82"))
        connection.closes(1007)


# 7: closing

@case("7.1.7-1", "a connection that has failed answers nothing more")
def _():
    with connected() as connection:
        connection.send(frame(TEXT, ping_request("1")), frame(0x3), frame(PING, b"late"))
        connection.closes_in_the_end(1002, never=b"late")


@case("7.1.7-2", "a close behind a failure changes nothing")
def _():
    with connected() as connection:
        connection.send(frame(0x3))
        connection.send(frame(CLOSE, close_payload(1000)))
        connection.closes(1002)


@case("7.2.1-1", "a client that goes without a word harms nobody")
def _():
    with connected() as other:
        with connected() as connection:
            connection.send(HALVES[0])
        other.serves_on()


GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000,
              4999]
for at, code in enumerate(GOOD_CODES):
    case(f"7.4-{at + 1}", f"close code {code}")(close_reply(close_payload(code), code))
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
for at, code in enumerate(BAD_CODES):
    case(f"7.4-{at + 21}", f"close code {code}, which nobody may send")(
        close_reply(close_payload(code, b"why"), 1002))


# 10: limits, and what is not to be trusted

SPACES = b" " * (MESSAGE_MAX // 2)
case("10.4-1", "the longest message")(serves(frame(TEXT, ping_request(length=MESSAGE_MAX))))
case("10.4-2", "one byte more")(
    closes((1009,), frame(TEXT, ping_request(length=MESSAGE_MAX + 1))))
case("10.4-3", "the longest message in fragments")(
    serves(*pieces(ping_request(length=MESSAGE_MAX), 1000, 30000)))
case("10.4-4", "one byte more in fragments")(
    closes((1009,), *pieces(ping_request(length=MESSAGE_MAX + 1), 1000, 30000)))


@case("10.4-5", "a length that is too much is refused before anything of it comes")
def _():
    for length in (MESSAGE_MAX + 1, 1 << 31, 1 << 62):
        with connected() as connection:
            connection.send(frame(BINARY, b"", length=length))
            connection.closes(1009)


@case("10.4-6", "what is too much is not waited for either when it is unmasked")
def _():
    with connected() as connection:
        connection.send(frame(BINARY, b"", length=1 << 62, mask=None))
        connection.closes(1002, 1009)


@case("10.7-1", "a request that is none is refused, and the next one served")
def _():
    with connected() as connection:
        for nonsense in (b"nonsense", b"[]", b"{}", b"null", b'{"action":5}'):
            connection.send(frame(TEXT, nonsense))
            check(connection.answer().get("status") == "error", f"{nonsense}")
        connection.serves_on()
