"""What the desk would do with a raw mail, as one JSON object, each in a child that a limit may kill.

Takes: paths of raw mails and how to look facts up (not at all, or in a database, read only).
Gives: one object a mail, in order.  Fails: never because of a mail.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ingest.limited_child import Limits, each_killable
from ingest.mime.content import HashOnly
from ingest.mime.parse import parse
from ingest.spool.rawfile import spooled_from
from models.db.engine import reading
from models.facts import gather
from rules.clues import look_for
from rules.commands import read_command
from rules.decide import decide
from rules.fields import read_fields
from rules.policy import Policy
from rules.ticket_commands import TicketOrder, read_ticket_command
from rules.tokens import Keys
from values.decision import Clues, Decision, Facts
from values.mail import AttachmentRef, ParsedMail, SpooledMail
from values.vocabulary import Belief, Reason, Source

HASHED_AT_MOST = 1024**3  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """A raw mail to explain, and the name to show for it."""

    path: Path
    shown: str


def _commands(mail: ParsedMail) -> list[str]:
    """What the mail orders by its words; whether it may is in the trace."""
    ordered, asked = read_command(mail.text), read_ticket_command(mail.text, mail.author)
    found = [ordered.command.value] if ordered else []
    return [*found, asked.command.value] if isinstance(asked, TicketOrder) else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """The stages between the file and the decision, put together by postdesk/commands/explain.py."""

    read: Callable[[SpooledMail], ParsedMail]
    look_for: Callable[[ParsedMail], Clues]
    gather: Callable[[Clues], Facts]
    decide: Callable[[ParsedMail, Facts], Decision]
    fields: Callable[[ParsedMail], dict[str, str | None]]
    commands: Callable[[ParsedMail], list[str]]


def explainer_of(policy: Policy, keys: Keys, now: datetime, engine: sa.Engine | None = None) -> Explainer:
    """The stages of the pipeline, looking facts up in `engine` (read only) or nowhere, and recording nothing."""

    def facts(clues: Clues) -> Facts:
        if engine is None:
            return Facts(clues=clues)
        with reading(engine) as session:
            return gather(session, clues, now)

    return Explainer(
        read=lambda spooled: parse(spooled, HashOnly()),
        look_for=lambda mail: look_for(mail, policy, keys),
        gather=facts,
        decide=lambda mail, found: decide(mail, found, policy, now),
        fields=lambda mail: asdict(read_fields(mail.text)),
        commands=_commands,
    )


def explain_all(files: Sequence[RawFile], explainer: Explainer, limits: Limits) -> Iterator[dict[str, Any]]:
    """One object for each file, in order."""
    return each_killable(files, lambda file: explain(file, explainer), _killed, limits)


def explain(file: RawFile, explainer: Explainer) -> dict[str, Any]:
    """The object of one file, whatever it holds."""
    try:
        spooled = spooled_from(file.path, Source.SMTP)  # an archive would be decided in silence
    except OSError as error:
        return {**_blank(file), "defects": [f"unreadable-file: {error.strerror}"]}
    mail = explainer.read(spooled)
    decision = explainer.decide(mail, explainer.gather(explainer.look_for(mail)))
    return {
        **_blank(file),
        "sha256": mail.sha256,
        "size": mail.size,
        **_header(mail),
        **_body(mail),
        "fields": explainer.fields(mail),
        "commands": explainer.commands(mail),
        "auth": {
            "spf": mail.auth.spf,
            "dkim": mail.auth.dkim,
            "dmarc": mail.auth.dmarc,
            "believed": mail.auth.belief is Belief.BELIEVED,
        },
        "defects": list(mail.defects) + ([mail.over_limit] if mail.over_limit else []),
        "decision": _decision(decision),
        "trace": list(decision.trace),
    }


def _header(mail: ParsedMail) -> dict[str, Any]:
    return {
        "author": mail.author.address.lower() if mail.author else None,
        "author_name": mail.author.name if mail.author else None,
        "author_verdict": mail.author_verdict,
        "subject": mail.subject,
        "date": mail.date.astimezone(UTC).isoformat().replace("+00:00", "Z") if mail.date else None,
        "message_id": mail.message_id,
        "in_reply_to": list(mail.in_reply_to),
        "references": list(mail.references),
        "kind": mail.kind,
    }


def _body(mail: ParsedMail) -> dict[str, Any]:
    report = mail.report
    return {
        "report": {
            "recipients": [asdict(recipient) for recipient in report.recipients],
            "original_message_id": report.original_message_id,
        }
        if report
        else None,
        "text": mail.text,
        "full_text": mail.full_text,
        "attachments": [attachment(each) for each in mail.attachments],
    }


def attachment(ref: AttachmentRef) -> dict[str, Any]:
    """An attachment as programs read it."""
    return {
        "name": ref.name,
        "type": ref.type,
        "size": ref.size,
        "sha256": ref.sha256,
        "inline": ref.inline,
        "content_id": ref.content_id,
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "reason": decision.reason,
        "actions": [_kebab(type(action).__name__) for action in decision.actions],
        "notices": [notice.mail for notice in decision.notices],
    }


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _killed(file: RawFile, why: str) -> dict[str, Any]:
    """The object of a mail that cost more than a worker may spend: a running desk would hold it as poison."""
    known: dict[str, Any] = {}
    try:
        if file.path.is_file() and file.path.stat().st_size <= HASHED_AT_MOST:  # no device, no pipe: they may never end
            spooled = spooled_from(file.path)
            known = {"sha256": spooled.sha256, "size": spooled.size}
    except OSError:
        pass
    return {
        **_blank(file),
        **known,
        "defects": [f"limit-{why}"],
        "decision": {"reason": Reason.POISON, "actions": ["hold"], "notices": []},
        "trace": [f"worker: ended by its {why} limit" if why != "crash" else "worker: failed"],
    }


def _blank(file: RawFile) -> dict[str, Any]:
    """Every field of the contract with nothing known yet; unknown values are null, never missing."""
    return {
        "file": file.shown,
        "sha256": None,
        "size": None,
        "author": None,
        "author_name": None,
        "author_verdict": "missing",
        "subject": None,
        "date": None,
        "message_id": None,
        "in_reply_to": [],
        "references": [],
        "kind": None,
        "report": None,
        "text": None,
        "full_text": None,
        "attachments": [],
        "fields": {"product": None, "erp": None, "erp_version": None, "product_version": None},
        "commands": [],
        "auth": {"spf": "none", "dkim": "none", "dmarc": "none", "believed": False},
        "defects": [],
        "decision": {"reason": None, "actions": [], "notices": []},
        "trace": [],
    }
