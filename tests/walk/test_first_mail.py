"""The first mail of a superuser, and its whole way: real SMTP in, real processes, both databases, real SMTP out.

mail → ticket → acknowledgement → an agent's answer → the superuser's reply on the same ticket.
"""

import hashlib
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pytest

from tests.desk import Sink, TestDesk, mail, wait_until

LUCIA = "Lucía Ibarra <lucia@ibarra.example>"
PICTURE = bytes(range(256)) * 64


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as started:
        yield started


@pytest.fixture
def desk(tmp_path: Path, empty_database_url: str, sink: Sink) -> TestDesk:
    desk = TestDesk(tmp_path / "desk", empty_database_url, sink.url)
    zone = ("--zone", "Europe/Madrid")
    desk.run("customer", "add", "Talleres Ibarra", "--domain", "ibarra.example", "--language", "es", *zone)
    desk.run("contact", "add", "lucia@ibarra.example", "--customer", "Talleres Ibarra", "--superuser")
    desk.run("agent", "add", "anna@nordvik.test", "--name", "Anna Berg")
    return desk


def _first_mail() -> EmailMessage:
    text = "Buenos días:\n\nLa exportación se detiene.\n\nProducto: Nordvik Export\nERP: Business Central 24.1\n"
    message = mail(LUCIA, "support@nordvik.test", "La exportación se detiene", text, Message_ID="<uno@ibarra.example>")
    message.add_attachment(PICTURE, maintype="image", subtype="png", filename="captura.png")
    return message


def _reply_to(answered: EmailMessage, text: str) -> EmailMessage:
    """As a mail client answers: to Reply-To, with In-Reply-To and the answered text quoted below."""
    body = answered.get_body(("plain",))
    assert body is not None
    quoted = "\n".join(f"> {line}" for line in body.get_content().splitlines())
    return mail(
        LUCIA,
        parseaddr(answered["Reply-To"])[1],
        answered["Subject"],
        f"{text}\n\nEl 24 nov 2026, Nordvik escribió:\n{quoted}\n",
        Message_ID="<dos@ibarra.example>",
        In_Reply_To=answered["Message-ID"],
        References=f"{answered['References'] or ''} {answered['Message-ID']}".strip(),
    )


def test_a_superuser_writes_is_answered_and_writes_again(desk: TestDesk, sink: Sink) -> None:
    with desk.running():
        desk.send(_first_mail())
        acknowledgement = wait_until(lambda: sink.to("lucia@ibarra.example"), "the acknowledgement")[0]
        notice = wait_until(lambda: sink.to("anna@nordvik.test"), "the agents' notice")[0]
        (ticket,) = desk.json("ticket", "list")
        number = str(ticket["number"])

        desk.run("ticket", "reply", number, "--as", "anna@nordvik.test", input="¿Qué dice el registro?\n")
        answer = wait_until(lambda: sink.to("lucia@ibarra.example")[1:], "the answer")[0]
        assert desk.json("ticket", "show", number)["status"] == "pending"

        desk.send(_reply_to(answer, "El registro dice: disco lleno."))
        wait_until(lambda: desk.json("ledger", "count")["states"]["article-added"], "the reply")
        wait_until(lambda: sink.to("anna@nordvik.test")[1:], "the notice of the reply")
        wait_until(lambda: {row["status"] for row in desk.json("outbox", "list")} == {"sent"}, "the last mark")

    # what was sent
    assert acknowledgement["Auto-Submitted"] == "auto-replied"
    assert acknowledgement["In-Reply-To"] == "<uno@ibarra.example>"
    assert number in acknowledgement.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert acknowledgement["Content-Language"] == "es"
    assert notice["Auto-Submitted"] == "auto-generated"
    assert answer["Auto-Submitted"] is None
    assert "¿Qué dice el registro?" in answer.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert all(path.startswith("bounce+") for path, _, _ in sink.taken)

    # what is kept
    (listed,) = desk.json("ticket", "list")
    assert listed["customer"] == "Talleres Ibarra"
    assert (listed["product"], listed["erp"], listed["erp_version"]) == ("Nordvik Export", "Business Central", "24.1")
    assert listed["status"] == "open"
    shown = desk.json("ticket", "show", number)
    assert [article["kind"] for article in shown["articles"]] == ["inbound", "outbound", "inbound"]
    assert shown["articles"][2]["text"] == "El registro dice: disco lleno."
    (delivery,) = shown["articles"][1]["delivery"]
    assert (delivery["recipient"], delivery["status"]) == ("lucia@ibarra.example", "sent")
    assert "→ lucia@ibarra.example: sent (250 Ok)" in desk.run("ticket", "show", number)
    (kept,) = shown["articles"][0]["attachments"]
    assert kept["sha256"] == hashlib.sha256(PICTURE).hexdigest()
    assert (kept["name"], kept["type"], kept["size"]) == ("captura.png", "image/png", len(PICTURE))

    # the books
    reply, first = desk.json("ledger", "list")
    assert (first["state"], first["reason"], first["ticket"]) == ("ticket-opened", "superuser", int(number))
    assert (reply["state"], reply["matched_by"], reply["ticket"]) == ("article-added", "reply-token", int(number))
    counted = desk.json("ledger", "count")
    assert counted["accepted"] == 2 == sum(counted["states"].values())


def test_the_same_by_cron(desk: TestDesk, sink: Sink) -> None:
    """Only the listener runs; `work --until-idle` does the rest."""
    with desk.running(only="listen"):
        desk.send(_first_mail())
    counted = desk.json("ledger", "count")
    assert (counted["accepted"], counted["spooled"], counted["states"]["spooled"]) == (1, 1, 1)
    assert sum(counted["states"].values()) == 1, "what is not decided yet is one of the states"
    done = desk.json("work", "--until-idle")
    assert (done["delivered"], done["dispatched"]) == (1, 2)
    assert [path for _, path, _ in sink.taken] == ["lucia@ibarra.example", "anna@nordvik.test"]
    assert desk.json("work", "--until-idle")["dispatched"] == 0
