"""From the request to the people page and back, over HTTP on both databases."""

import sqlalchemy as sa

from models.access.request import ACCESS_REQUEST
from models.desk.audit import AUDIT
from models.inbound.held import HELD
from models.outbox.outbox import OUTBOX
from tests.portal.site import Site
from values.vocabulary import AccessState, LinkPurpose

MARIA = "maria@acme.test"


def test_a_new_superuser(site: Site) -> None:
    maria = site.ask_access(MARIA)
    assert "One more step" in maria.get("/request-access/sent").body
    proof = site.link(MARIA, LinkPurpose.PROOF)
    assert "Maria Gil" in maria.get(proof).body
    assert "within 24 hours" in maria.post(proof).body

    ana = site.sign_in("ana@nordvik.test")
    desk = ana.get("/access-requests").body
    assert "Maria Gil" in desk and "2 of 3 taken" in desk and "24 hours left" in desk
    shown = ana.get("/access-requests/1").body
    assert "the customer's own" in shown and "Lucía Ibarra" in shown and "mailed link only" in shown
    assert ana.post("/access-requests/1/approve").to == "/access-requests?said=approved"
    assert "The invitation leaves by itself" in ana.get("/access-requests?said=approved").body
    again = ana.post("/access-requests/1/approve")
    assert again.status == 422 and "Decided by: ana@nordvik.test" in again.body

    site.invite(1)
    link, code = site.link(MARIA, LinkPurpose.INVITATION), site.code(MARIA, LinkPurpose.INVITATION)
    assert "Acme" in maria.get(link).body
    accepted = maria.post(link, {"code": f" {code[:3].lower()}-{code[3:]}"})
    assert (accepted.status, accepted.to) == (303, "/people")
    people = maria.get("/people").body
    assert "3 of 3 seats are taken" in people and people.count("state active") == 3
    assert site.states(site.acme) == ["active", "active", "active"]
    with site.engine.connect() as connection:
        trail = [(row.who, row.what, row.via) for row in connection.execute(sa.select(AUDIT).order_by(AUDIT.c.id))]
    assert ("ana@nordvik.test", "access.move", "session:1") in trail
    assert any(who == MARIA and what == "session.open" for who, what, _ in trail)


def test_the_clock_of_24_hours(site: Site) -> None:
    site.waiting(MARIA)
    site.clock.move(hours=20)
    ana = site.sign_in("ana@nordvik.test")
    assert "Only 4 hours left" in ana.get("/access-requests").body
    site.clock.move(hours=7)
    site.sign_in("ana@nordvik.test", ana)
    assert "Late by 3 hours" in ana.get("/access-requests").body


def test_a_refusal_needs_a_reason(site: Site) -> None:
    site.waiting(MARIA)
    ana = site.sign_in("ana@nordvik.test")
    refused = ana.post("/access-requests/1/refuse", {"reason": " "})
    assert refused.status == 422 and "A refusal needs a reason" in refused.body
    assert ana.post("/access-requests/1/refuse", {"reason": "You are <b>not</b> known"}).to.endswith("said=refused")
    assert site.scalar(sa.select(ACCESS_REQUEST.c.reason)) == "You are <b>not</b> known"
    assert "access_refused" in mails(site, MARIA)


def test_a_refusal_a_second_after_an_approval_says_who_decided(site: Site) -> None:
    site.waiting(MARIA)
    ana = site.sign_in("ana@nordvik.test")
    assert 'name="withdraws"' not in ana.get("/access-requests/1").body
    ana.post("/access-requests/1/approve")
    late = ana.post("/access-requests/1/refuse", {"reason": "No contract"})
    assert late.status == 422 and "Decided by: ana@nordvik.test" in late.body
    assert site.scalar(sa.select(ACCESS_REQUEST.c.state)) == "approved"
    assert 'name="withdraws"' in late.body, "who has seen it may take it back"
    withdrawn = ana.post("/access-requests/1/refuse", {"reason": "No contract", "withdraws": "yes"})
    assert withdrawn.to.endswith("said=refused")


def test_an_agent_chooses_the_customer_where_the_domain_tells_none(site: Site) -> None:
    site.waiting("maria@elsewhere.test")
    ana = site.sign_in("ana@nordvik.test")
    assert "not known" in ana.get("/access-requests").body
    answer = ana.post("/access-requests/1/approve")
    assert answer.status == 422 and "Choose the customer" in answer.body
    assert ana.post("/access-requests/1/approve", {"customer": str(site.bolt)}).to.endswith("said=approved")
    assert site.scalar(sa.select(ACCESS_REQUEST.c.customer)) == site.bolt


def test_the_seat_too_many_is_refused_with_a_mail(site: Site) -> None:
    site.waiting(MARIA)
    ana = site.sign_in("ana@nordvik.test")
    ana.post("/access-requests/1/approve")
    # At the own domain, with nothing to decide: refused as soon as the address is proved.
    site.waiting("olle@acme.test")
    assert "access_seats_taken" in mails(site, "olle@acme.test")
    assert site.states(site.acme) == ["active", "active", "reserved"]


