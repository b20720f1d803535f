"""The demo's second part: access is asked for, given and taken; a seat is lent for two weeks and returns by itself.

Takes: a running demo.  Gives: one row for each step, with what became of it and the mails it sent.  Fails: DemoError.

People act as people do: the form and the links over HTTP, mails over SMTP, codes out of the mail that came. Agents act
by the command line; the clock is moved by `postdesk tick`.
"""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from email.message import EmailMessage
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from models.access.views import list_requests, list_seats
from models.db.engine import reading
from models.views.ledger import count_ledger
from postdesk import demo_mails as mails
from postdesk.demo import DemoError, decided, newest_to, send, sent_mails, wait_until
from postdesk.wiring import Desk

LOAN = timedelta(days=13)  # from the first day to the last: two weeks
# Each lands well within its day, also where a day has 23 or 25 hours.
TO_THE_FIRST_DAY, TO_THE_REMINDER, TO_THE_END = "25h", "12d", "3d"
_CODE = re.compile(r"(http://\S+)\s+([2-9A-Z]{6})\s")
ANSWER_SECONDS, SETTLE_SECONDS = 30, 15

_HELD = "held_waiting"  # agents hear of held mail by the clock, whatever the story is about
Sent = tuple[str, str, str]  # mail, to whom (a key of demo_mails), language
AGENTS_ASKED: tuple[Sent, ...] = (("access_desk_notice", "anna", "sv"), ("access_desk_notice", "jon", "sv"))


class Browser:
    """What a person's browser does: keep cookies, say where a form comes from, follow a redirect."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )

    def get(self, url: str) -> str:
        return self._ask(urllib.request.Request(url))

    def post(self, url: str, form: dict[str, str]) -> str:
        """The page that the form leads to. Raises DemoError where the portal does not take it."""
        return self._ask(
            urllib.request.Request(
                url, urlencode(form).encode(), {"Origin": self._url, "Sec-Fetch-Site": "same-origin"}
            )
        )

    def _ask(self, request: urllib.request.Request) -> str:
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise DemoError(f"the portal answered {error.code} to {request.get_method()} {request.selector}") from None


@dataclass(kw_only=True)
class Stage:
    """The running demo, and the rows of the steps so far."""

    desk: Desk
    folder: Path
    tell: Callable[[str], None]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def step(
        self,
        told: str,
        who: mails.Person | None,
        act: Callable[[], object],
        request: str,
        seats: str,
        *expected: Sent,
    ) -> None:
        """Do it, wait until it is settled, write down what became of it. `act` gives "mail" where it sends us one."""
        before, ledger = len(sent_mails(self.desk)), self._decided()
        self.tell(f"  → {told}")
        accepted = 1 if act() == "mail" else 0
        wait_until(lambda: decided(self.desk, ledger + accepted), told, self.folder)
        wished = ((request, seats), sorted(expected))
        until = time.monotonic() + SETTLE_SECONDS  # the scheduler and a tick may share the work
        while (found := self._outcome(before)) != wished and time.monotonic() < until:
            time.sleep(0.1)
        (request_became, seats_became), sent = found
        self.rows.append(
            {
                "step": told,
                "who": who.name if who else "the clock",
                "request": request_became,
                "seats": seats_became,
                "mails": _told(sent),
                "as_told": found == wished,
            }
        )

    def _outcome(self, before: int) -> tuple[tuple[str, str], list[Sent]]:
        """What became of it, and which mails left after the first `before`."""
        return self._states(), sorted(sent for sent in map(_sent, sent_mails(self.desk)[before:]) if sent[0] != _HELD)

    def _decided(self) -> int:
        with reading(self.desk.engine) as session:
            return sum(count_ledger(session).values())

    def _states(self) -> tuple[str, str]:
        """Of the newest request, and of the seats that it is about: the regular's and its own."""
        with reading(self.desk.engine) as session:
            request = max(list_requests(session), key=lambda one: one.id, default=None)
            if request is None:
                return "", ""
            seats = list_seats(session, request.customer, history=True) if request.seat else []
        own = next((seat for seat in seats if seat.id == request.seat), None)
        regular = next((seat for seat in seats if own and seat.id == own.stands_in_for), None)
        held = [f"{_key(seat.address)} {seat.state.value}" for seat in (regular, own) if seat]
        return request.state.value, ", ".join(held)

    def newest(self, person: mails.Person, name: str) -> EmailMessage:
        found = wait_until(lambda: newest_to(self.desk, person.address, name), f"{name} to {person.name}", self.folder)
        assert found is not None
        return found

    def enter_code(self, person: mails.Person, name: str) -> str:
        """Open the link of a mail in a browser that knows nothing yet, and type the code that stands below it."""
        part = self.newest(person, name).get_body(("plain",))
        found = _CODE.search(part.get_content() if part else "")
        if found is None:
            raise DemoError(f"{name} to {person.name} holds no link with a code")
        browser = Browser(self.desk.portal_url)
        browser.get(found[1])
        return browser.post(found[1], {"code": found[2]})

    def command(self, *words: str) -> None:
        """A command of an agent at the keyboard."""
        line = [sys.executable, "-m", "postdesk", "--config", str(self.desk.config), *words]
        with (self.folder / "postdesk.log").open("ab") as log:
            status = subprocess.run(line, stdout=log, stderr=log, check=False).returncode
        if status:
            raise DemoError(f"postdesk {' '.join(words)}: status {status}; the log is {self.folder / 'postdesk.log'}")

    def prove(self, applicant: mails.Person, *asked: Sent) -> None:
        """The applicant shows that the address is his own; then the agents are asked, and who else is `asked`."""
        act = partial(self.enter_code, applicant, "access_proof")
        self.step("opens the mailed link, types the code", applicant, act, "waiting", "", *asked, *AGENTS_ASKED)

    def approve(self, agent: mails.Person, invited: Sent, seats: str) -> None:
        """An agent approves the newest request; its invitation leaves with the next tick, so one is given."""

        def act() -> None:
            with reading(self.desk.engine) as session:
                newest = max(one.id for one in list_requests(session))
            self.command("access", "approve", str(newest), "--as", agent.address)
            self.command("tick")

        self.step("approves: access approve", agent, act, "invited", seats, invited)


