"""Logs: one JSON line an event, no control character, no secret."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from postdesk import log

Lines = Callable[[], str]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Gives what was logged so far."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.configure("test", stream=stream)
    yield stream.getvalue
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def test_an_event_is_one_line_with_role_and_mail(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(mail="01abc"):
        structlog.get_logger().info("delivered", state="held")
    event = json.loads(lines())
    assert (event["event"], event["role"], event["mail"], event["state"]) == ("delivered", "test", "01abc", "held")


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u200b"])
def test_a_control_character_never_reaches_the_log(lines: Lines, character: str) -> None:
    structlog.get_logger().info(f"a{character}b", subject=f"x{character}y")
    logging.getLogger("elsewhere").warning("from a %s library", f"p{character}q")
    out = lines()
    assert out.count("\n") == 2
    assert character not in out.replace("\n", "")
    assert json.loads(out.splitlines()[0])["subject"] == f"x{character}y"


@pytest.mark.parametrize(
    "event",
    [
        {"password": "CANARY"},
        {"api_key": "CANARY"},
        {"settings": {"token": ["CANARY"]}},
        {"url": "postgresql://desk:CANARY@host/desk"},
        {"smarthost": "smtp://desk:CANARY@relay:587"},
        {"forward_path": "support+t1042.CANARY@nordvik.test"},
        {"reverse_path": "bounce+17.CANARY@nordvik.test"},
        {"link": "https://desk.nordvik.test/invitation?token=CANARY"},
    ],
)
def test_a_secret_never_reaches_the_log(lines: Lines, event: dict[str, object]) -> None:
    structlog.get_logger().warning("seen", **event)
    try:
        raise ValueError(" ".join(str(value) for value in event.values() if isinstance(value, str)))
    except ValueError:
        structlog.get_logger().exception("failed", mail="01abc")
    out = lines()
    assert "***" in out
    if not {"password", "api_key"} & event.keys():
        assert "CANARY" not in out
    else:
        assert "CANARY" not in out.splitlines()[0]


def test_a_broken_character_does_no_harm(lines: Lines) -> None:
    structlog.get_logger().info("half a pair \ud800")
    assert json.loads(lines())["role"] == "test"


def test_what_is_said_again_and_again_is_counted(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, log.SparingHandler))
    monkeypatch.setattr(handler, "_clock", lambda: now[0])
    library = logging.getLogger("asyncio")

    def all_of_them() -> None:
        for number in range(1000):
            structlog.get_logger().error("spool-fault", peer=f"192.0.2.{number}")
            library.error(f"socket.accept() out of system resource, fd={number}")
            structlog.get_logger().info("accepted", id=number)

    all_of_them()
    now[0] += 61
    all_of_them()
    events = [json.loads(line) for line in lines().splitlines()]
    faults = [event for event in events if event["event"] == "spool-fault"]
    accepts = [event for event in events if "accept()" in event["event"]]
    assert len(faults) == len(accepts) == 2 * log.A_MINUTE
    assert [event.get("left_out") for event in faults if "left_out" in event] == [1000 - log.A_MINUTE]
    assert [event.get("left_out") for event in accepts if "left_out" in event] == [1000 - log.A_MINUTE]
    assert sum(event["event"] == "accepted" for event in events) == 2000
