"""A whole adapter host, for a broker that makes its prices up: HOST for gateways, BUS for ticks."""

import json, os, random, secrets, time, zmq

MODES, instance = {1: "LTP", 2: "QUOTE", 3: "DEPTH"}, secrets.token_hex(8)
router, bus = (zmq.Context.instance().socket(kind) for kind in (zmq.ROUTER, zmq.PUB))
router.bind(os.environ.get("HOST", "tcp://127.0.0.1:5600"))
bus.connect(os.environ.get("BUS", "tcp://127.0.0.1:5555"))
gateways = {}  # peer -> id of the gateway, and when it was last heard
sessions = {}  # user -> peer, number of the session, topics


def leave(peer):
    """A gateway is gone: whom it has logged in is logged out."""
    gateways.pop(peer)
    for user in [user for user, session in sessions.items() if session[0] == peer]:
        del sessions[user]


def serve(peer, op, user, number, topic):
    """Does what is asked, or nothing if it is done already; says whether there is a session."""
    held = sessions.get(user, (None, 0, set()))
    if op == "connect" and held[:2] != (peer, number):
        sessions[user] = (peer, number, set())  # Log in; log out of an older session first.
    elif op == "disconnect" and held[0] == peer and held[1] <= number:
        del sessions[user]  # Log out.
    elif op not in ("connect", "disconnect"):
        if held[:2] != (peer, number):
            return False
        change = {"subscribe": held[2].add, "unsubscribe": held[2].discard}
        change.get(op, lambda _: held[2].clear())(topic)  # Tell the broker.
    return True


def reply(peer, said):
    """What to answer, if anything."""
    if said["type"] == "hello":
        for old in [p for p, (id, _) in gateways.items() if p == peer or id == said["gateway"]]:
            leave(old)
        gateways[peer] = (said["gateway"], time.monotonic())
        return dict(type="welcome", version=1, name="my-host", instance=instance, n=said["n"])
    if peer in gateways and said["type"] in ("ping", "request"):
        gateways[peer] = (gateways[peer][0], time.monotonic())
        if said["type"] == "ping":
            return dict(type="pong", n=said["n"])
        topic = f"{said.get('exchange')}_{said.get('symbol')}_{MODES.get(said.get('mode'))}"
        good = serve(peer, said["op"], said["user"], said["session"], topic)
        result = dict(status="success") if good else dict(status="error", code="NOT_CONNECTED")
        return dict(type="answer", id=said["id"], **result)


while True:
    while router.poll(100):  # Milliseconds; what takes longer belongs into another thread.
        peer, body = router.recv_multipart()
        if answer := reply(peer, json.loads(body)):
            router.send_multipart([peer, json.dumps(answer).encode()])
    for silent in [peer for peer, (_, heard) in gateways.items() if time.monotonic() - heard > 60]:
        leave(silent)
    for topic in {topic for session in sessions.values() for topic in session[2]}:
        bus.send_multipart([topic.encode(), b'{"ltp":%d}' % random.randint(99, 101)])
