"""Reports of every form are read alike; what is none is left alone; a hostile one costs little time."""

import time
from pathlib import Path

import pytest

from ingest.mime.content import HashOnly
from ingest.mime.parse import parse
from ingest.report.report import PART_CAP, ReportPart, ReportParts, read_report
from ingest.spool.rawfile import spooled_from
from values.mail import ParsedMail
from values.vocabulary import MailKind

CORPUS = Path(__file__).parents[1] / "corpus" / "reports"
OURS = "1042.7.k3x9@desk.nordvik.test"
LUCIA = "lucia@acme.test"
ANA = "ana@acme.test"

Row = tuple[str, str, str | None, bool | None, str | None]

# file, kind, (address, action, status, permanent, reason) of each recipient, whether the original's id stands in it
REPORTS: list[tuple[str, MailKind, list[Row], bool]] = [
    ("rfc3464-failed", MailKind.BOUNCE, [(LUCIA, "failed", "5.1.1", True, "userunknown")], True),
    ("rfc3464-delayed", MailKind.DELAYED, [(LUCIA, "delayed", "4.4.1", False, "expired")], True),
    ("rfc3464-delivered", MailKind.DELIVERED, [(LUCIA, "delivered", "2.0.0", None, None)], True),
    (
        "rfc3464-two-recipients",
        MailKind.BOUNCE,
        [(LUCIA, "failed", "5.2.2", True, "mailboxfull"), (ANA, "delayed", "4.7.0", False, "policyviolation")],
        True,
    ),
    ("rfc3464-forwarded", MailKind.BOUNCE, [("l.perez@mail.example", "failed", "5.1.1", True, "userunknown")], True),
    (
        "rfc3464-no-blank-lines",
        MailKind.BOUNCE,
        [(LUCIA, "failed", "5.1.1", True, "userunknown"), (ANA, "failed", "5.1.2", True, "hostunknown")],
        True,
    ),
    ("rfc6533-utf8", MailKind.BOUNCE, [("lucía@acme.test", "failed", "5.1.1", True, "userunknown")], True),
    ("wrapped-by-scanner", MailKind.BOUNCE, [(LUCIA, "failed", "5.1.1", True, "userunknown")], False),
    ("exim", MailKind.BOUNCE, [(LUCIA, "failed", None, True, "userunknown")], True),
    ("exim-delay", MailKind.DELAYED, [(LUCIA, "delayed", None, False, "expired")], False),
    ("qmail", MailKind.BOUNCE, [(LUCIA, "failed", "5.1.1", True, "userunknown")], True),
    (
        "postfix-text",
        MailKind.BOUNCE,
        [(LUCIA, "failed", "4.2.2", False, "mailboxfull"), (ANA, "failed", "5.1.1", True, "userunknown")],
        False,
    ),
    ("exchange-text", MailKind.BOUNCE, [(LUCIA, "failed", "5.1.10", True, "userunknown")], True),
    ("domino", MailKind.BOUNCE, [(LUCIA, "failed", None, True, "userunknown")], False),
    ("google", MailKind.BOUNCE, [(LUCIA, "failed", "5.1.1", True, "userunknown")], False),
    ("spanish", MailKind.BOUNCE, [(LUCIA, "failed", None, True, "userunknown")], True),
    ("listed-nowhere", MailKind.BOUNCE, [(LUCIA, "failed", None, None, "mailboxfull")], True),
    ("imail", MailKind.BOUNCE, [(LUCIA, "failed", None, None, "mailboxfull")], True),
    ("daemon-without-address", MailKind.BOUNCE, [], False),
    ("expanded-alias", MailKind.BOUNCE, [("l.perez@store.acme.test", "failed", None, True, "userunknown")], False),
    ("sender-refused", MailKind.BOUNCE, [(LUCIA, "failed", "5.1.8", True, "rejected")], False),
    ("group-refused", MailKind.BOUNCE, [(LUCIA, "failed", None, True, "rejected")], False),
    ("spanish-directory", MailKind.BOUNCE, [(LUCIA, "failed", None, True, "userunknown")], False),
    ("arf-abuse", MailKind.COMPLAINT, [(LUCIA, "complaint", None, None, "feedback")], True),
    ("jmrp-complaint", MailKind.COMPLAINT, [(LUCIA, "complaint", None, None, "feedback")], True),
]
NO_REPORTS: list[tuple[str, MailKind, str]] = [
    ("arf-auth-failure", MailKind.AUTO_GENERATED, "feedback-report without a complaint"),
    ("dmarc-aggregate", MailKind.AUTO_GENERATED, "aggregate-report"),
    ("tls-report", MailKind.AUTO_GENERATED, "aggregate-report"),
    ("read-receipt", MailKind.AUTO_REPLY, "disposition-notification"),
    ("person-forwards-a-bounce", MailKind.PERSON, ""),
    ("person-writes-of-bounces", MailKind.PERSON, ""),
]


def parsed(name: str) -> ParsedMail:
    return parse(spooled_from(CORPUS / f"{name}.eml"), HashOnly())


