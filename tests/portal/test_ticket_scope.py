"""Whose tickets are whose: every route about tickets, asked by everybody who can be signed in (threats T49, T51)."""

from dataclasses import dataclass
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from models.db.engine import transaction
from models.people.customer import SEAT, end_seat
from models.tickets.ticket import ARTICLE, ATTACHMENT, TICKET, join_ticket, pass_tickets
from portal.app import GET, POST
from tests.portal.site import Browser, Site
from tests.portal.ticket_site import ANA, BEN, BO, JOE, LUCIA, PAT, PNG, a_ticket, add, kept, more_people, send
from values.actor import Actor
from values.vocabulary import ArticleKind, Door, LinkPurpose, ParticipantRole, SeatState

# Who sees which of the tickets of `settled`. `acme`: Lucía's, with Joe in copy. `own`: Joe's, of Acme. `bolt`: Bo's.
SEES = {
    LUCIA: {"acme", "own"},
    BEN: {"acme", "own"},  # holds a seat, takes part in none
    JOE: {"acme", "own"},  # holds none, takes part in both
    PAT: {"acme", "own", "quiet"},  # his partner serves Acme
    BO: {"bolt"},
    ANA: set(),  # an agent has pages of his own
    "": set(),  # nobody signed in
}
SEES[LUCIA] |= {"quiet"}
SEES[BEN] |= {"quiet"}
COMPANY = {LUCIA, BEN, PAT, BO}  # who has the list of a company


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    numbers: dict[str, int]
    files: dict[str, int]


@pytest.fixture
def settled(site: Site) -> Settled:
    """`quiet`: Lucía's own, in which Joe has no part."""
    more_people(site)
    file = kept(site, "x.png", "image/png", PNG)
    numbers = {
        "acme": a_ticket(site, "Secret-acme", cc=(JOE,), files=(file,)),
        "own": a_ticket(site, "Secret-own", by=JOE, files=(file,)),
        "quiet": a_ticket(site, "Secret-quiet", files=(file,)),
        "bolt": a_ticket(site, "Secret-bolt", by=BO, customer=site.bolt, files=(file,)),
    }
    with site.engine.connect() as connection:
        ids = connection.execute(sa.select(ATTACHMENT.c.id).order_by(ATTACHMENT.c.id)).scalars().all()
    files = dict(zip(numbers, ids, strict=True))
    for number in numbers.values():
        add(site, number, ArticleKind.NOTE, "NOTE-SECRET")
    return Settled(numbers=numbers, files=files)


def signed_in(site: Site, who: str) -> Browser:
    return site.sign_in(who) if who else site.browser()


def rows(site: Site) -> tuple[object, ...]:
    with site.engine.connect() as connection:
        return tuple(connection.execute(sa.select(table)).all().__repr__() for table in (TICKET, ARTICLE, ATTACHMENT))


@pytest.mark.parametrize("who", SEES)
def test_T49_every_route_as_everybody(site: Site, settled: Settled, who: str) -> None:
    browser, unknown = signed_in(site, who), ""
    for name, number in settled.numbers.items():
        may = name in SEES[who]
        page = browser.get(f"/tickets/{number}")
        assert (f"Secret-{name}" in page.body, "NOTE-SECRET" in page.body) == (may, False), name
        for path in (
            f"/tickets/{number}/files/{settled.files[name]}",
            f"/tickets/{number}/pictures/{settled.files[name]}",
        ):
            assert (browser.ask("HEAD", path).status == 200) == may, path
        if not may and who:
            unknown = unknown or browser.get("/tickets/999999").body
            assert (page.status, page.body) == (404, unknown), name  # as one that was never there
        before = rows(site)
        answers = [
            send(browser, f"/tickets/{number}", {"text": "Hello"}),
            send(browser, f"/tickets/{number}", {"text": "Hello"}, ("a.txt", "text/plain", b"a")),
            browser.post(f"/tickets/{number}/close"),
            browser.post(f"/tickets/{number}/reopen"),
        ]
        if may:
            assert [one.status for one in answers] == [303] * 4 and rows(site) != before
        else:
            assert {one.status for one in answers} <= ({404} if who else {403, 404}) and rows(site) == before, name


