"""Contracts, requests and seats on the command line: what they say, what they do, and their exit statuses."""

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.access.facts import gather_access
from models.access.request import perform
from models.db.engine import make_engine, transaction
from models.desk.audit import AUDIT
from rules.access import accept
from rules.access import request as ask
from tests.builders import POLICY
from tests.desk import TestDesk
from values.access import Asked
from values.vocabulary import Belief


@pytest.fixture
def desk(tmp_path: Path) -> TestDesk:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example", "--zone", "UTC")
    desk.run("contact", "add", "grace@harbour.example", "--customer", "Harbour Tools", "--superuser", "--name", "Grace")
    desk.run("agent", "add", "anna@nordvik.test", "--name", "Anna Berg", "--admin")
    return desk


def accepted(desk: TestDesk, request: int) -> None:
    """As the portal does when the invited person enters the code."""
    engine = make_engine(f"sqlite:///{desk.folder / 'postdesk.db'}")
    now = datetime.now(UTC)
    with transaction(engine, snapshot=True) as session:
        ruling = accept(gather_access(session, now, request=request), now)
        perform(session, ruling.actions, ruling.notices, now, who="form", via="form")
    engine.dispose()


def test_what_gives_access_without_a_request_stands_in_the_audit(desk: TestDesk) -> None:
    engine = make_engine(f"sqlite:///{desk.folder / 'postdesk.db'}")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(AUDIT).order_by(AUDIT.c.id)).all()
    engine.dispose()
    assert [row.what for row in rows] == ["customer.add", "seat.give", "agent.add"]
    assert (rows[1].subject, rows[1].detail["holder"]) == ("seat:1", "grace@harbour.example")


def test_a_seat_is_lent_and_returns_by_the_clock(desk: TestDesk) -> None:
    (seat,) = desk.json("seat", "list")
    assert (seat["holder"], seat["state"], seat["slot"]) == ("grace@harbour.example", "active", 1)
    today = datetime.now(UTC).date()
    first, last = today + timedelta(days=1), today + timedelta(days=4)
    dates = ("--from", first.isoformat(), "--until", last.isoformat())
    desk.run("seat", "lend", "1", "--to", "maria@harbour.example", "--name", "María", *dates)
    (request,) = desk.json("access", "list")
    assert (request["state"], request["customer"], request["late"]) == ("approved", "Harbour Tools", False)
    assert desk.call("seat", "lend", "1", "--to", "tom@harbour.example", *dates).returncode == 1, "lent already"
    desk.run("work", "--until-idle")
    assert [row["mail"] for row in desk.json("outbox", "list")] == ["invitation"]
    accepted(desk, request["id"])
    states = [[row["state"] for row in desk.json("seat", "list", "--history")]]
    for _ in range(6):
        desk.run("tick", "1d")
        states.append([row["state"] for row in desk.json("seat", "list", "--history")])
    assert (
        states[0] == ["active", "planned"] and states[1] == ["resting", "active"] and states[-1] == ["active", "ended"]
    )
    told = [row["mail"] for row in desk.json("outbox", "list")]
    assert told.count("seat_returns_soon") == 2 and told.count("seat_changed") == 6


def test_what_is_shown_raw_redeems_nothing(desk: TestDesk) -> None:
    """Links and codes of mails that are not one's own stand in no command."""
    desk.run("seat", "lend", "1", "--to", "maria@harbour.example", "--until", "2999-01-01")
    desk.run("work", "--until-idle")
    (file,) = (desk.folder / "out" / "new").iterdir()
    sent, shown = (
        message_from_bytes(octets, policy=policy.default)
        for octets in (file.read_bytes(), desk.run("outbox", "show", "1", "--raw").encode())
    )
    written, told = (
        " ".join(str(part.get_content()) for part in mail.walk() if part.get_content_maintype() == "text").split()
        for mail in (sent, shown)
    )
    at = next(at for at, word in enumerate(written) if "/invite/" in word)
    token, code = written[at].rpartition("/")[2], written[at + 1]
    assert re.fullmatch("[2-9A-Z]{6}", code)
    assert [word.replace(token, "******").replace(code, "******") for word in written] == told
    assert shown["Message-ID"] == sent["Message-ID"]


def test_a_replacement_is_ended_and_a_seat_too(desk: TestDesk) -> None:
    desk.run("seat", "lend", "1", "--to", "maria@harbour.example", "--until", "2999-01-01")
    desk.run("work", "--until-idle")
    accepted(desk, 1)
    assert [row["state"] for row in desk.json("seat", "list")] == ["resting", "active"]
    desk.run("seat", "return", "1")
    assert [row["state"] for row in desk.json("seat", "list")] == ["active"]
    assert desk.call("seat", "return", "1").returncode == 1
    desk.run("seat", "end", "1")
    assert desk.json("seat", "list") == []
    assert desk.call("seat", "end", "1").returncode == 1


