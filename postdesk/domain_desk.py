"""A domain is registered or moved, and the mails that waited for it are decided again.

Takes: the desk's pipeline, the domain, the customer.  Gives: what became, or would become, of each waiting mail.
Fails: Refused where the domain can't be registered; nothing is changed then.
"""

from collections.abc import Callable
from typing import Any

from sqlmodel import Session

from ingest.pipeline_parts import Pipeline
from ingest.release import decision_now, judge_again, read_held
from models.db.engine import reading, retrying, transaction
from models.desk.audit import append
from models.people.customer import add_domain
from models.people.domains import move_domain, waiting_for
from values.mail import ParsedMail

Row = dict[str, Any]
Change = Callable[[Session], object]


def add(
    desk: Pipeline, domain: str, customer: int, *, by: str, subdomains: bool = False, dry_run: bool = False
) -> list[Row]:
    """The waiting mails that the new domain concerns: {"id", "author", "subject", "was", "state", "reason", "ticket"}.

    `state` and `reason` are what became of each; with `dry_run`, what would, and nothing is changed.
    """

    def change(session: Session) -> None:
        add_domain(session, customer, domain, subdomains=subdomains)

    return _change(desk, domain, change, by=by, what="domain.add", subdomains=subdomains, dry_run=dry_run)


def move(desk: Pipeline, domain: str, customer: int, *, by: str, dry_run: bool = False) -> list[Row]:
    """As `add`, for a domain that led to another customer."""

    def change(session: Session) -> None:
        move_domain(session, domain, customer)

    return _change(desk, domain, change, by=by, what="domain.move", subdomains=True, dry_run=dry_run)


def _change(
    desk: Pipeline, domain: str, change: Change, *, by: str, what: str, subdomains: bool, dry_run: bool
) -> list[Row]:
    with reading(desk.engine) as session:
        waiting = waiting_for(session, domain, subdomains=subdomains)
    if dry_run:
        return _would(desk, change, waiting)

    def write() -> None:
        with transaction(desk.engine) as session:
            change(session)
            append(session, desk.now(), who=by, what=what, subject=f"domain:{domain}", via="command")

    retrying(write)
    return [_became(desk, row, by) for row in waiting]


def _became(desk: Pipeline, row: Row, by: str) -> Row:
    receipt = judge_again(desk, row["id"], by)
    told = {"was": row["reason"], "state": "held", "ticket": None}
    if receipt is not None:
        told |= {"state": receipt.state.value, "ticket": receipt.ticket}
    return {key: row[key] for key in ("id", "author", "subject")} | told


class _DryRun(Exception):
    """Takes the transaction back."""


def _would(desk: Pipeline, change: Change, waiting: list[Row]) -> list[Row]:
    mails = [(row, mail) for row in waiting if (mail := read_held(desk, row["id"])) is not None]
    found: list[Row] = []
    try:
        with transaction(desk.engine, snapshot=True) as session:
            change(session)
            found = [_would_become(desk, session, row, mail) for row, mail in mails]
            raise _DryRun
    except _DryRun:
        return found


def _would_become(desk: Pipeline, session: Session, row: Row, mail: ParsedMail) -> Row:
    decision = decision_now(desk, session, mail, desk.now())
    told = {"was": row["reason"], "state": decision.state.value, "ticket": decision.ticket}
    return {key: row[key] for key in ("id", "author", "subject")} | told | {"reason": decision.reason.value}