def play(desk: Desk, folder: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """A new superuser, and a replacement that starts and ends by itself; one row a step, in order."""
    stage = Stage(desk=desk, folder=folder, tell=tell)
    _new_superuser(stage)
    _replacement(stage)
    return stage.rows


def _new_superuser(stage: Stage) -> None:
    ivy, url = mails.IVY, stage.desk.portal_url

    def ask() -> None:
        Browser(url).post(f"{url}/request-access", mails.access_form(ivy))

    stage.step("asks for access by the form", ivy, ask, "unproved", "", ("access_proof", "ivy", "en"))
    stage.prove(ivy)
    stage.approve(mails.ANNA, ("invitation", "ivy", "en"), "ivy reserved")

    def accept() -> None:
        page = stage.enter_code(ivy, "invitation")
        if ivy.address not in page:  # the page of those who are signed in
            raise DemoError("the invitation did not sign in who accepted it")

    stage.step(
        "accepts: the link, the code",
        ivy,
        accept,
        "accepted",
        "ivy active",
        *(("seat_changed", key, "en") for key in ("grace", "tom", "ivy")),
    )


def _replacement(stage: Stage) -> None:
    maria, lucia = mails.MARIA, mails.LUCIA
    first = first_day(stage.desk)

    def ask() -> str:
        wish = mails.asks_to_replace(maria, lucia, first, first + LOAN, at=stage.desk.now())
        send(stage.desk, wish)
        return "mail"

    stage.step(
        "asks by mail to stand in for Lucía for two weeks",
        maria,
        ask,
        "waiting",  # her mail is signed: it proves her address
        "",
        ("command_answer", "maria", "en"),
        *(("access_agree", key, "es") for key in ("lucia", "marcos")),
        *AGENTS_ASKED,
    )
    stage.approve(mails.ANNA, ("invitation", "maria", "es"), "lucia active, maria reserved")
    told = tuple(("seat_changed", key, "es") for key in ("lucia", "maria", "marcos"))
    stage.step(
        "accepts: the link, the code",
        maria,
        lambda: stage.enter_code(maria, "invitation"),
        "accepted",
        "lucia active, maria planned",
        *told,
    )
    reminded = (("seat_returns_soon", "lucia", "es"), ("seat_returns_soon", "maria", "es"))
    for step, what, seats, sent in (
        (TO_THE_FIRST_DAY, "the first day comes", "lucia resting, maria active", told),
        (TO_THE_REMINDER, "two days before the end", "lucia resting, maria active", reminded),
        (TO_THE_END, "the last day is over", "lucia active, maria ended", told),
    ):
        stage.step(f"{what}: tick {step}", None, partial(stage.command, "tick", step), "accepted", seats, *sent)


def first_day(desk: Desk) -> date:
    """Tomorrow, where the customer is."""
    zone = next(one.zone for one in mails.CUSTOMERS if mails.LUCIA in one.superusers)
    return desk.now().astimezone(ZoneInfo(zone)).date() + timedelta(days=1)


def _sent(message: EmailMessage) -> Sent:
    return (
        str(message["X-Postdesk-Mail"]),
        _key(str(message["Delivered-To"])),
        str(message["Content-Language"]),
    )


def _told(sent: list[Sent]) -> str:
    """One line for each mail: to whom, in which language."""
    to: dict[tuple[str, str], list[str]] = {}
    for mail, person, language in sent:
        to.setdefault((mail, language), []).append(person)
    return "; ".join(f"{mail} ({language}) to {', '.join(people)}" for (mail, language), people in to.items())


def _key(address: str) -> str:
    return next((person.key for person in mails.PEOPLE if person.address == address), address)