def test_requests_are_decided_on_the_command_line(desk: TestDesk) -> None:
    assert desk.json("access", "list") == [] and "late: 0" in desk.run("access", "list")
    for words in (("show", "9"), ("approve", "9"), ("refuse", "9", "--reason", "no")):
        assert desk.call("access", *words).returncode == 1
    assert desk.call("access", "refuse", "9").returncode == 2
    desk.run("seat", "lend", "1", "--to", "maria@harbour.example", "--until", "2999-01-01")
    shown = desk.json("access", "show", "1")
    assert shown["address"] == "maria@harbour.example" and len(shown["seats"]) == 2
    assert desk.call("access", "approve", "1").returncode == 1, "it is approved already"
    late = desk.call("access", "refuse", "1", "--reason", "Not yet.", "--as", "anna@nordvik.test")
    assert late.returncode == 1 and "desk decided before" in late.stderr, "a refusal overrides no approval unseen"
    desk.run("access", "refuse", "1", "--withdraw", "--reason", "Not yet.", "--as", "anna@nordvik.test")
    (row,) = desk.json("access", "list", "--all")
    assert (row["state"], row["reason"], row["decided_by"]) == ("refused", "Not yet.", "anna@nordvik.test")


def test_seats_follow_from_contracts(desk: TestDesk) -> None:
    add = ("contract", "add", "C-2031", "--customer", "Harbour Tools", "--product", "Labels", "--from", "2020-01-01")
    desk.run(*add, "--seats", "1")
    assert desk.call(*add).returncode == 2, "the number is taken"
    (row,) = desk.json("contract", "list")
    assert (row["number"], row["seats"], row["agreed"], row["first_line"]) == ("C-2031", 1, None, "vendor")
    desk.run("contact", "add", "tom@harbour.example", "--customer", "Harbour Tools", "--superuser")
    desk.run("contract", "agree", "C-2031", "--as", "anna@nordvik.test")
    assert desk.call("contract", "agree", "C-2031").returncode == 1
    assert [row["flag"] for row in desk.json("seat", "list")] == [None, "over-number"], "nobody is removed"
    file = desk.folder / "contracts.csv"
    head = "number,customer,product,valid_from,seats,agreed\n"
    file.write_text(head + "C-2032,Harbour Tools,Labels,2020-01-01,3,yes\n")
    desk.run("contract", "import", str(file), "--dry-run")
    assert len(desk.json("contract", "list")) == 1
    desk.run("contract", "import", str(file))
    assert [row["flag"] for row in desk.json("seat", "list")] == [None, None]
    file.write_text(head + "C-2033,Harbour Tools,Labels,1/2/2026,3,\n")
    refused = desk.call("contract", "import", str(file))
    assert refused.returncode == 2 and "line 2" in refused.stderr and len(desk.json("contract", "list")) == 2


def test_what_is_agreed_with_a_customer(desk: TestDesk) -> None:
    desk.run("customer", "change", "Harbour Tools", "--manager", "anna@nordvik.test", "--access", "automatic")
    assert desk.call("customer", "change", "Harbour Tools", "--manager", "x@nordvik.test").returncode == 2
    assert desk.call("customer", "change", "Nobody").returncode != 0


def test_a_customer_is_named_where_no_domain_leads_to_one(desk: TestDesk) -> None:
    assert [row["holder"] for row in desk.json("seat", "list", "--customer", "Harbour Tools")] == [
        "grace@harbour.example"
    ]
    assert desk.call("seat", "list", "--customer", "Nobody").returncode == 2
    engine = make_engine(f"sqlite:///{desk.folder / 'postdesk.db'}")
    now = datetime.now(UTC)
    asked = Asked(name="Sue", address="sue@elsewhere.example")
    with transaction(engine, snapshot=True) as session:
        ruling = ask(asked, gather_access(session, now, asked=asked), POLICY, now, belief=Belief.BELIEVED)
        perform(session, ruling.actions, ruling.notices, now, who=asked.address, via="mail:1")
    engine.dispose()
    refused = desk.call("access", "approve", "1")
    assert refused.returncode == 1 and "--customer NAME" in refused.stderr
    desk.run("access", "approve", "1", "--customer", "Harbour Tools")
    assert [row["state"] for row in desk.json("access", "list")] == ["approved"]


DECISIONS = (
    ("held", "drop", "01m85t3h0w000fyek5jf2gvk3e"),
    ("held", "release", "01m85t3h0w000fyek5jf2gvk3e"),
    ("contract", "agree", "C-2031"),
    ("access", "approve", "1"),
    ("access", "refuse", "1", "--reason", "no"),
    ("seat", "lend", "1", "--to", "maria@harbour.example"),
    ("seat", "end", "1"),
    ("suppression", "lift", "grace@harbour.example"),
    ("domain", "remove", "harbour.example"),
)


def test_nobody_decides_who_is_no_agent(desk: TestDesk) -> None:
    for who in ("nobody@nowhere.test", "grace@harbour.example"):
        for command in DECISIONS:
            refused = desk.call(*command, "--as", who)
            assert refused.returncode == 2 and f"--as {who}: no active agent" in refused.stderr, command
    assert [row["state"] for row in desk.json("seat", "list")] == ["active"]
