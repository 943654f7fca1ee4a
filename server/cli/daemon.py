"""`acestep status`, `stop`, `jobs` and `cancel`: the running daemon, and what is true when none runs."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.clips.wording import count
from acestep.console.command import one_line
from acestep.console.usage import Commands
from acestep.errors import InvalidRequest, StorageError, Unavailable
from server.config import Config

if TYPE_CHECKING:
    from protos.acestep.v1 import acestep_pb2 as pb
    from server.cli.remote import Remote

STOP_S = 20.0  # a daemon that has not ended by then is stuck
CONNECTION = ("home", "host", "grpc_port")
NO_DAEMON = "no daemon runs here: start it with `acestep serve`"


def add_commands(commands: Commands) -> None:
    """The four commands with their flags."""
    from server.cli.config_flags import add_config

    status = commands.add_parser("status", help="whether a daemon runs, and what it does (exit code 1: none)")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(run=_status)
    stop = commands.add_parser("stop", help="stop the daemon; a job that is nearly done may end")
    stop.set_defaults(run=_stop)
    jobs = commands.add_parser("jobs", help="list the newest jobs")
    jobs.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default 20)")
    jobs.add_argument("--json", action="store_true", help="print JSON")
    jobs.set_defaults(run=_jobs)
    cancel = commands.add_parser("cancel", help="cancel a job")
    cancel.add_argument("job", metavar="JOB", help="its id, as `acestep jobs` prints it")
    cancel.set_defaults(run=_cancel)
    for command in (status, stop, jobs, cancel):
        add_config(command, (*CONNECTION, *(("samples",) if command is status else ())))


def _found(arguments: argparse.Namespace) -> "tuple[Config, Remote | None]":
    from server.cli.config_flags import config_of
    from server.cli.remote import Remote

    config, flags = config_of(arguments)
    return config, Remote.find(config, flags)


def _status(arguments: argparse.Namespace) -> int:
    config, remote = _found(arguments)
    status = remote.status() if remote else None
    if arguments.json:
        from google.protobuf.json_format import MessageToDict

        told = (
            MessageToDict(status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            if status
            else {"samples_folder": str(config.samples), "home": str(config.home)}
        )
        print(json.dumps({"running": status is not None, **told}, indent=1, ensure_ascii=False))
    elif status is None:
        print(NO_DAEMON)
        print(f"clips     {config.samples}\nhome      {config.home}")
    else:
        names = ", ".join(status.running_jobs)
        running = f"{names} {'run' if len(status.running_jobs) > 1 else 'runs'}, " if names else ""
        loaded = "loaded" if status.loaded else "not loaded yet"
        print(f"daemon    {status.version}, for {_duration(status.uptime_s)}")
        print(f"ports     gRPC {status.grpc_port}, OSC {status.osc_port}")
        print(f"cascade   {status.cascade} on {status.device}, {loaded}")
        print(f"jobs      {running}{count(status.queued, 'job')} waiting")
        print(f"memory    {status.memory_bytes / 1e9:.1f} GB")
        print(f"clips     {status.samples_folder}\nhome      {status.home}")
        if status.HasField("cluster"):
            _print_cluster(status.cluster)
    return 0 if status else 1


def _print_cluster(cluster: "pb.Cluster") -> None:
    """The nodes, and what each of their replicas does."""
    print(f"cluster   {cluster.address}, {len(cluster.replicas)} of {cluster.wanted} replicas")
    if cluster.note:
        print(f"          {cluster.note}")
    for node in cluster.nodes:
        print(
            f"node      {node.name} at {node.address}: {count(node.cpus, 'core')}, {count(node.gpus, 'GPU')}"
        )
        for replica in cluster.replicas:
            if replica.node == node.name:
                does = f"makes {replica.job}" if replica.job else replica.state
                print(f"  {replica.name}  {replica.device}, {replica.cascade or 'no cascade yet'}, {does}")


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return count(int(seconds // length), unit)
    return count(int(seconds), "second")


def _stop(arguments: argparse.Namespace) -> int:
    config, remote = _found(arguments)
    if remote is None:
        raise Unavailable("no daemon runs here: there is nothing to stop")
    status = remote.status()
    remote.close()
    process = _process(config)
    if process is None or Path(status.home).resolve() != config.home.resolve():
        raise InvalidRequest(
            f"the daemon that answers has its home in {status.home}: stop it with `acestep stop --home` and "
            "that folder, on its own machine"
        )
    try:
        os.kill(process, signal.SIGTERM)
    except OSError as error:
        raise StorageError(
            f"process {process} cannot be stopped ({error.strerror}): end it yourself"
        ) from None
    deadline = time.monotonic() + STOP_S
    while _runs(process):
        if time.monotonic() > deadline:
            raise Unavailable(f"process {process} has not ended after {STOP_S:g} s: end it yourself")
        time.sleep(0.05)
    print("stopped")
    if status.running_job or status.queued:
        print("what it had not finished is made again by `acestep serve --resume`")
    return 0


def _process(config: Config) -> int | None:
    """The daemon's process as it wrote it down."""
    try:
        return int(json.loads(config.running_file.read_text("utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _runs(process: int) -> bool:
    """Whether the daemon's process has not ended yet."""
    import psutil

    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE  # ended, but not yet looked at
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's
        return True


def _jobs(arguments: argparse.Namespace) -> int:
    from google.protobuf.json_format import MessageToDict

    if not 1 <= arguments.limit <= 1000:
        raise InvalidRequest(f"--limit {arguments.limit} is out of range: expected 1–1000")
    config, remote = _found(arguments)
    found = remote.jobs(arguments.limit) if remote else _left(config, arguments.limit)
    if arguments.json:
        print(json.dumps([MessageToDict(job, preserving_proto_field_name=True) for job in found], indent=1))
        return 0
    if remote is None:
        print(f"{NO_DAEMON}{'; these are the jobs of the last one' if found else ''}", file=sys.stderr)
    elif not found:
        print("no jobs yet: `acestep generate` makes one", file=sys.stderr)
    for job in found:
        detail = job.message if job.reason else count(len(job.clips), "clip") if job.clips else ""
        percent = f"{job.fraction:4.0%}" if job.state == "running" else ""
        prompt = one_line(job.prompt)[:40]
        print(f"{job.id}  {job.state:11} {percent:4} {prompt:40} {one_line(detail)[:80]}".rstrip())
    return 0


def _left(config: Config, limit: int) -> list[Any]:
    """The jobs of a daemon that no longer runs: what it had not finished was interrupted."""
    from server.grpc import wire
    from server.jobs.job import JobState
    from server.jobs.journal import at_rest

    file = config.home / "jobs.sqlite"
    if not file.exists():
        return []
    with at_rest(file) as journal:
        found = [wire.job_to_proto(record) for record in journal.newest(limit)]
    for job in found:
        if not JobState(job.state).ended:
            job.state, job.reason = JobState.INTERRUPTED, "interrupted"
            job.message = "the daemon ended before; `acestep serve --resume` makes it again"
    return found


def _cancel(arguments: argparse.Namespace) -> int:
    _, remote = _found(arguments)
    if remote is None:
        raise Unavailable("no daemon runs here: there is nothing to cancel (start one with `acestep serve`)")
    job = remote.cancel(arguments.job)
    print(f"{job.id}  {'cancelling' if job.state == 'running' else job.state}")
    return 0
