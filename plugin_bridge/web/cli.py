"""`acestep web`: serves the page, and starts a daemon if none runs.

Gradio is imported only after the flags were read.
"""

import argparse
import contextlib
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from acestep.console.command import port, run
from acestep.console.usage import Parser
from plugin_bridge.web.options import add_daemon, certificate, lacks

PORT = 7960
NEEDED = ("gradio", "uvicorn", "wsproto", "mcp", "jsonschema")


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until Ctrl-C. 0: ended well, 1: could not serve, 2: bad flags."""
    return run("acestep web", lambda: _web(_parser().parse_args(argv)))


def _web(arguments: argparse.Namespace) -> int:
    if lacks("acestep web: the page", NEEDED):
        return 1
    from plugin_bridge.web.guard import origin
    from plugin_bridge.web.keys import check_tls

    check_tls(str(arguments.certificate or ""), str(arguments.private_key or ""))
    arguments.daemon_certificate = certificate(arguments)
    arguments.allow_origin = [origin(url) for url in arguments.allow_origin]
    listener = _listen(arguments.host, arguments.port)
    if listener is None:
        return 1
    with contextlib.closing(listener):
        return _serve(arguments, listener)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="acestep web", description="The page in the browser: generate, listen, keep, train.")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default 127.0.0.1)")
    parser.add_argument(
        "--port", type=port, default=PORT, help=f"port to serve on, default {PORT}; 0: a free one"
    )
    add_daemon(parser)
    parser.add_argument("--samples", type=Path, metavar="DIR", help="samples folder of a daemon started here")
    parser.add_argument("--osc-port", type=port, default=None, help="OSC port of a daemon started here")
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="a web page elsewhere that may use the REST API, with the token (repeatable)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="serve by https with this certificate"
    )
    parser.add_argument("--private-key", type=Path, metavar="FILE", help="the certificate's key")
    return parser


def _listen(host: str, port: int) -> socket.socket | None:
    """Bound before anything is loaded, so that a taken port is told at once."""
    listener = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        if listener is not None:
            listener.close()
        why = error.strerror or error
        print(f"{host}:{port} cannot be served ({why}): choose another with --port", file=sys.stderr)
        return None
    listener.listen(128)
    return listener


def _serve(arguments: argparse.Namespace, listener: socket.socket) -> int:
    from acestep.home import home
    from plugin_bridge.calls import Target

    # before what takes seconds to load
    target = Target.find(arguments.daemon, certificate=arguments.daemon_certificate)
    import uvicorn

    from plugin_bridge.web.app import create_app
    from plugin_bridge.web.daemon import OwnDaemon
    from plugin_bridge.web.guard import LOOPBACK_NAMES, is_loopback
    from plugin_bridge.web.keys import TOKEN_FILE, read_or_create_token

    own = OwnDaemon(_daemon_arguments(arguments, target.address))
    runs = not target.is_local or _answers(target.address)
    if not runs and not arguments.no_start:
        print(f"no daemon at {target.address}: starting one, which ends with this page", file=sys.stderr)
        own.start()
    elif runs and (unused := _unused(arguments)):
        print(
            f"a daemon runs at {target.address} already: {unused} would only count for one that this page "
            "starts; to have it, stop that daemon first (`acestep stop`)",
            file=sys.stderr,
        )
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    token, ticket = read_or_create_token(home() / TOKEN_FILE), secrets.token_urlsafe(24)
    hosts = (*LOOPBACK_NAMES, arguments.host) if is_loopback(arguments.host) else None
    scheme = "https" if arguments.certificate else "http"
    served = listener.getsockname()[1]
    shown = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    address = f"{scheme}://{shown}:{served}/?token="
    app = create_app(
        address=target.address,
        hosts=hosts,
        token=token,
        ticket=ticket,
        own=own,
        origins=arguments.allow_origin,
        certificate=arguments.daemon_certificate,
    )
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws="wsproto",
        timeout_graceful_shutdown=2,
        ssl_certfile=arguments.certificate or None,
        ssl_keyfile=arguments.private_key or None,
    )
    print(f"the page is at {address}{token}", flush=True)
    if hosts is None and scheme == "http":
        print("it is served without encryption: others on the network can read along", file=sys.stderr)
    if arguments.open:
        webbrowser.open(address + ticket)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        own.stop()
    return 0


def _daemon_arguments(arguments: argparse.Namespace, address: str) -> list[str]:
    given = ["--grpc-port", address.rpartition(":")[2]]
    if arguments.samples:
        given += ["--samples", str(arguments.samples.absolute())]
    if arguments.osc_port is not None:
        given += ["--osc-port", str(arguments.osc_port)]
    return given


def _unused(arguments: argparse.Namespace) -> str:
    """The given flags that are for a daemon of the page's own."""
    given = {"--samples": arguments.samples, "--osc-port": arguments.osc_port}
    return " and ".join(name for name, value in given.items() if value is not None)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return True  # a Unix socket or the like: left to whoever made it
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except OSError:
        return False
