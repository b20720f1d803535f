"""Files both ways: an agent gets what the customer sent, a customer gets what the agent sent."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from ingest.spool.spool import Spool
from tests.desk import TestDesk, mail
from values.mail import Envelope
from values.vocabulary import Source

GRACE, ANNA = "grace@harbour.example", "anna@nordvik.test"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
NESTED = b"From: x@y.test\r\n\r\nInner\r\n"


@pytest.fixture
def desk(tmp_path: Path) -> TestDesk:
    desk = TestDesk(tmp_path / "desk", "sqlite:///postdesk.db", "maildir:out")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example")
    desk.run("contact", "add", GRACE, "--customer", "Harbour Tools", "--superuser")
    desk.run("agent", "add", ANNA, "--name", "Anna Berg", "--admin")
    question = mail(GRACE, "support@nordvik.test", "Labels", "It looks so.\n")
    question.add_attachment(PICTURE, maintype="image", subtype="png", filename="../skärm.png")
    envelope = Envelope(
        reverse_path=GRACE, forward_paths=("support@nordvik.test",), source=Source.SMTP, received_at=datetime.now(UTC)
    )
    Spool(desk.folder / "spool").put(envelope, question.as_bytes())
    desk.run("work", "--until-idle")
    return desk


def sent(desk: TestDesk, name: str) -> list[EmailMessage]:
    paths = sorted((desk.folder / "out").rglob("*"))
    read = (message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths if path.is_file())
    return [one for one in read if one["X-Postdesk-Mail"] == name]  # type: ignore[misc]


def test_what_the_customer_sent(desk: TestDesk, tmp_path: Path) -> None:
    (ticket,) = desk.json("ticket", "list")
    folder = tmp_path / "saved"
    (row,) = desk.json("ticket", "files", str(ticket["number"]), "--save", str(folder))
    (saved,) = folder.iterdir()
    assert (saved.read_bytes(), row["size"], row["saved"]) == (PICTURE, len(PICTURE), str(saved))
    assert saved.parent == folder and saved.name.endswith("skärm.png")
    assert "is there already" in desk.call("ticket", "files", str(ticket["number"]), "--save", str(folder)).stderr
    (entry,) = desk.json("ledger", "list")
    desk.run("mail", "raw", entry["id"], "--save", str(tmp_path / "mail.eml"))
    raw = (tmp_path / "mail.eml").read_bytes()
    assert len(raw) == entry["size"] and b"It looks so." in raw
    assert desk.call("mail", "raw", "none").returncode == 1


def test_what_the_agent_sent(desk: TestDesk, tmp_path: Path) -> None:
    (ticket,) = desk.json("ticket", "list")
    number = str(ticket["number"])
    first, second = tmp_path / "Anleitung größe.pdf", tmp_path / "inner.eml"
    first.write_bytes(PICTURE)
    second.write_bytes(NESTED)
    words = ("ticket", "reply", number, "--as", ANNA, "--attach", str(first), "--attach", str(second))
    desk.run(*words, input="See the file.\n")
    desk.run("work", "--until-idle")
    (answer,) = sent(desk, "agent_reply")
    files = [(part.get_filename(), part.get_content_type(), part.get_content()) for part in answer.iter_attachments()]
    assert files == [
        ("Anleitung größe.pdf", "application/pdf", PICTURE),
        ("inner.eml", "application/octet-stream", NESTED),
    ]
    body = answer.get_body(("plain",))
    assert body and "See the file." in body.get_content()


def test_too_much_is_answered_and_nothing_is_written(desk: TestDesk, tmp_path: Path) -> None:
    (ticket,) = desk.json("ticket", "list")
    big = tmp_path / "big.bin"
    with big.open("wb") as stream:
        stream.truncate((10 << 20) + 1)
    words = ("ticket", "reply", str(ticket["number"]), "--as", ANNA, "--attach", str(big))
    refused = desk.call(*words, input="See the file.\n")
    assert refused.returncode == 2 and "up to 10 MB" in refused.stderr
    assert len(desk.json("ticket", "show", str(ticket["number"]))["articles"]) == 1