@pytest.mark.parametrize("who", SEES)
def test_T49_lists_and_searches_show_what_is_theirs(site: Site, settled: Settled, who: str) -> None:
    browser = signed_in(site, who)
    for path in (
        "/tickets?status=all", "/tickets?q=Secret&status=all", "/tickets?view=company&status=all",
        f"/tickets?view=company&customer={site.acme}&status=all",
        f"/tickets?view=company&customer={site.bolt}&q=Secret",
        *(f"/tickets?q={number}" for number in settled.numbers.values()),
        *(f"/tickets?view=company&q={number}" for number in settled.numbers.values()),
    ):  # fmt: skip
        body = browser.get(path).body
        for name in settled.numbers:
            if name not in SEES[who]:
                assert f"Secret-{name}" not in body, path
    mine = browser.get("/tickets").body
    shown = {name for name in settled.numbers if f"Secret-{name}" in mine}
    assert shown == {LUCIA: {"acme", "quiet"}, JOE: {"acme", "own"}, BO: {"bolt"}}.get(who, set())
    company = browser.get("/tickets?view=company").body
    assert ("Company tickets" in company) == (who in COMPANY)


@pytest.mark.parametrize("who", [JOE, ANA, BO, ""])
def test_a_new_ticket_of_another_customer(site: Site, settled: Settled, who: str) -> None:
    browser, before = signed_in(site, who), rows(site)
    form = {"subject": "x", "text": "x", "customer": str(site.acme)}
    assert send(browser, "/tickets/new", form).status in (403, 404, 422)
    assert f">{'Acme'}<" not in browser.get("/tickets/new").body and rows(site) == before


def test_the_matrix_knows_every_route_about_tickets() -> None:
    about = {path for path in (*GET, *POST) if path.startswith("/tickets")}
    asked = {"/tickets", "/tickets/new", "/tickets/{number}", "/tickets/{number}/files/{id}"}
    assert about == asked | {"/tickets/{number}/pictures/{id}", "/tickets/{number}/{what}"}


def test_T51_what_is_seen_ends_with_the_seat(site: Site, settled: Settled) -> None:
    ben = site.sign_in(BEN)
    assert ben.get(f"/tickets/{settled.numbers['acme']}").status == 200
    contact = site.scalar(sa.select(SEAT.c.id).order_by(SEAT.c.id).offset(1).limit(1))
    with transaction(site.engine) as session:
        end_seat(session, int(contact), site.clock())
    path = f"/tickets/{settled.numbers['acme']}"
    assert [ben.get(one).to for one in ("/tickets", path)] == [
        f"/?next={quote(one, safe='')}" for one in ("/tickets", path)
    ]
    assert send(ben, f"/tickets/{settled.numbers['acme']}", {"text": "x"}).status == 403


def test_who_lent_the_seat_sees_his_own_and_who_was_passed_on_sees_none(site: Site, settled: Settled) -> None:
    lucia = site.sign_in(LUCIA)
    with site.engine.begin() as connection:
        first = connection.execute(sa.select(SEAT.c.id, SEAT.c.contact).order_by(SEAT.c.id)).first()
        connection.execute(sa.update(SEAT).where(SEAT.c.id == first.id).values(state=SeatState.RESTING, slot=None))
    assert "Secret-acme" in lucia.get("/tickets").body and "Company" not in lucia.get("/tickets?view=company").body
    assert lucia.get(f"/tickets/{settled.numbers['own']}").status == 404
    with transaction(site.engine) as session:
        number = settled.numbers["quiet"]
        join_ticket(session, number, JOE, ParticipantRole.STAND_IN)
    joe = site.sign_in(JOE)
    assert joe.get(f"/tickets/{number}").status == 200
    with transaction(site.engine) as session:
        joes = int(
            session.connection()
            .execute(sa.text("SELECT contact FROM contact_address WHERE address = :a"), {"a": JOE})
            .scalar_one()
        )
        session.connection().execute(sa.update(TICKET).where(TICKET.c.id == number).values(contact=joes))
        pass_tickets(session, site.acme, (joes, JOE), (first.contact, LUCIA), site.clock(), Actor(door=Door.JOB))
    assert joe.get(f"/tickets/{number}").status == 404  # the stand-in left


def test_T28_a_colleague_signs_in_and_a_stranger_learns_nothing(site: Site, settled: Settled) -> None:
    answers = [site.browser().post("/", {"address": one}) for one in (JOE, PAT, "nobody@acme.test", "x@evil.test")]
    assert {(one.status, one.to) for one in answers} == {(303, "/auth/sent")}
    stranger = site.browser()
    stranger.post("/", {"address": "nobody@acme.test"})
    link = site.link("nobody@acme.test", LinkPurpose.SIGN_IN)
    assert stranger.post(link).to != "/tickets" and stranger.get("/tickets").to == "/?next=%2Ftickets"
