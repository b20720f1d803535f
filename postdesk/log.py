"""Logs of every role: JSON lines on stderr, one id a mail (`mail`), no secret, no control character.

Takes: events of structlog and of stdlib logging (our libraries).  Gives: one line each.  Fails: never.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
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
    handler = logging.StreamHandler(stream or sys.stderr)
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
