"""The domain desk: each conflict has a name and a way out."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from models.db.engine import reading, transaction
from models.people.customer import (
    CUSTOMER_DOMAIN,
    add_contact,
    add_customer,
    add_domain,
    add_partner,
)
from models.people.domains import find_conflicts, find_objection, find_owner, list_domains, move_domain, remove_domain
from models.record import record
from tests.models.made import NOW, a_mail
from values.addresses import skeleton
from values.decision import Decision, Hold
from values.errors import Refused
from values.vocabulary import DomainConflict, LedgerState, Reason


def company(session: Session, name: str, *domains: str) -> int:
    made = add_customer(session, name, NOW).id or 0
    for domain in domains:
        add_domain(session, made, domain)
    return made


def conflicts(database: sa.Engine) -> dict[DomainConflict, dict[str, Any]]:
    with reading(database) as session:
        return {row["kind"]: row for row in find_conflicts(session)}


def test_domains_are_listed_moved_and_removed(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme, bolt = company(session, "Acme", "acme.test", "acme.example"), company(session, "Bolt")
        assert [row["domain"] for row in list_domains(session, acme)] == ["acme.example", "acme.test"]
        assert move_domain(session, "ACME.example", bolt) == "Acme"
        assert find_owner(session, "acme.example") == "Bolt"
        assert remove_domain(session, "acme.example") == "Bolt"
        assert list_domains(session) == [{"domain": "acme.test", "customer": "Acme", "subdomains": False}]
        for change in (lambda: move_domain(session, "acme.example", acme), lambda: remove_domain(session, "x.test")):
            with pytest.raises(Refused, match="is not registered"):
                change()


def test_a_domain_of_two_customers_is_refused_and_shared_ones_too(database: sa.Engine) -> None:
    with transaction(database) as session:
        company(session, "Acme", "acme.test")
        bolt = company(session, "Bolt")
        with pytest.raises(Refused, match="belongs to Acme"):
            add_domain(session, bolt, "acme.test")
        for shared in ("gmail.com", "co.uk", "github.io"):
            with pytest.raises(Refused):
                find_objection(session, shared, bolt)


def test_what_speaks_against_a_domain(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme, bolt = company(session, "Acme", "acme.test"), company(session, "Bolt")
        partner = add_partner(session, "Pat & Sons", NOW).id
        add_contact(session, "pat@sons.test", NOW, partner=partner)
        add_contact(session, "joe@branch.test", NOW, customer=acme)
        assert "looks like acme.test of Acme" in (find_objection(session, "acrne.test", bolt) or "")
        assert find_objection(session, "acrne.test", acme) is None, "a company may own what looks like its own"
        assert "partner Pat & Sons" in (find_objection(session, "sons.test", bolt) or "")
        assert "Contacts of Acme" in (find_objection(session, "branch.test", bolt) or "")
        assert find_objection(session, "branch.test", acme) is None
        assert find_objection(session, "bolt.test", bolt) is None


def test_no_conflict_where_all_is_clear(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme = company(session, "Acme", "acme.test")
        company(session, "Bolt", "bolt.test")
        add_contact(session, "su@acme.test", NOW, customer=acme)
        add_contact(session, "su@elsewhere.test", NOW, customer=acme)
    assert conflicts(database) == {}


def test_each_conflict_has_a_name_and_a_repair(database: sa.Engine) -> None:
    with transaction(database) as session:
        acme, bolt = company(session, "Acme", "acme.test", "branch.test"), company(session, "Bolt", "acrne.test")
        add_domain(session, acme, "group.test", subdomains=True)
        add_domain(session, bolt, "bolt.group.test")
        partner = add_partner(session, "Pat", NOW).id
        add_contact(session, "pat@acme.test", NOW, partner=partner)
        add_contact(session, "joe@branch.test", NOW, customer=bolt)
        add_contact(session, "two@free.test", NOW, customer=acme)
        add_contact(session, "two@free.test", NOW, customer=bolt)
        session.connection().execute(  # registered before the list of free mail knew it
            sa.insert(CUSTOMER_DOMAIN),
            {"customer": acme, "domain": "gmail.com", "skeleton": skeleton("gmail.com"), "subdomains": False},
        )
    found = conflicts(database)
    assert {kind: row["domain"] for kind, row in found.items()} == {
        DomainConflict.SHARED: "gmail.com",
        DomainConflict.CONFUSABLE: "acme.test acrne.test",
        DomainConflict.SUB_DOMAIN: "bolt.group.test",
        DomainConflict.PARTNER: "acme.test",
        DomainConflict.ELSEWHERE: "branch.test",
        DomainConflict.SEVERAL: "free.test",
    }
    assert all(row["repair"].startswith("postdesk domain ") for row in found.values())
    assert found[DomainConflict.SEVERAL]["customers"] == ["Acme", "Bolt"]
    assert found[DomainConflict.ELSEWHERE]["addresses"] == ["joe@branch.test"]


def test_a_repair_makes_it_clear(database: sa.Engine) -> None:
    with transaction(database) as session:
        company(session, "Acme", "branch.test")
        bolt = company(session, "Bolt")
        add_contact(session, "joe@branch.test", NOW, customer=bolt)
    assert (
        conflicts(database)[DomainConflict.ELSEWHERE]["repair"] == 'postdesk domain move branch.test --customer "Bolt"'
    )
    with transaction(database) as session:
        move_domain(session, "branch.test", bolt)
    assert conflicts(database) == {}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.UNKNOWN_CUSTOMER, DomainConflict.UNMATCHED),
        (Reason.LOOK_ALIKE, DomainConflict.HELD_LOOK_ALIKE),
        (Reason.UNBELIEVED, None),  # a forged mail says nothing about a domain
    ],
)
def test_waiting_mails_are_counted_by_domain(database: sa.Engine, reason: Reason, kind: DomainConflict | None) -> None:
    for n in range(2):
        decision = Decision(state=LedgerState.HELD, reason=reason, actions=(Hold(why="w", would="x"),))
        with transaction(database, snapshot=True) as session:
            record(session, a_mail(f"s{n}", author=f"x{n}@wait.test"), decision, NOW)
    found = conflicts(database)
    assert set(found) == ({kind} if kind else set())
    if kind:
        assert (found[kind]["domain"], found[kind]["mails"]) == ("wait.test", 2)
        assert found[kind]["addresses"] == ["x0@wait.test", "x1@wait.test"]
