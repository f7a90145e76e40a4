"""The command line, the log and the signals."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import zmq

from .adapter import Adapter
from .host import Host, Options
from .installation import Installation, Unusable, bus_address

LOG = logging.getLogger("adapter_host")


def main() -> None:
    """Runs the host, and ends the process with 0, or with 2 if it cannot start."""
    arguments = _parser().parse_args()
    _start_log(arguments.log_level)
    try:
        code = _serve(arguments)
    except (Unusable, zmq.ZMQError) as error:
        print(error, file=sys.stderr)
        code = 2
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of adapters that do not end would keep the process for ever.
    os._exit(code)


def _serve(arguments: argparse.Namespace) -> int:
    installation = Installation(arguments.openalgo.resolve())
    broker = arguments.broker
    options = Options(
        bind=arguments.bind,
        name=f"{broker}-host",
        users_max=arguments.users_max,
        gateway_silence=arguments.gateway_silence,
        abandon_after=arguments.abandon_after,
        lost_after=arguments.lost_after,
        stop_timeout=arguments.stop_timeout,
    )
    host = Host(
        options,
        lambda user: Adapter(installation.create_adapter, broker, user),
        lambda user: installation.forget_pool(broker, user),
    )
    try:
        host.bind()
    except zmq.ZMQError as error:
        raise Unusable(f"--bind {options.bind}: {error}") from error
    ask_to_stop(host)
    print(f"{broker} on {options.bind}, ticks to {bus_address()}", flush=True)
    host.serve()
    LOG.info("ended")
    return 0


def ask_to_stop(host: Host) -> None:
    """SIGTERM and SIGINT stop the host; the second one ends the process at once."""
    asked = False

    def handler(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            os._exit(1)
        asked = True
        host.stop()

    # After OpenAlgo's modules were imported: some set handlers of their own.
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def _start_log(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(level.upper())
    # OpenAlgo sets up the root logger; each line of ours is written once.
    LOG.propagate = False


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="openalgo-adapter-host",
        description="Lets a tickgate gateway use the broker adapters of an OpenAlgo installation. "
        "Run it with the Python of that installation; it needs pyzmq, which OpenAlgo has.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--openalgo", type=Path, default=Path("."), metavar="PATH", help="the installation")
    add("--broker", required=True, metavar="NAME", help="the broker, by OpenAlgo's name of it")
    add("--bind", default=defaults.bind, metavar="ENDPOINT", help="where gateways connect")
    add("--users-max", type=_count, default=defaults.users_max, metavar="N",
        help="users with a session at a time")  # fmt: skip
    for name, text in (
        ("gateway_silence", "silence of a gateway after which its sessions are closed"),
        ("abandon_after", "how long a call of an adapter may hang before its session is given up"),
        ("lost_after", "how long an adapter may be disconnected before its session is lost"),
        ("stop_timeout", "how long closing the sessions may take at the end"),
    ):
        flag = "--" + name.replace("_", "-")
        default = getattr(defaults, name)
        add(flag, type=_seconds, default=default, metavar="SECONDS", help=text)
    levels = ("debug", "info", "warning", "error")
    add("--log-level", choices=levels, default="info", help="what is logged to stderr")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 86_400:
        raise argparse.ArgumentTypeError("expected 0.1 to 86400")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError("expected 1 to 10000")
    return value