@pytest.mark.parametrize(("name", "kind", "recipients", "with_id"), REPORTS, ids=[row[0] for row in REPORTS])
def test_report_of_each_form(name: str, kind: MailKind, recipients: list[Row], with_id: bool) -> None:
    mail = parsed(name)
    assert mail.report is not None
    assert [(r.address, r.action, r.status, r.permanent, r.reason) for r in mail.report.recipients] == recipients
    assert mail.kind is kind
    if with_id:
        assert mail.report.original_message_id == OURS


@pytest.mark.parametrize(("name", "kind", "evidence"), NO_REPORTS, ids=[row[0] for row in NO_REPORTS])
def test_what_is_no_report(name: str, kind: MailKind, evidence: str) -> None:
    mail = parsed(name)
    assert mail.report is None
    assert (mail.kind, mail.kind_evidence) == (kind, evidence)


def test_every_file_is_in_a_table() -> None:
    assert {path.stem for path in CORPUS.glob("*.eml")} == {row[0] for row in REPORTS} | {row[0] for row in NO_REPORTS}


def test_original_address_is_kept_apart() -> None:
    report = parsed("rfc3464-forwarded").report
    assert report is not None
    assert report.recipients[0].original_address == LUCIA


def test_an_expanded_alias_is_the_original_address() -> None:
    report = parsed("expanded-alias").report
    assert report is not None
    assert report.recipients[0].original_address == LUCIA


def said(text: str, *, author: str = "MAILER-DAEMON@x.test", subject: str = "Undelivered mail") -> ReportParts:
    return ReportParts(headers=(("from", author), ("subject", subject)), text=text)


@pytest.mark.parametrize(
    ("words", "status", "permanent", "reason"),
    [
        ("said: 550 5.1.1 no", "5.1.1", True, "userunknown"),
        ("said: 421 try later", None, False, None),
        ("said: 501 5.1.8 Sender address rejected: user unknown", "5.1.8", True, "rejected"),
        ("User unknown", None, True, "userunknown"),
        ("Connection timed out with 5.1.2.9", None, False, "expired"),  # an IP address is no status
        ("Exim version 4.7.1 reports: user unknown", None, True, "userunknown"),  # nor is a version
        ("said: 550 5.0.0 refused; 5.1.1 user unknown", "5.1.1", True, "userunknown"),
        ("something odd", None, None, None),
    ],
)
def test_words_about_a_recipient(words: str, status: str | None, permanent: bool | None, reason: str | None) -> None:
    report = read_report(said(f"Your mail could not be delivered.\n\n<{LUCIA}>: {words}\n"))
    assert report is not None
    found = report.recipients[0]
    assert (found.status, found.permanent, found.reason) == (status, permanent, reason)


@pytest.mark.parametrize(
    "line",
    [
        f"<{LUCIA}>: 550 no such user",
        f"  {LUCIA}",
        f"> {LUCIA}",
        f"RCPT TO:<{LUCIA}>",
        f"Intended recipient: {LUCIA}",
        f"Your message to {LUCIA} has been delayed",
        f"Recipient: [SMTP:{LUCIA}]",
        f"User's mailbox is full: <{LUCIA}>",
    ],
)
def test_places_of_the_failed_address(line: str) -> None:
    text = f"Your mail was not delivered. Please contact <help@isp.example>.\nMAIL FROM:<desk@nordvik.test>\n\n{line}\n"
    report = read_report(said(text))
    assert report is not None
    assert [r.address for r in report.recipients] == [LUCIA]


def test_returned_message_names_nobody() -> None:
    text = (
        f"The following address failed:\n\n  {LUCIA}\n\n--- Original message ---\n\nTo: ana@acme.test\n\nbob@x.test:\n"
    )
    report = read_report(said(text))
    assert report is not None
    assert [r.address for r in report.recipients] == [LUCIA]


@pytest.mark.parametrize(
    ("author", "subject"),
    [("lucia@acme.test", "Invoices"), ("lucia@acme.test", "Re: Undelivered mail"), ("", "")],
)
def test_words_alone_make_no_report(author: str, subject: str) -> None:
    assert read_report(said(f"<{ANA}>: 550 5.1.1 user unknown, not delivered", author=author, subject=subject)) is None


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a@a.",
            "5.1.1.",
            "a@b.co ",
            "a@b.co\n",
            "<a@",
            "<x@y.test>: 550 5.1.1 no\n",
            '"a"@',
            "@",
            "\n",
            "550 ",
            "a:\n",
        ),
        *("final-recipient: rfc822; a@b.test\n", "x: y\n z\n", "message-id: <a@b> "),
    ],
)
def test_hostile_report_takes_little_time(unit: str) -> None:
    """The reader is linear: each of these took under 0.1 s here; a quadratic one takes minutes."""
    flood = unit * (2 * PART_CAP // len(unit))
    types = ("message/delivery-status", "message/rfc822", "message/feedback-report")
    began = time.perf_counter()
    read_report(said(flood, subject=flood))
    parts = tuple(ReportPart(type=name, content=flood.encode()) for name in types)
    read_report(ReportParts(headers=(("subject", "Undelivered mail"), ("references", flood)), text="", parts=parts))
    assert time.perf_counter() - began < 3


def test_recipients_are_capped() -> None:
    report = read_report(said("".join(f"<u{n}@x.test>:\n550 5.1.1 no\n" for n in range(3000))))
    assert report is not None
    assert len(report.recipients) == 100
