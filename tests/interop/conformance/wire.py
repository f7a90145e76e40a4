"""A WebSocket client of its own on a raw socket: it can say what no client may, and reads strictly.

Nothing but the standard library, so that no other implementation's view comes in between.
"""

import json
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

URL = urlsplit(os.environ.get("INTEROP_WEBSOCKET", "ws://127.0.0.1:8765"))
# PEM file of the authority that signed the gateway's certificate, for wss://.
CA = os.environ.get("INTEROP_CA")
API_KEY = os.environ.get("INTEROP_API_KEY", "demo-key-for-local-use-only")

PATIENCE = 10.0

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = bytes.fromhex("37fa213d")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Failed(Exception):
    """The server did something else than it must."""


def check(condition, what):
    if not condition:
        raise Failed(what)


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, length=None, size=None):
    """A client's frame. `length` lies about the payload, `size` encodes it in 0, 2 or 8 bytes."""
    length = len(payload) if length is None else length
    if size is None:
        size = 0 if length < 126 else 2 if length < 65536 else 8
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0x80 if mask is not None else 0
    if size == 0:
        head = struct.pack("!BB", first, masked | length)
    elif size == 2:
        head = struct.pack("!BBH", first, masked | 126, length)
    else:
        head = struct.pack("!BBQ", first, masked | 127, length)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + reason


def ping_request(name="x", length=None):
    """A request that is answered with its own name; padded with blanks to so many bytes."""
    text = json.dumps({"action": "ping", "_pingId": name}, ensure_ascii=False).encode()
    return text if length is None else text + b" " * (length - len(text))


def upgrade_lines(**changes):
    """The header lines of an upgrade request; `None` leaves one out, a list repeats it."""
    lines = {
        "Host": URL.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    lines.update({name.replace("_", "-"): value for name, value in changes.items()})
    out = []
    for name, value in lines.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        out += [f"{name}: {value}" for value in values]
    return out


def request_bytes(start="GET / HTTP/1.1", **changes):
    return ("\r\n".join([start, *upgrade_lines(**changes)]) + "\r\n\r\n").encode()


class Connection:
    def __init__(self):
        self.socket = socket.create_connection((URL.hostname, URL.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if URL.scheme == "wss":
            context = ssl.create_default_context(cafile=CA)
            context.set_alpn_protocols(["http/1.1"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        try:
            self.socket.sendall(b"".join(frames))
        except OSError:
            pass  # Whoever is refused may find the connection gone while it still speaks.

    def send_slowly(self, data):
        for byte in data:
            self.send(bytes([byte]))

    def more(self):
        """Reads on; False at the end of the stream."""
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise Failed(f"nothing within {self.socket.gettimeout()} s") from None
        except (ConnectionError, ssl.SSLError):
            data = b""
        self.unread += data
        return bool(data)

    def take(self, count):
        while len(self.unread) < count:
            check(self.more(), f"the stream ends within a frame: {self.unread!r}")
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def head(self):
        """Status and headers of an HTTP answer, names in lower case."""
        while b"\r\n\r\n" not in self.unread:
            check(self.more(), f"the stream ends within a head: {self.unread!r}")
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("ascii").split("\r\n")
        check(first.startswith("HTTP/1."), first)
        pairs = [line.split(":", 1) for line in lines]
        names = [name.lower() for name, _ in pairs]
        headers = {name.lower(): value.strip() for name, value in pairs}
        headers["names"] = names
        return int(first.split()[1]), headers

    def read_frame(self):
        """Opcode and payload of the server's next frame, which must be as RFC 6455 wants it."""
        first, second = self.take(2)
        opcode, length = first & 0x0F, second & 0x7F
        check(first & 0x70 == 0, "5.2: a reserved bit is set by the server")
        check(second & 0x80 == 0, "5.1: the server masks a frame")
        check(opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), f"opcode {opcode}")
        check(first & 0x80, "the server fragments, though it never needs to")
        if length == 126:
            (length,) = struct.unpack("!H", self.take(2))
            check(length > 125, "5.2: a length is not minimal")
        elif length == 127:
            (length,) = struct.unpack("!Q", self.take(8))
            check(65535 < length < 1 << 63, "5.2: a length is not minimal")
        check(opcode < 8 or length <= 125, "5.5: a control frame is too long")
        payload = self.take(length)
        if opcode == TEXT:
            payload.decode("utf-8")
        if opcode == CLOSE and length:
            check(length >= 2, "5.5.1: one byte is no close code")
            payload[2:].decode("utf-8")
        return opcode, payload

    def answer(self):
        """The next message as JSON."""
        opcode, payload = self.read_frame()
        check(opcode == TEXT, f"opcode {opcode} with {payload!r} instead of an answer")
        return json.loads(payload)

    def echoes(self, name="x"):
        answer = self.answer()
        check(answer.get("type") == "pong" and answer.get("_pingId") == name, f"{answer}")

    def pong(self, payload):
        got = self.read_frame()
        check(got == (PONG, payload), f"{got} instead of a pong with {payload!r}")

    def frames(self, count):
        """So many frames, in whatever order: a pong may overtake an answer (5.5.2, "as soon as is
        practical")."""
        return [self.read_frame() for _ in range(count)]

    def serves_on(self):
        """The connection lives: a request is answered."""
        self.send(frame(TEXT, ping_request("on")))
        self.echoes("on")

    def closes(self, *codes):
        """The next frame is a close with one of these codes, and the last; then the server ends
        the stream without being told to. `None`: without a code."""
        opcode, payload = self.read_frame()
        check(opcode == CLOSE, f"opcode {opcode} with {payload!r} instead of a close")
        code = struct.unpack("!H", payload[:2])[0] if payload else None
        check(code in codes, f"closed with {code}, not {codes}")
        self.ends()
        return payload[2:]

    def closes_in_the_end(self, *codes, never=b""):
        """The same, whatever comes before the close; but nothing that holds this."""
        while True:
            opcode, payload = self.read_frame()
            check(not never or never not in payload, f"{payload!r}")
            if opcode == CLOSE:
                check(struct.unpack("!H", payload[:2])[0] in codes, f"closed with {payload!r}")
                return self.ends()

    def ends(self):
        while not self.unread and self.more():
            pass
        check(not self.unread, f"more behind the close: {self.unread!r}")


def connected():
    """A connection behind its upgrade."""
    connection = Connection()
    connection.send(request_bytes())
    status, _ = connection.head()
    check(status == 101, f"upgrade refused with {status}")
    return connection
