"""Tags by OSC: with them, a sender knows which of its requests was accepted or refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.daemon import Daemon
from tests.support.daemons import Osc, StandIn, running, settings


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(settings(tmp_path), StandIn()) as found:
        yield found


@pytest.fixture
def osc(daemon: Daemon) -> Iterator[Osc]:
    with Osc(daemon.osc.port) as client:
        yield client


def prompt_of(daemon: Daemon, job: str) -> str:
    return daemon.queue.get(job).request.prompt


def test_a_sender_knows_by_the_tags_which_request_is_which_job(osc: Osc, daemon: Daemon) -> None:
    for name in ("one", "two", "three"):
        osc.send("generate", name, "bars", 2, "tag", f"tag of {name}")
    for _ in range(3):
        job, tag = osc.until("accepted", "error")[1]
        assert tag == f"tag of {prompt_of(daemon, job)}"


def test_a_refusal_names_the_request_it_is_about(osc: Osc) -> None:
    osc.send("generate", "good", "tag", "a")
    osc.send("generate", "bad", "bars", -3, "tag", "b")
    answers = [osc.until("accepted", "error")[1] for _ in range(2)]
    refused = next(values for values in answers if len(values) == 4)
    assert (refused[0], refused[2:]) == ("invalid_request", ["", "b"])


def test_a_request_of_an_odd_number_of_values_is_refused_with_its_tag(osc: Osc) -> None:
    osc.send("generate", "p", "tag", "a", "bars")
    reason, message, _, tag = osc.until("error")[1]
    assert (reason, tag) == ("invalid_request", "a")
    assert "pairs" in message


def test_senders_that_give_no_tag_get_the_messages_they_always_got(osc: Osc) -> None:
    osc.send("generate", "p")
    assert len(osc.until("accepted")[1]) == 1
    osc.send("generate", "p", "bars", -3)
    assert len(osc.until("error")[1]) == 3
    osc.send("generate", "p", "tag", "")
    assert len(osc.until("accepted")[1]) == 1


def test_a_tag_is_told_to_its_sender_and_to_the_ports_that_this_one_subscribed(
    osc: Osc, daemon: Daemon
) -> None:
    with Osc(daemon.osc.port) as listens, Osc(daemon.osc.port) as somebody_else:
        osc.send("subscribe", listens.port)
        somebody_else.send("subscribe")
        somebody_else.waiting()
        osc.send("generate", "p", "tag", "a")
        job, tag = osc.until("accepted")[1]
        assert tag == "a"
        assert listens.until("accepted")[1] == [job, "a"]
        assert somebody_else.until("accepted")[1] == [job]
        osc.send("generate", "p", "bars", -3, "tag", "b")
        assert osc.until("error")[1][3:] == ["b"]
        assert listens.until("error")[1][3:] == ["b"]
        assert somebody_else.until("error")[1][3:] == []


def test_a_tag_is_for_one_request_only_and_no_setting(osc: Osc, daemon: Daemon) -> None:
    osc.send("generate", "p", "tag", "a")
    assert osc.until("accepted")[1][1] == "a"
    osc.send("generate", "p")
    assert len(osc.until("accepted")[1]) == 1
    osc.send("status")
    assert "tag" not in osc.until("state")[1][0].partition('"settings"')[2].partition("}")[0]


@pytest.mark.parametrize("tag", ["x" * 81, 7, 1.5])
def test_a_tag_that_is_no_short_text_is_refused(tag: object, osc: Osc) -> None:
    osc.send("generate", "p", "tag", tag)
    reason, message, job = osc.until("error")[1]
    assert (reason, job) == ("invalid_request", "")
    assert "at most 80 characters" in message


def test_a_job_that_is_refused_by_the_queue_leaves_no_tag_behind(osc: Osc, daemon: Daemon) -> None:
    daemon.queue.limit = 0
    osc.send("generate", "p", "tag", "a")
    assert osc.until("error")[1][0::3] == ["busy", "a"]
    assert not daemon.osc._listeners._tags
