"""Who holds a port, for an error message that helps."""

import contextlib
import errno
import os
import socket
from pathlib import Path

import psutil


def taken_message(what: str, protocol: str, host: str, port: int, error: OSError | None, flag: str) -> str:
    """The text of the error for a port that cannot be had."""
    code = error.errno if error is not None else errno.EADDRINUSE
    if code == errno.EADDRINUSE:
        holder = process_on(protocol, port)
        by = f" by {holder}" if holder else ""
        cause = f"is taken{by}"
    elif code == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        option = "--host" if flag == "--grpc-port" else flag.replace("port", "host")
        return (
            f"{what} cannot listen on {host}: this machine has no such address; name one of its own with "
            f"{option} (127.0.0.1 is always there)"
        )
    elif code == errno.EACCES:
        cause = "needs rights this user has not"
    else:
        cause = f"cannot be used ({error})"
    return (
        f"{what} port {port} on {host} {cause}: stop that program, or choose another port with {flag} N "
        f"(in config.toml: {flag.lstrip('-').replace('-', '_')} = N; 0 takes any free one)"
    )


def check_free(host: str, port: int) -> None:
    """Raises OSError where no program may listen on this TCP port of the address now."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as tried:
            if os.name == "posix":  # as gRPC does: connections that just ended do not hold the port
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            tried.listen(1)


def process_on(protocol: str, port: int) -> str:
    """`name (process 123)` of whoever holds the port, "" where that cannot be told."""
    try:
        held = psutil.net_connections(protocol)
    except psutil.AccessDenied:  # macOS tells it to root alone
        return ""
    for one in held:
        listens = protocol == "udp" or one.status == psutil.CONN_LISTEN
        if listens and one.pid and one.laddr and one.laddr.port == port:
            with contextlib.suppress(psutil.Error):  # another user's process, or one that just ended
                return f"{_name(psutil.Process(one.pid))} (process {one.pid})"
    return ""


def _name(process: psutil.Process) -> str:
    words = [word for word in process.cmdline() if word]
    if not words:
        return process.name()
    name = Path(words[0]).name
    if name.startswith("python") and len(words) > 1:
        rest = words[2] if words[1] in ("-m", "-c") and len(words) > 2 else words[1]
        name += f" {rest if words[1] != '-c' else '-c'}"
    return name[:60]
