"""Errors over the wire: one tree, one table, and what the daemon raises comes back as what it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from acestep import errors
from acestep.console.command import CODES
from plugin_bridge import Bridge
from plugin_bridge import errors as bridge_errors
from plugin_bridge.client import Connection
from plugin_bridge.web.routes import STATUS as HTTP_STATUS
from protos import reasons
from protos.acestep.v1 import acestep_pb2 as pb
from server.cli.remote import Remote
from server.daemon import Daemon
from tests.support.daemons import StandIn, running, settings

ALL = errors.all_errors()
OF_THE_TREE = [cls for cls in ALL if cls.__module__ == "acestep.errors"]


class Failing(StandIn):
    """Every job of it fails with `error`."""

    error: Exception = RuntimeError("none yet")

    def produce(self, *arguments: Any, **more: Any) -> Any:
        raise self.error


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Failing]]:
    engine = Failing()
    with running(settings(tmp_path_factory.mktemp("daemon")), engine) as daemon:
        yield daemon, engine


def test_every_error_has_its_place_in_every_table() -> None:
    reasons_there_are = {cls.reason for cls in OF_THE_TREE}
    assert set(reasons.STATUS) == reasons_there_are
    assert set(HTTP_STATUS) == reasons_there_are
    assert set(CODES) <= reasons_there_are


def test_every_status_of_grpc_itself_becomes_an_error() -> None:
    codes = set(grpc.StatusCode) - {grpc.StatusCode.OK}
    assert set(reasons._OF_GRPC) == codes
    assert set(reasons._OF_GRPC.values()) <= set(reasons.STATUS)


def test_bridges_have_the_daemons_own_errors_and_all_of_them() -> None:
    assert bridge_errors.BridgeError is errors.AceStepError
    for cls in OF_THE_TREE[1:]:
        assert getattr(bridge_errors, cls.__name__) is cls
        assert cls.__name__ in bridge_errors.__all__


@pytest.mark.parametrize("cls", OF_THE_TREE, ids=lambda cls: cls.reason)
def test_a_reason_stands_for_one_class_and_carries_message_and_job(cls: type[errors.AceStepError]) -> None:
    error = errors.error_of(cls.reason, "what was wrong", "j-1")
    assert type(error) is cls
    assert (error.reason, error.message, error.job, str(error)) == (
        cls.reason,
        "what was wrong",
        "j-1",
        "what was wrong",
    )


def test_a_reason_of_a_newer_daemon_keeps_its_name() -> None:
    assert errors.error_of("solar_flare", "x").reason == "solar_flare"


@pytest.mark.parametrize("cls", OF_THE_TREE, ids=lambda cls: cls.reason)
def test_what_a_job_raises_in_the_daemon_is_raised_again_by_every_client(
    cls: type[errors.AceStepError], failing: tuple[Daemon, Failing]
) -> None:
    daemon, engine = failing
    engine.error = cls("a sentence – with ünusual letters")
    wanted = errors.Cancelled if cls is errors.Cancelled else cls
    address = f"127.0.0.1:{daemon.grpc.port}"
    with Bridge(address, home=daemon.config.home) as bridge, pytest.raises(wanted) as from_bridge:
        bridge.generate("p").clips()
    remote = Remote(Connection(bridge.target))
    with pytest.raises(wanted) as from_command:
        list(remote.generate(pb.GenerateRequest(prompt="p")))
    remote.close()
    for raised in (from_bridge.value, from_command.value):
        assert type(raised) is cls
        assert raised.job in {job.id for job in daemon.queue.jobs()}
        if cls is not errors.Cancelled:  # the daemon says that in its own words
            assert str(raised) == str(engine.error)


def test_a_client_finds_the_daemon_of_the_home_it_is_given(tmp_path: Path) -> None:
    with (
        running(settings(tmp_path / "a"), StandIn()) as one,
        running(settings(tmp_path / "b"), StandIn()) as two,
    ):
        for daemon in (one, two):
            with Bridge(home=daemon.config.home) as bridge:
                assert bridge.status().home == str(daemon.config.home)
