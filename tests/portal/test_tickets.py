"""Tickets in the portal: lists, a conversation, what a form becomes, and that nothing typed is lost."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX
from models.tickets.ticket import ARTICLE, ATTACHMENT, TICKET
from models.views.conversation import ARTICLES
from models.views.ticket_lists import PAGE
from tests.portal.site import Checked, Site
from tests.portal.ticket_site import (
    ANA,
    BEN,
    BO,
    JOE,
    LUCIA,
    PAT,
    PNG,
    a_ticket,
    add,
    kept,
    key_of,
    more_people,
    number_of,
    send,
)
from values.vocabulary import ArticleKind, LedgerState, MailName, Reason, Source, TicketStatus

NEW = {
    "subject": "The export stops",
    "text": "Since Monday.\r\nIt stops.",
    "product": "Payroll",
    "erp": "BC",
    "erp_version": "24",
}


@pytest.fixture(autouse=True)
def people(site: Site) -> None:
    more_people(site)


def mails(site: Site) -> list[tuple[str, str]]:
    with site.engine.connect() as connection:
        rows = connection.execute(sa.select(OUTBOX.c.mail, OUTBOX.c.recipient).order_by(OUTBOX.c.id))
        return [(row.mail, row.recipient) for row in rows if row.mail is not MailName.SIGN_IN]


# --- lists --------------------------------------------------------------------------------------------------------


def test_my_open_tickets_are_the_first_page_and_those_that_wait_for_me_stand_on_top(site: Site) -> None:
    first = a_ticket(site, "Waits for us")
    asked = a_ticket(site, "Waits for Lucía", at=site.clock() - timedelta(days=4))
    a_ticket(site, "Closed long ago", status=TicketStatus.CLOSED)
    a_ticket(site, "Ben's own", by=BEN)
    joined = a_ticket(site, "Ben's, with Lucía in copy", by=BEN, cc=(LUCIA,))
    add(site, asked, ArticleKind.OUTBOUND, "Which version?")
    site.clock.move(days=2)
    lucia = site.sign_in(LUCIA)
    assert lucia.get("/").to == "/tickets"
    page = lucia.get("/tickets").body
    assert "<title>My open tickets (3) –" in page
    assert re.findall(r'<td class="number">(\d+)', page) == [str(n) for n in (asked, joined, first)]
    assert "Waiting for you since Tuesday" in page and "With us since Tuesday" in page
    assert "Ben&#39;s own" not in page and "Closed long ago" not in page
    assert not Checked(page).wrong


def test_all_company_tickets_by_state_product_and_words(site: Site) -> None:
    numbers = [a_ticket(site, f"Export {n}", by=BEN, product="Payroll" if n else "Ledger") for n in range(2)]
    closed = a_ticket(site, "ÄRENDE über alles", status=TicketStatus.CLOSED)
    other = a_ticket(site, "Export of Bolt", by=BO, customer=site.bolt)
    lucia = site.sign_in(LUCIA)

    def shown(query: str) -> list[int]:
        return [int(n) for n in re.findall(r'<td class="number">(\d+)', lucia.get(f"/tickets?{query}").body)]

    assert shown("view=company") == numbers[::-1]
    assert shown("view=company&status=all") == [closed, *numbers[::-1]]
    assert shown("view=company&status=closed") == [closed]
    assert shown("view=company&product=Ledger") == [numbers[0]]
    assert shown("view=company&q=%C3%A4rende&status=all") == [closed]  # the case of every letter is folded
    assert shown("view=company&q=export") == numbers[::-1]
    assert (
        shown(f"view=company&q={closed}") == shown(f"q=%5BPD-{closed}%5D") == [closed]
    )  # a number, whatever its state
    assert shown(f"q={other}") == shown(f"view=company&customer={site.bolt}&q=Bolt") == []
    assert shown("view=company&q=%25") == shown("view=company&q=_") == []
    for odd in ("after=x", "after=1.99999999999999999.1", "status=x", "customer=x&view=company", "q=%00", "view=x"):
        assert lucia.get(f"/tickets?{odd}").status == 200, odd


@pytest.mark.parametrize("view", ["view=company", "status=open"])
def test_pages_by_key_show_each_ticket_once(site: Site, view: str) -> None:
    """Also where several changed at the same moment, and while new ones come."""
    at = site.clock()
    made = [a_ticket(site, f"T{n}", at=at - timedelta(minutes=n // 3)) for n in range(2 * PAGE + 3)]
    add(site, made[40], ArticleKind.OUTBOUND, "Which version?")
    lucia, seen, path = site.sign_in(LUCIA), [], f"/tickets?{view}"
    for _ in range(3):
        page = lucia.get(path).body
        seen += [int(n) for n in re.findall(r'<td class="number">(\d+)', page)]
        a_ticket(site, "Meanwhile", at=at + timedelta(hours=1))
        found = re.search(r'href="(/tickets\?[^"]*after=[^"]*)"', page)
        path = found[1].replace("&amp;", "&") if found else ""
    assert path == "" and sorted(seen) == made


def test_a_window_that_is_full_says_so_and_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.views.ticket_lists.LOOKED_AT", 5)
    wanted = a_ticket(site, "The needle")
    for n in range(7):
        a_ticket(site, f"Straw {n}", at=site.clock() + timedelta(minutes=n + 1))
    lucia = site.sign_in(LUCIA)
    page = lucia.get("/tickets?view=company&q=needle").body
    assert "(0+)" in page and "there are older ones" in page
    path = re.search(r'href="(/tickets\?[^"]*after=[^"]*)"', page)
    assert path and str(wanted) in lucia.get(path[1].replace("&amp;", "&")).body


# --- one conversation ---------------------------------------------------------------------------------------------


def test_a_conversation_shows_texts_and_no_note_and_no_html(site: Site) -> None:
    canary = "<script>alert(1)</script><img src=https://evil.test/x>"
    number = a_ticket(
        site, "Canary <b>", text=f"Hello {canary}", full_text=f"Hello {canary}\n> quoted before", html=canary
    )
    add(site, number, ArticleKind.NOTE, "INTERNAL-SECRET", (kept(site, "internal.txt", "text/plain", b"secret"),))
    add(site, number, ArticleKind.OUTBOUND, "Which version?")
    page = site.sign_in(LUCIA).get(f"/tickets/{number}").body
    assert "INTERNAL-SECRET" not in page and "internal.txt" not in page
    assert "<script" not in page and "<img src=https" not in page and "&lt;script&gt;" in page
    assert "<details><summary>Quoted text and signature</summary>" in page and "&gt; quoted before" in page
    assert "Ana Berg" in page and ANA not in page  # an agent's own address is not told, as in mails
    assert "Waiting for you since" in page and not Checked(page).wrong


def test_a_long_conversation_is_read_in_pages(site: Site) -> None:
    number = a_ticket(site)
    for n in range(ARTICLES + 4):
        add(site, number, ArticleKind.OUTBOUND, f"Answer-{n}-")
    lucia = site.sign_in(LUCIA)
    page = lucia.get(f"/tickets/{number}").body
    assert page.count("Answer-") == ARTICLES and "Answer-3-" not in page
    earlier = re.search(rf'href="(/tickets/{number}\?before=\d+)"', page)
    assert earlier and "Answer-3-" in lucia.get(earlier[1]).body and "Since Monday" in lucia.get(earlier[1]).body


def test_a_merged_ticket_leads_to_its_target(site: Site) -> None:
    target, merged = a_ticket(site, "Target"), a_ticket(site, "Merged")
    with site.engine.begin() as connection:
        connection.execute(sa.update(TICKET).where(TICKET.c.id == merged).values(merged_into=target))
    lucia = site.sign_in(LUCIA)
    assert lucia.get(f"/tickets/{merged}").to == f"/tickets/{target}"
    assert number_of(send(lucia, f"/tickets/{merged}", {"text": "More"})) == target
    assert "Merged" not in lucia.get("/tickets").body


# --- what a form becomes ------------------------------------------------------------------------------------------


def test_a_new_ticket_is_what_a_mail_would_open(site: Site) -> None:
    lucia = site.sign_in(LUCIA)
    log = ("big.log", "text/plain", b"x" * 3_000_000)
    number = number_of(send(lucia, "/tickets/new", NEW, ("skärm.png", "image/png", PNG), log))
    with site.engine.connect() as connection:
        ticket = connection.execute(sa.select(TICKET).where(TICKET.c.id == number)).one()
        article = connection.execute(sa.select(ARTICLE)).one()
        files = connection.execute(sa.select(ATTACHMENT).order_by(ATTACHMENT.c.position)).all()
        ledger = connection.execute(sa.select(LEDGER)).one()
    assert (ticket.subject, ticket.status, ticket.customer) == (NEW["subject"], TicketStatus.NEW, site.acme)
    assert (ticket.product, ticket.erp, ticket.erp_version, ticket.product_version) == ("Payroll", "BC", "24", None)
    assert (ticket.requester, ticket.requester_name, ticket.marked) == (LUCIA, "Lucía Ibarra", False)
    assert (article.kind, article.author, article.text) == (ArticleKind.INBOUND, LUCIA, "Since Monday.\nIt stops.")
    assert [(f.name, f.type, f.size) for f in files] == [
        ("skärm.png", "image/png", len(PNG)),
        ("big.log", "text/plain", 3_000_000),
    ]
    assert site.parts.blobs.get(files[1].sha256) == log[2]
    assert (ledger.state, ledger.reason, ledger.source) == (LedgerState.TICKET_OPENED, Reason.SUPERUSER, Source.PORTAL)
    assert (ledger.ticket, ledger.article, len(ledger.id)) == (number, article.id, 26)
    assert b"Subject: The export stops" in site.parts.blobs.get(ledger.sha256)
    agents = [(MailName.AGENT_NOTICE, ANA), (MailName.AGENT_NOTICE, "ida@nordvik.test")]
    assert mails(site) == [(MailName.ACKNOWLEDGEMENT, LUCIA), *agents]
    form = lucia.get("/tickets/new").body
    assert '<option value="Payroll">' in form and '<option value="24">' in form  # remembered
    assert not Checked(form).wrong


def test_an_answer_opens_what_waited_and_tells_the_agents(site: Site) -> None:
    number = a_ticket(site)
    add(site, number, ArticleKind.OUTBOUND, "Which version?")
    lucia = site.sign_in(LUCIA)
    assert number_of(send(lucia, f"/tickets/{number}", {"text": "7.3"})) == number
    assert site.scalar(sa.select(TICKET.c.status)) is TicketStatus.OPEN
    assert mails(site) == [(MailName.AGENT_NOTICE, ANA), (MailName.AGENT_NOTICE, "ida@nordvik.test")]
    assert "7.3" in lucia.get(f"/tickets/{number}").body


def test_close_and_reopen_are_posted_and_told(site: Site) -> None:
    number, lucia = a_ticket(site), site.sign_in(LUCIA)
    assert lucia.get(f"/tickets/{number}/close").status == 405
    assert lucia.post(f"/tickets/{number}/close").to == f"/tickets/{number}?said=closed"
    assert site.scalar(sa.select(TICKET.c.status)) is TicketStatus.CLOSED
    assert lucia.post(f"/tickets/{number}/close").to.endswith("said=already")
    assert lucia.post(f"/tickets/{number}/reopen").to.endswith("said=reopened")
    assert site.scalar(sa.select(TICKET.c.status)) is TicketStatus.OPEN
    assert lucia.post(f"/tickets/{number}/delete").status == 404
    assert len(mails(site)) == 4  # both agents, twice
    lucia.post(f"/tickets/{number}/close")
    site.clock.move(days=15)
    lucia = site.sign_in(LUCIA)
    assert "opens a new one" in lucia.get(f"/tickets/{number}").body
    assert lucia.post(f"/tickets/{number}/reopen").to.endswith("said=too-late")
    followed = send(lucia, f"/tickets/{number}", {"text": "It is back"})
    assert followed.to.endswith("said=followed") and number_of(followed) != number
    assert site.scalar(sa.select(TICKET.c.follow_up_of).where(TICKET.c.id == number_of(followed))) == number


@pytest.mark.parametrize("path", ["/tickets/new", "/tickets/1001"])
def test_a_form_sent_twice_is_recorded_once(site: Site, path: str) -> None:
    a_ticket(site)
    lucia = site.sign_in(LUCIA)
    form = NEW | {"key": key_of(lucia.get(path))}
    before = site.count(ARTICLE)
    first, second = (send(lucia, path, form, ("a.txt", "text/plain", b"a")) for _ in range(2))
    assert number_of(first) == number_of(second) and site.count(ARTICLE) == before + 1
    sent = len(mails(site))
    changed = send(lucia, path, form | {"text": "Something else"})  # after "back", another text is another article
    assert number_of(changed) and site.count(ARTICLE) == before + 2 and len(mails(site)) > sent
    again = send(lucia, path, form | {"key": "zzzzzzzzzzzzzzzzzzzzzzzzzz"})  # of no time: it counts for itself
    assert number_of(again) and site.count(ARTICLE) == before + 3


def test_what_is_wrong_is_said_beside_the_field_and_what_was_typed_is_kept(site: Site) -> None:
    lucia = site.sign_in(LUCIA)
    answer = send(lucia, "/tickets/new", NEW | {"subject": " ", "product": "P" * 101}, ("a.txt", "text/plain", b"a"))
    page = answer.body
    assert answer.status == 422 and site.count(TICKET) == 0
    assert 'id="subject-error"' in page and 'id="product-error"' in page and "choose them again" in page
    assert "It stops." in page and 'value="24"' in page and not Checked(page).wrong
    long = send(lucia, "/tickets/new", NEW | {"text": "ä" * 50_001})
    assert long.status == 422 and "ä" * 50_001 in long.body and 'id="text-error"' in long.body
    number = a_ticket(site)
    empty = send(lucia, f"/tickets/{number}", {"text": " \r\n "})
    assert empty.status == 422 and 'id="text-error"' in empty.body and not Checked(empty.body).wrong
    assert number_of(
        send(lucia, f"/tickets/{number}", {"text": ""}, ("a.png", "image/png", PNG))
    )  # a picture says enough


def test_who_may_open_a_ticket(site: Site) -> None:
    joe, pat = site.sign_in(JOE), site.sign_in(PAT)
    assert "who hold a seat" in joe.get("/tickets/new").body
    assert send(joe, "/tickets/new", NEW).status == 422 and site.count(TICKET) == 0
    opened = number_of(send(pat, "/tickets/new", NEW))
    assert site.scalar(sa.select(TICKET.c.customer).where(TICKET.c.id == opened)) == site.acme
    assert site.scalar(sa.select(LEDGER.c.reason)) is Reason.PARTNER
    with site.engine.begin() as connection:
        connection.execute(sa.text("UPDATE customer SET colleagues = 'open'"))
    assert number_of(send(joe, "/tickets/new", NEW | {"customer": str(site.acme)}))
    assert send(joe, "/tickets/new", NEW | {"customer": str(site.bolt)}).status == 422


def test_more_than_a_person_writes_is_refused_with_its_text(site: Site) -> None:
    object.__setattr__(site.parts, "policy", replace(site.parts.policy, forms_per_author_per_hour=3))
    number, lucia = a_ticket(site), site.sign_in(LUCIA)
    answers = [send(lucia, f"/tickets/{number}", {"text": f"Answer {n}"}) for n in range(4)]
    assert [one.status for one in answers] == [303, 303, 303, 429] and "Answer 3" in answers[3].body
    site.clock.move(hours=1, minutes=1)
    assert send(lucia, f"/tickets/{number}", {"text": "Later"}).status == 303
