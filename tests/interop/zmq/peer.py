"""A libzmq peer for tests/zmtp_pyzmq.rs. Every socket has ZMTP heartbeats on.

peer.py pub     connect|bind ENDPOINT PACE_MS   publish numbered ticks until killed
peer.py sub     connect|bind ENDPOINT TOPICS    subscribe to TOPICS topics, check what comes
peer.py dealer  connect|bind ENDPOINT ROUNDS    ask and compare the answers
peer.py router  connect|bind ENDPOINT           answer until killed
peer.py xpub    connect|bind ENDPOINT TOPICS    be asked for TOPICS topics, then for half of them
"""

import sys
import time

import zmq

PATIENCE_MS = 30_000
SPELLINGS = [
    b"NSE_RELIANCE_LTP",
    b"NSE_INDEX_NIFTY_QUOTE",
    b"CRYPTO_SOL_INR_LTP",
    b"zerodha_NSE_M&M_DEPTH",
    b"NSE_TCS:50_3",
    b"ZERODHA_alice_orders",
]


def open_socket(context, kind, verb, endpoint):
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 1_000)
    socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
    socket.setsockopt(zmq.SNDTIMEO, PATIENCE_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 100)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 1_000)
    socket.setsockopt(zmq.HEARTBEAT_TTL, 2_000)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.MAXMSGSIZE, 1 << 20)
    # libzmq drops even its own subscriptions above its mark.
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    getattr(socket, verb)(endpoint)
    return socket


def publish(socket, pace_ms):
    number = 0
    while True:
        payload = b'{"n":%d,"ltp":2850.50}' % number
        if number % 50 == 49:
            payload += b" " * (300_000 - len(payload))
        socket.send_multipart([SPELLINGS[number % len(SPELLINGS)], payload])
        number += 1
        time.sleep(int(pace_ms) / 1_000)


def subscribe(socket, topics):
    topics = int(topics)
    for number in range(topics):
        socket.setsockopt(zmq.SUBSCRIBE, b"NSE_%05d_LTP" % number)
    expected = [b"NSE_%05d_LTP" % number for number in range(0, topics, 7)]
    for topic in expected:
        received = socket.recv_multipart()
        assert received == [topic, b"payload of " + topic], (received, topic)
    large = socket.recv_multipart()
    assert large == [b"NSE_00000_LTP", b"x" * 300_000], (large[0], len(large[1]))
    for number in range(topics // 2, topics):
        socket.setsockopt(zmq.UNSUBSCRIBE, b"NSE_%05d_LTP" % number)
    received = socket.recv_multipart()
    assert received == [b"NSE_00001_LTP", b"last"], received


def ask(socket, rounds):
    for number in range(int(rounds)):
        question = [b"", b"ask %d" % number, b"x" * (number * 20)]
        socket.send_multipart(question)
        answer = socket.recv_multipart()
        assert answer == question, (answer, question)
        if number % 50 == 49:
            time.sleep(0.3)


def answer(socket):
    while True:
        try:
            socket.send_multipart(socket.recv_multipart())
        except zmq.Again:
            pass


def be_asked(socket, topics):
    topics = int(topics)
    wanted, most = set(), 0
    while most < topics or len(wanted) > topics // 2:
        asked = socket.recv()
        if asked[:1] == b"\x01":
            assert asked[1:] not in wanted, asked
            wanted.add(asked[1:])
        else:
            wanted.remove(asked[1:])
        most = max(most, len(wanted))
    assert most == topics, most
    assert wanted == {b"NSE_%05d_" % number for number in range(topics // 2)}, len(wanted)
    for number in range(topics):
        socket.send_multipart([b"NSE_%05d_QUOTE" % number, b"{}"])
    socket.send_multipart([b"NSE_00000_LTP", b"last"])


def main():
    kind, verb, endpoint, *rest = sys.argv[1:]
    sockets = {
        "pub": (zmq.PUB, publish),
        "sub": (zmq.SUB, subscribe),
        "dealer": (zmq.DEALER, ask),
        "router": (zmq.ROUTER, answer),
        "xpub": (zmq.XPUB, be_asked),
    }
    number, work = sockets[kind]
    context = zmq.Context()
    socket = open_socket(context, number, verb, endpoint)
    if kind == "dealer":
        socket.setsockopt(zmq.IDENTITY, b"host-7")
    work(socket, *rest)
    socket.close()
    context.term()
    print("done", flush=True)


main()
