"""A portal on a real socket, the people of two customers, and browsers that keep cookies and follow nothing."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa

from models.access.facts import gather_access
from models.access.request import ACCESS_REQUEST, perform
from models.blobs.store import open_blobs
from models.db.engine import transaction
from models.inbound.held import HELD
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX
from models.people.agent import add_agent
from models.people.customer import SEAT, add_contact, add_customer, add_domain, give_seat
from models.record import record
from models.sessions.link import ONE_USE_LINK
from models.sessions.web_session import WEB_SESSION
from models.tickets.ticket import ARTICLE, TICKET
from portal.app import make_app
from portal.parts import Parts
from portal.serve import serve
from rules import access
from rules.links import PATHS, Minted, mint_link
from tests.builders import KEYS, NOW, POLICY
from tests.desk import free_port, wait_until
from tests.models.made import a_mail, holding
from values.vocabulary import LinkPurpose, Reason

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
EASY = replace(POLICY, asks_per_client_per_hour=10_000, requests_per_address_per_hour=10_000, requests_per_hour=10_000)


class Clock:
    """The desk's time, moved by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **step: float) -> None:
        self.now += timedelta(**step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    cookies: list[str]  # Set-Cookie, whole
    body: str

    @property
    def to(self) -> str:
        return self.headers.get("location", "")


@dataclass(slots=True)
class Browser:
    """Sends what a browser sends, keeps cookies, and follows a redirect only when told."""

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=lambda: {"Accept-Language": "en"})
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, form: dict[str, str] | bytes | None = None, **more: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        headers = {**self.headers, **{name.replace("_", "-"): value for name, value in more.items() if value}}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = urlencode(form).encode() if isinstance(form, dict) else form
        if form is not None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None or method == "POST":
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read().decode()
        set_cookies = response.headers.get_all("Set-Cookie") or []
        for line in set_cookies:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        found = {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        return Answer(status=response.status, headers=found, cookies=set_cookies, body=text)

    def get(self, path: str, **more: str) -> Answer:
        return self.ask("GET", path, None, **more)

    def post(self, path: str, form: dict[str, str] | bytes | None = None, **more: str) -> Answer:
        return self.ask("POST", path, form if form is not None else {}, **{"Sec-Fetch-Site": "same-origin", **more})


@dataclass(slots=True)
class Site:
    """A running portal and its database."""

    engine: sa.Engine
    clock: Clock
    parts: Parts
    host: str
    port: int
    acme: int = 0
    bolt: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def browser(self, **headers: str) -> Browser:
        return Browser(self.host, self.port, {"Accept-Language": "en"} | headers)

    # -- what the mail would carry

    def minted(self, address: str, purpose: LinkPurpose) -> Minted:
        """Link and code of the newest mail of this kind to the address."""
        newest = sa.select(ONE_USE_LINK).where(ONE_USE_LINK.c.address == address, ONE_USE_LINK.c.purpose == purpose)
        with self.engine.connect() as connection:
            row = connection.execute(newest.order_by(ONE_USE_LINK.c.id.desc()).limit(1)).one()
        return mint_link(KEYS, purpose, row.id, row.seed)

    def link(self, address: str, purpose: LinkPurpose) -> str:
        return PATHS[purpose] + self.minted(address, purpose).token

    def code(self, address: str, purpose: LinkPurpose) -> str:
        return self.minted(address, purpose).code

    # -- what people do

    def sign_in(self, address: str, browser: Browser | None = None) -> Browser:
        browser = browser or self.browser()
        assert browser.post("/", {"address": address}).status == 303
        answer = browser.post(self.link(address, LinkPurpose.SIGN_IN))
        assert answer.status == 303, answer.body
        return browser

    def ask_access(self, address: str, browser: Browser | None = None, **form: str) -> Browser:
        browser = browser or self.browser()
        typed = {"name": "Maria Gil", "address": address, "company": "Acme", "language": "en", "kind": "new"} | form
        answer = browser.post("/request-access", typed)
        assert answer.status == 303, answer.body
        return browser

    def waiting(self, address: str, **form: str) -> int:
        """A request with a proved address; its number."""
        browser = self.ask_access(address, **form)
        assert browser.post(self.link(address, LinkPurpose.PROOF)).status == 200
        return int(self.scalar(sa.select(sa.func.max(ACCESS_REQUEST.c.id))))

    def invite(self, request: int) -> None:
        """What the job does."""
        now = self.clock()
        with transaction(self.engine, snapshot=True) as session:
            ruling = access.invite(gather_access(session, now, request=request), POLICY, now)
            perform(session, ruling.actions, ruling.notices, now, who="desk", via="job")

    def hold_mail(self, customer: int, author: str, subject: str = "Question", text: str = "Hello") -> str:
        """A colleague's mail that waits; its id."""
        id = f"held-{self.count(HELD)}"
        decision = replace(holding(customer=customer), reason=Reason.COLLEAGUE_WITHOUT_SEAT)
        with transaction(self.engine, snapshot=True) as session:
            record(session, a_mail(id, author=author, subject=subject, text=text), decision, self.clock())
        return id

    # -- what lies in the rows

    def scalar(self, statement: sa.Select[Any]) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(statement).scalar()

    def count(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        return int(self.scalar(sa.select(sa.func.count()).select_from(table).where(*where)))

    def sessions(self) -> int:
        return self.count(WEB_SESSION, WEB_SESSION.c.revoked_at.is_(None))

    def states(self, customer: int) -> list[str]:
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(SEAT.c.state).where(SEAT.c.customer == customer).order_by(SEAT.c.id))
            return [row.state.value for row in rows]

    def snapshot(self) -> dict[str, list[Any]]:
        """Every row of every table that a page could change."""
        tables = (ONE_USE_LINK, WEB_SESSION, ACCESS_REQUEST, SEAT, OUTBOX, HELD, TICKET, ARTICLE, LEDGER)
        with self.engine.connect() as connection:
            return {t.name: [tuple(row) for row in connection.execute(sa.select(t).order_by(t.c.id))] for t in tables}


@contextmanager
def running(engine: sa.Engine, **more: Any) -> Iterator[Site]:
    """A portal for this database until the block ends."""
    clock, stop, bound = Clock(), threading.Event(), []
    port = free_port()
    options = {"policy": EASY, "url": f"http://127.0.0.1:{port}"} | more
    proxies = options.pop("proxies", ())
    parts = Parts(engine=engine, keys=KEYS, now=clock, **({"blobs": open_blobs("memory:")} | options))
    thread = threading.Thread(
        target=serve, args=(make_app(parts), "127.0.0.1", port, stop),
        kwargs={"proxies": proxies, "announce": bound.append}, daemon=True,
    )  # fmt: skip
    thread.start()
    wait_until(lambda: bound, "the portal")
    site = Site(engine, clock, parts, "127.0.0.1", port)
    try:
        yield site
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive(), "the portal did not stop"


def settle(site: Site) -> None:
    """Acme (acme.test, Madrid): Lucía and Ben hold both seats of three. Bolt (bolt.test): Bo. Agents: Ana, Ida."""
    with transaction(site.engine) as session:
        site.acme = add_customer(session, "Acme", NOW, language="en", zone="Europe/Madrid", seats=3).id or 0
        site.bolt = add_customer(session, "Bolt", NOW, language="en", zone="Europe/Stockholm", seats=2).id or 0
        add_domain(session, site.acme, "acme.test")
        add_domain(session, site.bolt, "bolt.test")
        people = (("lucia@acme.test", "Lucía Ibarra", site.acme), ("ben@acme.test", "Ben Ode", site.acme))
        for address, name, customer in (*people, ("bo@bolt.test", "Bo Ek", site.bolt)):
            contact = add_contact(session, address, NOW, customer=customer, name=name)
            give_seat(session, contact.id or 0, customer, NOW)
        add_agent(session, "ana@nordvik.test", "Ana Berg", NOW, zone="Europe/Stockholm")
        add_agent(session, "ida@nordvik.test", "Ida Lund", NOW)


class Checked(HTMLParser):
    """Finds what would keep somebody from using a page: no label, no language, no title, two things with one id."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.labels: set[str] = set()
        self.inputs: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.wrong: list[str] = []
        self.language = ""
        self.tags: list[str] = []
        self.links: list[str] = []
        self._wrapped = 0
        self.feed(body)
        for one in self.inputs:
            if one.get("type") != "hidden" and one.get("id") not in self.labels and not one.get("wrapped"):
                self.wrong.append(f"no label: {one}")
        self.wrong += [f"id twice: {one}" for one in set(self.ids) if self.ids.count(one) > 1]
        self.wrong += [f"refers to nothing: {one}" for one in self.refers if one not in self.ids]
        self.wrong += [] if self.language else ["no language"]
        self.wrong += [
            f"{self.tags.count(tag)} <{tag}>" for tag in ("h1", "main", "title") if self.tags.count(tag) != 1
        ]
        self.wrong += [f"<{tag}>" for tag in ("script", "style") if tag in self.tags]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found["href"] or ""] if tag == "a" else []
        self.refers += (found.get("aria-describedby") or "").split() + (found.get("aria-labelledby") or "").split()
        self.refers += [found["href"][1:]] if tag == "a" and (found.get("href") or "").startswith("#") else []  # type: ignore[index]
        self.wrong += [f"inline {name} on <{tag}>" for name in found if name.startswith("on") or name == "style"]
        if tag == "html":
            self.language = found.get("lang") or ""
        if tag == "label":
            self.labels.add(found.get("for") or "")
            self._wrapped += 1
        if tag in ("input", "select", "textarea"):
            self.inputs.append(found | ({"wrapped": "yes"} if self._wrapped else {}))
        if tag == "img" and "alt" not in found:
            self.wrong.append("no alt")

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._wrapped -= 1
