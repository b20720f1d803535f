"""models/people/customer.py: who is registered."""

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from models.db.engine import transaction
from models.people.agent import add_agent, find_agent
from models.people.customer import (
    CustomerDomain,
    Seating,
    add_address,
    add_contact,
    add_customer,
    add_domain,
    add_partner,
    end_seat,
    find_contact,
    give_seat,
    learn_contact,
    main_address,
)
from tests.models.made import NOW
from values.errors import Refused
from values.mail import Mailbox


def test_a_domain_belongs_to_one_customer(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme, other = (add_customer(session, name, NOW).id or 0 for name in ("Acme", "Other"))
        add_domain(session, acme, "acme.test")
        assert add_domain(session, acme, "ACME.test", subdomains=True).subdomains
        with pytest.raises(Refused, match=r"acme.test belongs to Acme"):
            add_domain(session, other, "acme.test")
    with pytest.raises(sa.exc.IntegrityError), transaction(database) as session:
        session.add(CustomerDomain(customer=other, domain="acme.test", skeleton="x"))


def test_a_refusal_takes_back_what_was_done_before_it(database: sa.Engine) -> None:
    with pytest.raises(Refused), transaction(database) as session:
        add_domain(session, add_customer(session, "Acme", NOW).id or 0, "gmail.com")
    with transaction(database) as session:
        add_customer(session, "Acme", NOW)  # the name is free still


def test_names_zones_and_addresses_are_checked(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme = add_customer(session, "Acme", NOW).id or 0
        for call in (
            lambda: add_customer(session, "Acme", NOW),
            lambda: add_customer(session, "  ", NOW),
            lambda: add_customer(session, "New", NOW, zone="Europe/Nowhere"),
            lambda: add_contact(session, "no address", NOW, customer=acme),
            lambda: add_agent(session, "no address", "X", NOW),
        ):
            with pytest.raises(Refused):
                call()
        add_partner(session, "Acme", NOW)  # partners have names of their own
        add_agent(session, "Ana@nordvik.test", "Ana", NOW)
        assert find_agent(session, "ANA@nordvik.test")
        with pytest.raises(Refused, match="agent already"):
            add_agent(session, "ana@Nordvik.test", "Ana", NOW)


def test_a_person_has_addresses_and_belongs_to_several_customers(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme, other = (add_customer(session, name, NOW).id or 0 for name in ("Acme", "Other"))
        lucia = add_contact(session, "Lucia@acme.test", NOW, customer=acme, name="Lucía")
        again = add_contact(session, "lucia@ACME.test", NOW, customer=other, language="es")
        assert (again.id, again.name, again.language) == (lucia.id, "Lucía", "es")
        add_address(session, lucia.id or 0, "l@acme.test")
        add_address(session, lucia.id or 0, "l@acme.test")
        found = find_contact(session, "L@acme.test")
        assert found and found.id == lucia.id
        assert main_address(session, lucia.id or 0) == "lucia@acme.test"
        eva = learn_contact(session, Mailbox(address="eva@acme.test", name="Eva"), acme, NOW)
        with pytest.raises(Refused, match="Lucía's"):
            add_address(session, eva, "l@acme.test")


def seated(session: Session, customer: int, name: str) -> int:
    person = add_contact(session, f"{name}@acme.test", NOW, customer=customer).id or 0
    return give_seat(session, person, customer, NOW).id or 0


def test_the_seats_are_looked_at_once_however_many_are_given(database: sa.Engine) -> None:
    looks: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        looks.extend([statement] if "FROM seat" in statement else [])

    sa.event.listen(database, "before_cursor_execute", note)
    with transaction(database) as session:
        acme = add_customer(session, "Acme", NOW, seats=41).id or 0
        people = [add_contact(session, f"p{n}@acme.test", NOW, customer=acme).id or 0 for n in range(42)]
        first = give_seat(session, people[7], acme, NOW)
        looks.clear()
        seating = Seating(session, acme)
        given = [seating.give(person, NOW) for person in people[:41]]
        assert len(looks) == 1
        assert given[7].id == first.id
        assert sorted(seat.slot or 0 for seat in given) == list(range(1, 42))
        with pytest.raises(Refused, match=r"41 seats, held by p0@acme.test, p10@acme.test, p11@acme.test"):
            seating.give(people[41], NOW)


def test_no_more_seats_than_agreed(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme = add_customer(session, "Acme", NOW, seats=2).id or 0
        one = seated(session, acme, "a")
        assert seated(session, acme, "a") == one
        seated(session, acme, "b")
    with pytest.raises(Refused, match=r"2 seats, held by a@acme.test, b@acme.test"), transaction(database) as session:
        seated(session, acme, "c")
    with transaction(database) as session:
        assert end_seat(session, one, NOW) and not end_seat(session, one, NOW)
        seated(session, acme, "c")
        with pytest.raises(Refused):
            seated(session, acme, "a")
