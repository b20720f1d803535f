"""What one page of tickets costs: index probes only, and never more tickets than are looked at."""

import sqlalchemy as sa

from models.db.engine import reading, transaction
from models.tickets.ticket import NewTicket, open_ticket
from models.views.conversation import find_conversation, find_file, remember
from models.views.ticket_lists import LOOKED_AT, Place, Wanted, list_customer_tickets
from models.views.ticket_scope import list_openable_customers, list_visible_customers
from models.views.viewer import Viewer, find_ties
from tests.models.made import NOW, make_desk
from tests.models.test_facts import noting, scanned
from values.mail import Mailbox

# customers to choose from: few, or all of a partner's; no more of them with more tickets
FEW = {"near", "newest", "customer", "uq_customer_name"}


def test_every_look_is_an_index_probe(database: sa.Engine) -> None:
    with transaction(database) as session:
        desk = make_desk(session)
        me = Mailbox(address="su@acme.test")
        for _ in range(3):
            new = NewTicket(subject="x", requester=me, customer=desk.acme, contact=desk.lucia, language="en")
            number = open_ticket(session, new, NOW)
    viewer = Viewer(session=1, address="su@acme.test", name="", language="en", zone="UTC", contact=desk.lucia,
                    seated=(desk.acme,), serves=(desk.acme + 1,), addresses=("su@acme.test",))  # fmt: skip
    place = Place(updated=NOW, number=number)
    with noting(database) as seen, reading(database) as session:
        for customer in (None, desk.acme):
            for words in ("", "x", str(number)):
                list_customer_tickets(session, viewer, Wanted(customer=customer, words=words, product="P", after=place))
        find_conversation(session, viewer, number, before=7)
        find_file(session, viewer, number, 1)
        remember(session, desk.acme)
        list_visible_customers(session, viewer)
        list_openable_customers(session, viewer)
        find_ties(session, desk.lucia, 1, NOW)
    selects = [(text, values) for text, values in seen if text.startswith("SELECT")]
    assert len(selects) > 15
    for statement, parameters in selects:
        found = {name for name in scanned(database, statement, parameters) if not name.startswith("(subquery")}
        assert found <= FEW, statement
    near = [text for text, _ in seen if "ticket.customer = " in text and "count(*)" in text]
    assert near and all("LIMIT" in text for text in near) and LOOKED_AT == 2000
