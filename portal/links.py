"""Links of our mails: looking changes nothing, a person's POST uses one up (threats T32, T33; RFC 9110 §9.2.1).

What a mail scanner can do with a link is look at its page, run scripts there (there are none) and press the button: it
has neither the code, which a person types, nor the cookie of the browser that asked.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request

from models.sessions.link import OneUseLink, count_attempt, find_link, use_link
from portal.parts import parts_of
from portal.session import asking_of
from rules.links import (
    CODE_CHARS,
    Closed,
    Verdict,
    closed_why,
    is_minted,
    judge_code,
    judge_redeeming,
    link_id,
    plain_code,
)
from values.vocabulary import LinkPurpose

T = TypeVar("T")


class LinkClosed(HTTPException):
    """A link of ours that is good no more: who holds its token or asked for it is told why (RFC 9110 §15.5.11)."""

    def __init__(self, why: Closed, purpose: LinkPurpose, address: str) -> None:
        super().__init__(410)
        self.why, self.purpose, self.address = why, purpose, address


def gone() -> HTTPException:
    """The same answer for every link that we never made."""
    return HTTPException(404)


def closed(link: OneUseLink, why: Closed = Closed.ENDED) -> LinkClosed:
    """What this link was for is over."""
    return LinkClosed(why, link.purpose, link.address)


def look(request: Request, session: Session, token: str, purpose: LinkPurpose, now: datetime) -> OneUseLink:
    """The link behind a token, to show its page. Raises `gone` or `LinkClosed`. Changes nothing."""
    link = find_link(session, link_id(token))
    if link is None or not is_minted(parts_of(request).keys, token, purpose, link):
        raise gone()
    if why := closed_why(link, now):
        raise closed(link, why)
    return link


def needs_code(request: Request, link: OneUseLink) -> bool:
    """Is this not the browser that asked for the link? Then the mailed code is needed."""
    asking = asking_of(request)
    return not (asking.known and link.nonce_hash is not None and asking.nonce_hash == link.nonce_hash)


def redeem(
    request: Request, token: str, purpose: LinkPurpose, code: str, act: Callable[[Session, OneUseLink, datetime], T]
) -> T | Verdict:
    """Use the link up and do what it is for, in one transaction; PROVE where the code is missing or wrong.

    Raises `gone` where we never made the link, `LinkClosed` where it is good no more.
    """
    parts, asking = parts_of(request), asking_of(request)
    now = parts.now()

    def once(session: Session) -> T | Verdict:
        link = look(request, session, token, purpose, now)
        verdict = judge_redeeming(
            parts.keys,
            token,
            purpose,
            link,
            now,
            code=code,
            nonce_hash=asking.nonce_hash if asking.known else None,
        )
        return _settle(session, link, verdict, code, now, act)

    return parts.write(once)


def redeem_code(
    request: Request, purpose: LinkPurpose, code: str, act: Callable[[Session, OneUseLink, datetime], T]
) -> T | Verdict:
    """As `redeem`, for the code alone: only in the browser that asked for the link, whose cookie names it."""
    parts, asking = parts_of(request), asking_of(request)
    now = parts.now()

    def once(session: Session) -> T | Verdict:
        link = find_link(session, asking.link)
        # Else a cookie with a guessed number would let anybody try codes on anybody's link.
        if link is None or link.purpose is not purpose or link.nonce_hash != asking.nonce_hash:
            return Verdict.PROVE
        if why := closed_why(link, now):
            raise closed(link, why)
        return _settle(session, link, judge_code(parts.keys, purpose, link, now, code=code), code, now, act)

    return parts.write(once)


def _settle(
    session: Session,
    link: OneUseLink | None,
    verdict: Verdict,
    code: str,
    now: datetime,
    act: Callable[[Session, OneUseLink, datetime], T],
) -> T | Verdict:
    if link is None or link.id is None or verdict is Verdict.GONE:
        raise gone()
    if verdict is Verdict.PROVE:
        # What is no code at all, as form-filling robots type, must not use up a person's tries.
        if len(plain_code(code)) == CODE_CHARS:
            count_attempt(session, link.id)
        return Verdict.PROVE
    if not use_link(session, link.id, now):  # somebody was quicker
        raise closed(link, Closed.USED)
    return act(session, link, now)
