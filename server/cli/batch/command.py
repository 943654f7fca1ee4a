"""`acestep batch`: a file of requests to a folder of clips; given again it goes on where it was."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from acestep.clips.wording import count
from acestep.console.command import BAD_INPUT, DONE, FAILED, one_line
from acestep.console.terminal import Bar
from acestep.errors import InvalidRequest

if TYPE_CHECKING:
    from server.cli.batch.lines import Requests
    from server.cli.batch.results import Results

AT_ONCE = 8  # keeps a cluster of a few machines busy, and leaves room in the queue for others
MOST_AT_ONCE = 48  # calls that the daemon allows one address
NAMED_FAILURES = 20  # that are told of one by one; all are in the results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, the folder, and how many at once."""
    parser.add_argument(
        "requests",
        type=Path,
        metavar="FILE.jsonl",
        help='a request on each line: {"prompt": "…", "bpm": 92.5}',
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", required=True, help="where clips and results.jsonl go"
    )
    parser.add_argument(
        "--max-in-flight",
        type=int,
        default=AT_ONCE,
        metavar="N",
        help=f"requests that the daemon has at once, 1–{MOST_AT_ONCE} (default %(default)s); for a cluster "
        "at least two for each replica",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, and no list of failures")


def run(arguments: argparse.Namespace) -> int:
    """Makes what is not made yet; prints where the results are. 1: some failed; 2: no line was a request."""
    from server.cli.batch.flight import Flight
    from server.cli.batch.lines import read_requests
    from server.cli.batch.results import Results
    from server.cli.config_flags import config_of
    from server.cli.remote import Remote

    at_once = arguments.max_in_flight
    if not 1 <= at_once <= MOST_AT_ONCE:
        raise InvalidRequest(f"--max-in-flight {at_once} is out of range: expected 1–{MOST_AT_ONCE}")
    config, flags = config_of(arguments)
    requests = read_requests(arguments.requests)
    with Results(arguments.out.absolute()) as results:
        results.begin(requests)
        bar = Bar(arguments.quiet)
        flight = Flight(lambda: Remote.find(config, flags), results, at_once, bar)
        try:
            flight.run(requests.lines)
        finally:
            bar.close()
            if not arguments.quiet:
                _tell(results, requests)
        print(results.path)
    if not requests.lines:
        return BAD_INPUT
    return FAILED if results.failed else DONE


def _tell(results: "Results", requests: "Requests") -> None:
    """What came of it, to stderr."""
    failed = sorted(results.failed, key=lambda told: int(told["line"]))
    for told in failed[:NAMED_FAILURES]:
        print(f"acestep batch: line {told['line']}: {one_line(told['message'])}", file=sys.stderr)
    if len(failed) > NAMED_FAILURES:
        more = count(len(failed) - NAMED_FAILURES, "more failure")
        print(f"acestep batch: {more}: see {results.path}", file=sys.stderr)
    done = sum(line.id in results.done for line in requests.lines)
    wanted = len(requests.lines) + len(requests.refused)
    again = f", {len(requests.repeated):,} the same as an earlier line" if requests.repeated else ""
    print(f"acestep batch: {done:,} of {wanted:,} done, {len(failed):,} failed{again}", file=sys.stderr)