def test_lent_and_taken_back(site: Site) -> None:
    lucia = site.sign_in("lucia@acme.test")
    page = lucia.post("/people/lend", {"customer": str(site.acme), "name": "Maria", "address": "no"})
    assert page.status == 422 and 'value="Maria"' in page.body and 'aria-describedby="lend-address-error"' in page.body
    form = {"customer": str(site.acme), "name": "Maria Gil", "address": MARIA, "ends_on": "2026-12-08"}
    assert lucia.post("/people/lend", form).to == "/people?said=lent"
    request = site.scalar(sa.select(ACCESS_REQUEST.c.id))
    site.invite(request)
    maria = site.browser()
    code = site.code(MARIA, LinkPurpose.INVITATION)
    assert maria.post(site.link(MARIA, LinkPurpose.INVITATION), {"code": code}).to == "/people"
    assert site.states(site.acme) == ["resting", "active", "active"]
    people = maria.get("/people").body
    assert "in place of Lucía Ibarra" in people and "from now to 8 Dec 2026" in people
    assert "Lend my seat" not in people  # a stand-in lends nothing

    assert "Take my seat back now" in lucia.get("/people").body
    assert lucia.post("/people/take-back", {"customer": str(site.acme)}).to == "/people?said=taken-back"
    assert site.states(site.acme) == ["active", "active", "ended"]
    assert maria.get("/people").status == 303  # her seat has ended, and so has what she may see (T51)
    assert "History" in lucia.get("/people").body


def test_a_stand_in_whose_first_day_is_to_come_sees_the_people(site: Site) -> None:
    lucia = site.sign_in("lucia@acme.test")
    days = {"starts_on": "2026-12-01", "ends_on": "2026-12-08"}
    lucia.post("/people/lend", {"customer": str(site.acme), "name": "Maria Gil", "address": MARIA} | days)
    site.invite(1)
    maria = site.browser()
    code = site.code(MARIA, LinkPurpose.INVITATION)
    assert maria.post(site.link(MARIA, LinkPurpose.INVITATION), {"code": code}).to == "/people"
    assert site.states(site.acme) == ["active", "active", "planned"]
    site.hold_mail(site.acme, "joe@acme.test", "Printer")
    assert "Printer" in lucia.get("/people").body
    people = maria.get("/people")
    assert people.status == 200 and "Begins later" in people.body
    assert "Printer" not in people.body  # what colleagues write is hers to read from the first day on
    assert "Lend my seat" not in people.body and "Take my seat back now" not in people.body


def test_who_rests_takes_back_with_the_form(site: Site) -> None:
    lucia = site.sign_in("lucia@acme.test")
    form = {"customer": str(site.acme), "name": "Maria Gil", "address": MARIA, "ends_on": "2026-12-08"}
    lucia.post("/people/lend", form)
    site.invite(1)
    code = site.code(MARIA, LinkPurpose.INVITATION)
    site.browser().post(site.link(MARIA, LinkPurpose.INVITATION), {"code": code})
    again = site.ask_access("lucia@acme.test")
    assert "on its way to your mailbox" in again.post(site.link("lucia@acme.test", LinkPurpose.PROOF)).body
    assert site.states(site.acme) == ["active", "active", "ended"]


def test_a_superuser_agrees_to_a_replacement(site: Site) -> None:
    site.waiting(MARIA, kind="in-place-of", in_place_of="Ben Ode", starts_on="2026-12-01", ends_on="2026-12-14")
    lucia = site.sign_in("lucia@acme.test")
    page = lucia.get("/people").body
    assert "do you agree?" in page and "1 Dec 2026 to 14 Dec 2026" in page
    empty = lucia.post("/people/request", {"request": "1", "do": "refuse"})
    assert empty.status == 422 and 'aria-describedby="reason-1-error"' in empty.body
    assert lucia.post("/people/request", {"request": "1", "do": "agree"}).to == "/people?said=agreed"
    assert site.scalar(sa.select(ACCESS_REQUEST.c.agreed_by)) == "lucia@acme.test"
    assert site.scalar(sa.select(ACCESS_REQUEST.c.state)) is AccessState.WAITING  # this customer wants an agent's word


def test_colleagues_mail_is_let_through_or_not(site: Site) -> None:
    first, second = site.hold_mail(site.acme, "joe@acme.test", "Printer"), site.hold_mail(site.acme, "joe@acme.test")
    lucia = site.sign_in("lucia@acme.test")
    assert "Printer" in lucia.get("/people").body
    assert lucia.post("/people/mail", {"held": first, "do": "release"}).to == "/people?said=released"
    assert lucia.post("/people/mail", {"held": first, "do": "release"}).to == "/people?said=already"
    assert lucia.post("/people/mail", {"held": second, "do": "decline"}).to == "/people?said=declined"
    released = site.scalar(sa.select(HELD.c.release_by).where(HELD.c.id == first))
    assert (released, site.scalar(sa.select(HELD.c.state).where(HELD.c.id == second)).value) == (
        "lucia@acme.test",
        "dropped",
    )


def test_the_form_keeps_what_was_typed(site: Site) -> None:
    form = {"name": "Maria & <Co>", "address": "maria@", "company": "", "kind": "in-place-of", "ends_on": "2026-11-01"}
    answer = site.browser().post("/request-access", form | {"language": "sv", "in_place_of": "", "starts_on": "x"})
    assert answer.status == 422
    body = answer.body
    assert (
        'value="Maria &amp; &lt;Co&gt;"' in body
        and 'value="maria@"' in body
        and 'value="sv" lang="sv" selected' in body
    )
    assert [f'href="#{name}"' in body for name in ("address", "company", "in_place_of", "starts_on", "ends_on")] == [
        True
    ] * 5
    assert 'href="#name"' not in body and "<title>Error: Request access" in body
    assert 'aria-describedby="address-hint address-error"' in body and 'aria-invalid="true"' in body
    assert site.count(ACCESS_REQUEST) == site.count(OUTBOX) == 0


def mails(site: Site, address: str) -> list[str]:
    with site.engine.connect() as connection:
        rows = connection.execute(sa.select(OUTBOX.c.mail).where(OUTBOX.c.recipient == address))
        return [row.mail.value for row in rows]
