"""models/facts.py: what is found, by table of clues; and that every lookup is an index probe."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from models.db.engine import reading, transaction
from models.facts import gather
from models.outbox.outbox import enqueue, suppress
from models.people.agent import add_agent
from models.people.customer import (
    add_contact,
    add_customer,
    add_domain,
    add_partner,
    add_partner_customer,
    end_seat,
    find_customer,
    give_seat,
)
from models.record import record
from models.tickets.ticket import TICKET
from tests.models.made import NOW, Desk, a_mail, adding, clues_of, holding, make_desk, opening
from values.decision import CheckedToken, Clues, Facts, Notice, Release, SentCounts
from values.mail import AuthEvidence
from values.vocabulary import AgentNotices, LedgerState, MailName, MatchedBy, Reason, SuppressionReason


@pytest.fixture
def desk(database: sa.Engine) -> Desk:
    with transaction(database) as session:
        return make_desk(session)


def find(engine: sa.Engine, clues: Clues, **more: Any) -> Facts:
    with reading(engine) as session:
        return gather(session, clues, NOW, **more)


def do(engine: sa.Engine, mail: Any, decision: Any) -> Any:
    with transaction(engine, snapshot=True) as session:
        return record(session, mail, decision, NOW)


def test_nothing_is_known_on_an_empty_desk(database: sa.Engine) -> None:
    clues = clues_of(a_mail("A1", in_reply_to=("x@acme.test",)), subject_ticket=1001, words_key="w")
    assert find(database, clues) == Facts(clues=clues)


def test_a_superuser_is_known_with_customer_and_seat(database: sa.Engine, desk: Desk) -> None:
    facts = find(database, clues_of(a_mail("A1")))
    assert facts.contact and facts.contact.name == "Lucía"
    assert (facts.contact.customers, facts.contact.seats) == ((desk.acme,), (desk.acme,))
    assert [domain.domain for domain in facts.domains] == ["acme.test"]
    assert facts.customer(desk.acme) and facts.superusers == ()
    assert [agent.address for agent in facts.notified_agents] == ["ana@nordvik.test"]
    assert facts.agent is None


def test_a_colleague_meets_the_superusers_of_the_customer(database: sa.Engine, desk: Desk) -> None:
    facts = find(database, clues_of(a_mail("A1", author="eva@acme.test")))
    assert facts.contact is None
    assert [person.address for person in facts.superusers] == ["su@acme.test"]
    with transaction(database) as session:
        eva = add_contact(session, "eva@acme.test", NOW, customer=desk.acme)
        seat = give_seat(session, eva.id or 0, desk.acme, NOW)
        assert end_seat(session, seat.id or 0, NOW)
    facts = find(database, clues_of(a_mail("A1", author="eva@acme.test")))
    assert facts.contact and facts.contact.seats == () and len(facts.superusers) == 1


def test_an_agent_is_known_by_address(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        add_agent(session, "quiet@nordvik.test", "Quiet", NOW, notices=AgentNotices.NONE, admin=True)
    facts = find(database, clues_of(a_mail("A1", author="quiet@nordvik.test")))
    assert facts.agent and facts.agent.admin
    assert [agent.name for agent in facts.notified_agents] == ["Ana"]


# Threat T08: label-exact, sub-domains only by flag, the longest first
DOMAINS = [
    ("acme.test", ["acme.test"]),
    ("x.acme.test", []),
    ("evil-acme.test", []),
    ("acme.test.evil.test", []),
    ("acme.tes", []),
    ("group.test", ["group.test"]),
    ("a.group.test", ["group.test"]),
    ("deep.a.group.test", ["group.test"]),
    ("mygroup.test", []),
    ("sub.group.test", ["sub.group.test", "group.test"]),
    ("x.sub.group.test", ["group.test"]),
    ("xn--mller-kva.test", ["xn--mller-kva.test"]),
]


def test_domains_match_by_whole_labels(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        group = add_customer(session, "Group", NOW).id or 0
        add_domain(session, group, "group.test", subdomains=True)
        add_domain(session, group, "sub.group.test")
        add_domain(session, group, "Müller.test")
    for domain, expected in DOMAINS:
        clues = clues_of(a_mail("A1", author=f"p@{domain}"), cc=(f"q@{domain}", "r@nowhere.test"))
        facts = find(database, clues)
        assert [fact.domain for fact in facts.domains] == expected, domain
        assert [fact.domain for fact in facts.cc_domains] == expected, domain


@pytest.mark.parametrize(
    ("domain", "meant"),
    [("acrne.test", None), ("xn--cme-5cd.test", "acme.test"), ("acme.test", None), ("other.test", None)],
)
def test_look_alikes_of_registered_domains(database: sa.Engine, desk: Desk, domain: str, meant: str | None) -> None:
    facts = find(database, clues_of(a_mail("A1", author=f"su@{domain}")))
    assert facts.look_alike_of == ("acme.test" if domain == "acrne.test" else meant)


def test_a_partner_is_known_with_its_customers(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        partner = add_partner(session, "Sur Consulting", NOW).id or 0
        add_partner_customer(session, partner, desk.acme)
        add_partner_customer(session, partner, desk.acme)
        add_contact(session, "pia@sur.test", NOW, partner=partner)
    facts = find(database, clues_of(a_mail("A1", author="pia@sur.test")))
    assert facts.contact and facts.contact.partner == partner
    assert facts.contact.partner_customers == (desk.acme,) and facts.customer(desk.acme)


def test_tickets_are_found_by_every_way_and_merges_followed(database: sa.Engine, desk: Desk) -> None:
    for n in range(1, 7):
        mail = a_mail(f"A{n}")
        row = do(database, mail, opening(mail, customer=desk.acme)).outbox[0]
    with transaction(database) as session:
        for source, target in ((1001, 1005), (1005, 1006)):
            session.connection().execute(sa.update(TICKET).where(TICKET.c.id == source).values(merged_into=target))
    clues = clues_of(
        a_mail("A9", message_id="A4@acme.test", in_reply_to=("A2@acme.test", "unknown@x.test")),
        reply_tokens=(CheckedToken(ticket=1001, participant=1, generation=1, found_in=MatchedBy.REPLY_TOKEN),),
        subject_ticket=1003,
        our_outbox_ids=(row, 999),
    )
    facts = find(database, clues)
    assert [ticket.number for ticket in facts.tickets] == [1001, 1002, 1003, 1004, 1005, 1006]
    merged = facts.ticket(1001)
    assert merged and merged.number == 1006
    assert facts.anchors == (("A2@acme.test", 1002), ("A4@acme.test", 1004))
    assert [(found.id, found.ticket) for found in facts.outbox] == [(row, 1006)]
    assert [person.address for person in facts.tickets[0].participants] == ["su@acme.test"]


def test_a_merge_in_a_circle_ends(database: sa.Engine, desk: Desk) -> None:
    for n in (1, 2):
        mail = a_mail(f"A{n}")
        do(database, mail, opening(mail, customer=desk.acme))
    with transaction(database) as session:
        for source, target in ((1001, 1002), (1002, 1001)):
            session.connection().execute(sa.update(TICKET).where(TICKET.c.id == source).values(merged_into=target))
    assert len(find(database, clues_of(a_mail("A9"), subject_ticket=1001)).tickets) == 2


def test_a_second_copy_is_known_with_what_became_of_the_first(database: sa.Engine, desk: Desk) -> None:
    first = a_mail("A1", content_key="same", message_id="m@acme.test")
    do(database, first, opening(first, customer=desk.acme))
    facts = find(database, clues_of(a_mail("A2", content_key="same", message_id="m@acme.test")))
    assert (facts.second_copy_of, facts.second_copy_state) == ("A1", LedgerState.TICKET_OPENED)
    assert facts.second_copy_auth == AuthEvidence() and facts.second_copy_ticket == 1001 and facts.message_id_recorded
    itself = find(database, clues_of(first))
    assert itself.second_copy_of is None and not itself.message_id_recorded
    held = a_mail("A3", message_id="h@acme.test")
    do(database, held, holding())
    assert not find(database, clues_of(a_mail("A4", message_id="h@acme.test"))).message_id_recorded


def test_what_left_and_came_is_counted(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    do(database, mail, opening(mail, customer=desk.acme))
    for n in (2, 3):
        more = a_mail(f"A{n}")
        do(database, more, replace(adding(more, 1001), words_key="w"))
    old = a_mail("A4", envelope=replace(mail.envelope, received_at=NOW - timedelta(hours=2)))
    do(database, old, adding(old, 1001))
    with transaction(database) as session:
        for n, (kind, who, at) in enumerate(
            (
                (MailName.AGENT_REPLY, "su@acme.test", NOW),  # a person's: not counted
                (MailName.COMMAND_ANSWER, "Su@acme.test", NOW),
                (MailName.COMMAND_ANSWER, "su@acme.test", NOW - timedelta(days=2)),
                (MailName.UNKNOWN_AUTHOR, "a@new.test", NOW),
                (MailName.UNKNOWN_AUTHOR, "b@new.test", NOW - timedelta(hours=2)),
                (MailName.UNKNOWN_AUTHOR, "c@other.test", NOW),
            )
        ):
            enqueue(session, [Notice(mail=kind, recipient=who, key=f"k{n}")], at)
        suppress(session, "su@acme.test", SuppressionReason.HARD_BOUNCE, NOW)
    facts = find(database, clues_of(a_mail("A9"), subject_ticket=1001, words_key="w"))
    assert facts.author_suppressed
    assert facts.sent == SentCounts(
        to_author_last_day=2,
        to_author_on_ticket_last_day=1,
        from_author_last_hour=3,
        from_author_on_ticket_last_hour=3,
        same_words_last_month=2,
        to_author_last_month=3,
    )
    unknown = find(database, clues_of(a_mail("A9", author="a@new.test"))).sent
    assert (unknown.unknown_to_author_last_day, unknown.unknown_to_domain_last_day) == (1, 2)
    assert unknown.unknown_total_last_hour == 2


def test_T26_what_is_claimed_counts_against_its_client_and_a_copy_against_nobody(
    database: sa.Engine, desk: Desk
) -> None:
    """Else 62 forged mails close the portal's forms to their true author, and five silence a colleague's."""
    came = (
        (Reason.UNBELIEVED, "192.0.2.66"),
        (Reason.UNBELIEVED, "192.0.2.66"),
        (Reason.UNBELIEVED, "192.0.2.7"),
        (Reason.SECOND_COPY, ""),
        (Reason.COLLEAGUE_WITHOUT_SEAT, ""),
    )
    for n, (reason, client) in enumerate(came):
        do(database, a_mail(f"A{n}"), replace(holding(), reason=reason, claimed_from=client))
    counted = {
        client: find(database, clues_of(a_mail("A9"), claimed_from=client)).sent.from_author_last_hour
        for client in ("", "192.0.2.66", "192.0.2.7", "192.0.2.8")
    }
    assert counted == {"": 1, "192.0.2.66": 2, "192.0.2.7": 1, "192.0.2.8": 0}


def test_T26_what_answers_an_order_counts_for_the_author_and_not_for_the_ticket(
    database: sa.Engine, desk: Desk
) -> None:
    """Closing and opening again would pause the ticket else: three automatic mails on it in a day are a loop."""
    mail = a_mail("A1")
    do(database, mail, opening(mail, customer=desk.acme))
    with transaction(database) as session:
        for n in range(3):
            notice = Notice(mail=MailName.TICKET_COMMAND, recipient="su@acme.test", key=f"k{n}", ticket=1001)
            enqueue(session, [notice], NOW)
    sent = find(database, clues_of(a_mail("A9"), subject_ticket=1001)).sent
    assert (sent.to_author_last_day, sent.to_author_on_ticket_last_day) == (4, 1)


def test_a_release_brings_its_ticket_and_customer(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    do(database, mail, opening(mail, customer=desk.acme))
    release = Release(by="ana@nordvik.test", customer=desk.acme, ticket=1001)
    facts = find(database, clues_of(a_mail("A2", author="x@new.test")), release=release)
    assert facts.release == release and facts.ticket(1001) and facts.customer(desk.acme)
    assert [person.address for person in facts.superusers] == ["su@acme.test"]


# --- cost ---------------------------------------------------------------------------------------------------------

EVERYTHING = Clues(
    spool_id="A9",
    content_key="k",
    author="p@acme.test",
    author_domains=("x.acme.test", "acme.test"),
    author_skeleton="acme.test",
    words_key="w",
    reply_tokens=(CheckedToken(ticket=1001, participant=1, generation=1, found_in=MatchedBy.REPLY_TOKEN),),
    our_outbox_ids=(1, 2),
    anchor_ids=("a@acme.test", "b@acme.test"),
    message_id="m@acme.test",
    subject_ticket=1001,
    return_path_outbox_id=1,
    cc=("su@acme.test",),
)
MAY_SCAN = {"agent"}  # a list of people that does not grow with mail


@contextmanager
def noting(engine: sa.Engine) -> Iterator[list[tuple[str, Any]]]:
    seen: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", note)


def scanned(engine: sa.Engine, statement: str, parameters: Any) -> set[str]:
    """The tables that the plan of a statement reads from end to end."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            steps = [row[3].split() for row in plan]
            return {
                step[1]
                for step in steps
                if step[0] == "SCAN" and step[1] not in ("(subquery-1)", "CONSTANT") and not step[1].startswith("anon")
            }
        connection.exec_driver_sql("SET enable_seqscan = off")  # the tables are small: would it if it could?
        (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
        return set(_without_condition(plan["Plan"]))


def _without_condition(node: dict[str, Any]) -> Iterator[str]:
    kind = node["Node Type"]
    if kind == "Seq Scan" or (kind.startswith(("Index", "Bitmap Index")) and "Index Cond" not in node):
        yield node.get("Relation Name") or node["Index Name"]
    for part in node.get("Plans", ()):
        yield from _without_condition(part)


def test_every_lookup_is_an_index_probe(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    do(database, mail, opening(mail, customer=desk.acme))
    with noting(database) as seen:
        find(database, EVERYTHING)
        find(database, replace(EVERYTHING, author="p@new.test", author_domains=("new.test",)))
    selects = [(text, values) for text, values in seen if text.startswith("SELECT")]
    assert len(selects) > 20
    for statement, parameters in selects:
        assert scanned(database, statement, parameters) <= MAY_SCAN, statement


def test_recording_probes_indexes_only(database: sa.Engine, desk: Desk) -> None:
    mails = [a_mail(f"A{n}") for n in range(3)]
    with noting(database) as seen:
        do(database, mails[0], opening(mails[0], customer=desk.acme))
        do(database, mails[1], adding(mails[1], 1001))
        do(database, mails[2], holding())
    looked = [(text, values) for text, values in seen if text.startswith(("SELECT", "UPDATE"))]
    assert looked
    for statement, parameters in looked:
        assert scanned(database, statement, parameters) == set(), statement


def test_a_known_customer_is_found_by_name(database: sa.Engine, desk: Desk) -> None:
    with reading(database) as session:
        assert find_customer(session, " Acme ") and not find_customer(session, "acme inc")
