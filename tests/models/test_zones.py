"""Times are in the zone of the person, else of their customer, else of their partner, else of the desk ("")."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from models.db.engine import transaction
from models.outbox.outbox import OUTBOX, Claimed
from models.people.agent import add_agent
from models.people.customer import (
    add_contact,
    add_customer,
    add_partner,
    add_partner_customer,
    give_seat,
)
from models.sessions.sign_in import ask_sign_in
from models.sessions.web_session import open_session
from models.tickets.ticket import NewTicket, join_ticket, open_ticket
from models.views.mails import find_mail_rows
from models.views.viewer import find_viewer
from values.mail import Mailbox
from values.vocabulary import MailName, ParticipantRole

NOW = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)


def _people(session: Session) -> None:
    acme = add_customer(session, "Acme", NOW, zone="Europe/Madrid").id or 0
    partner = add_partner(session, "Helpers", NOW, zone="Europe/Lisbon").id or 0
    add_partner_customer(session, partner, acme)
    lucia = add_contact(session, "lucia@acme.test", NOW, customer=acme).id or 0
    give_seat(session, lucia, acme, NOW)
    add_contact(session, "joe@acme.test", NOW, customer=acme, zone="Atlantic/Canary")
    seated = add_contact(session, "sam@elsewhere.test", NOW).id or 0  # a seat, and nothing else
    give_seat(session, seated, acme, NOW)
    add_contact(session, "pat@helpers.test", NOW, partner=partner)
    add_agent(session, "ana@nordvik.test", "Ana", NOW)


@pytest.mark.parametrize(
    ("address", "zone"),
    [
        ("lucia@acme.test", "Europe/Madrid"),
        ("joe@acme.test", "Atlantic/Canary"),
        ("sam@elsewhere.test", "Europe/Madrid"),
        ("pat@helpers.test", "Europe/Lisbon"),
        ("ana@nordvik.test", ""),
        ("nobody@acme.test", ""),
    ],
)
def test_the_sign_in_mail_and_the_pages_are_in_the_persons_zone(database: sa.Engine, address: str, zone: str) -> None:
    with transaction(database) as session:
        _people(session)
        ask_sign_in(session, address, NOW + timedelta(minutes=15), NOW, language="en")
        connection = session.connection()
        assert connection.execute(sa.select(OUTBOX.c.zone)).scalar_one() == zone
        row = connection.execute(sa.text("SELECT contact, agent FROM one_use_link")).one()
        if address.startswith("nobody"):
            return
        token = open_session(session, address, NOW, NOW + timedelta(hours=1), contact=row.contact, agent=row.agent)
        viewer = find_viewer(session, token, NOW)
        assert viewer is not None and viewer.zone == zone


@pytest.mark.parametrize(
    ("address", "zone"),
    [("joe@acme.test", "Atlantic/Canary"), ("lucia@acme.test", "Europe/Madrid"), ("new@acme.test", "Europe/Madrid")],
)
def test_an_answer_is_in_the_zone_of_each_participant(database: sa.Engine, address: str, zone: str) -> None:
    with transaction(database) as session:
        _people(session)
        who = Mailbox(address=address)
        ticket = open_ticket(
            session, NewTicket(subject="x", requester=who, customer=1, contact=None, language="en"), NOW
        )
        joined = join_ticket(session, ticket, address, ParticipantRole.CC)
        claimed = Claimed(
            id=1, fence=1, attempts=1, key="k", mail=MailName.AGENT_REPLY, recipient=address, ticket=ticket,
            article=None, participant=joined, language="en", zone="", in_reply_to=None, context={},
            message_id=None, created=NOW,
        )  # fmt: skip
        found = find_mail_rows(session, claimed, NOW).participant
    assert found is not None and found.zone == zone
