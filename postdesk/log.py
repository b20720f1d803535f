"""Logs of every role: JSON lines on stderr, one id a mail (`mail`), no secret, no control character.

Takes: events of structlog and of stdlib logging (our libraries).  Gives: one line each; of warnings and errors of one
kind the first few of a minute, and then how many there were.  Fails: never.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TextIO

import structlog

SECRET_NAMES = re.compile(r"passw|secret|token|authorization|cookie|api_?key|signing|private", re.I)
# The secret parts of our own addresses and URLs: reply and return-path tokens, passwords of a URL, links with a code.
SECRET_TEXT = (
    (re.compile(r"(?<![a-z0-9])(t\d{1,10}\.)[a-z2-7]{28}(?![a-z0-9])", re.I), r"\1***"),
    (re.compile(r"(\+[a-z]?\d{1,18}\.)[\w.-]{6,64}(?=@)", re.I), r"\1***"),
    (re.compile(r"(bounce\+[\w-]{1,30}\.)[\w.-]{6,64}(?=@)", re.I), r"\1***"),
    (re.compile(r"(\w{2,20}://[^\s:/@]{0,100}:)[^\s/@]{1,200}(?=@)"), r"\1***"),
    (re.compile(r"([?&#](?:token|code|key|t)=)[^\s&]{1,300}", re.I), r"\1***"),
)
MAYBE_SECRET = re.compile(r"t\d|[+?&#]|://", re.I)  # nothing of SECRET_TEXT is in a text without one of these
MINUTE = 60.0  # seconds
A_MINUTE = 10  # warnings and errors of one kind that are written in full
# What JSON leaves alone and a terminal or a log reader does not: DEL, C1, bidi controls, line and paragraph separators.
UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def configure(role: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr) as JSON lines that name `role`."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = SparingHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, _line],
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("mail", "asyncio", "alembic", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(role=role)


def masked(value: object) -> object:
    """The same with *** in place of each secret part of a text: reply and return-path codes, links, passwords."""
    return _redacted("", value)


class SparingHandler(logging.StreamHandler[TextIO]):
    """Writes A_MINUTE warnings and errors of one kind in a minute. The next one after that minute tells in `left_out`
    how many more there were: whatever a client or a full disk can bring about again and again does not fill a disk.

    A kind is our name of an event, or the line of a library that logs: never a text that may have come from outside.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._kinds: dict[tuple[object, ...], tuple[float, int]] = {}  # when its minute began, how many came in it

    def emit(self, record: logging.LogRecord) -> None:
        """Called under the lock of the handler."""
        if record.levelno < logging.WARNING:  # one for each mail: what it tells is asked for
            super().emit(record)
            return
        event = record.msg.get("event") if isinstance(record.msg, dict) else None
        kind = (record.name, event) if event is not None else (record.name, record.pathname, record.lineno)
        now = self._clock()
        began, count = self._kinds.get(kind, (now, 0))
        if now - began < MINUTE:
            self._kinds[kind] = (began, count + 1)
            if count < A_MINUTE:
                super().emit(record)
            return
        self._kinds[kind] = (now, 1)
        if count > A_MINUTE:
            _say(record, left_out=count - A_MINUTE)
        super().emit(record)


def _say(record: logging.LogRecord, left_out: int) -> None:
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "left_out": left_out}
    else:
        record.left_out = left_out


def redact(logger: object, name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """The event with *** in place of each secret."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: str, value: object) -> object:
    if _names_secret(key):
        return "***"
    if isinstance(value, str):
        for pattern, instead in SECRET_TEXT if MAYBE_SECRET.search(value) else ():
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, Mapping):
        return {str(each): _redacted(str(each), inner) for each, inner in value.items()}
    if isinstance(value, tuple):  # stays one: templates take no list
        return tuple(_redacted(key, inner) for inner in value)
    if isinstance(value, list):
        return [_redacted(key, inner) for inner in value]
    return value


@lru_cache(1024)
def _names_secret(key: str) -> bool:
    return SECRET_NAMES.search(key) is not None


def _line(logger: object, name: str, event: structlog.types.EventDict) -> str:
    text = json.dumps(event, ensure_ascii=False, default=lambda value: _redacted("", str(value)))
    return UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
