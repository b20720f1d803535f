"""Who wrote it: tables of the form of mails (RFC 3834 §2 and §5)."""

import pytest

from rules.loop import FormFacts, classify
from values.mail import DeliveryReport, ReportedRecipient
from values.vocabulary import MailKind

AWAY = "I am out of the office until Monday.\n"
THANKS = "Thank you for your email. " + AWAY


def kind(
    *headers: tuple[str, str],
    subject: str = "Export fails",
    text: str = "Hello",
    author: str = "lucia@acme.test",
    reverse_path: str | None = "lucia@acme.test",
    report: DeliveryReport | None = None,
) -> MailKind:
    facts = FormFacts(
        auto_headers=headers, reverse_path=reverse_path, author=author, subject=subject, text=text, report=report
    )
    return classify(facts)[0]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("auto-submitted", "auto-replied", MailKind.AUTO_REPLY),
        ("auto-submitted", "Auto-Replied (vacation)", MailKind.AUTO_REPLY),
        ("auto-submitted", "auto-replied; owner-email=x@y.test", MailKind.AUTO_REPLY),
        ("auto-submitted", "auto-generated", MailKind.AUTO_GENERATED),
        ("auto-submitted", "auto-notified", MailKind.AUTO_GENERATED),  # RFC 5436
        ("auto-submitted", "no", MailKind.PERSON),
        ("auto-submitted", "No (a person)", MailKind.PERSON),
        ("x-autoreply", "yes", MailKind.AUTO_REPLY),
        ("x-autoreply", "no", MailKind.PERSON),
        ("x-autorespond", "Out of office", MailKind.AUTO_REPLY),
        ("precedence", "auto_reply", MailKind.AUTO_REPLY),
        ("precedence", "Bulk", MailKind.LIST),
        ("precedence", "list", MailKind.LIST),
        ("precedence", "junk", MailKind.AUTO_GENERATED),
        ("precedence", "first-class", MailKind.PERSON),
        ("list-id", "<news.acme.test>", MailKind.LIST),
        ("list-unsubscribe", "<https://acme.test/u>", MailKind.LIST),
        ("mailing-list", "contact x@acme.test; run by ezmlm", MailKind.LIST),
        ("x-loop", "acme", MailKind.AUTO_GENERATED),
        ("x-postdesk-loop", "abc", MailKind.AUTO_GENERATED),
        ("x-auto-response-suppress", "All", MailKind.PERSON),  # forbids our answer, says nothing of its writer
        ("content-type", "multipart/report; report-type=disposition-notification; boundary=x", MailKind.AUTO_REPLY),
        ("content-type", "multipart/report; report-type=tlsrpt; boundary=x", MailKind.AUTO_GENERATED),
        ("content-type", "text/plain", MailKind.PERSON),
    ],
)
def test_header_fields(name: str, value: str, expected: MailKind) -> None:
    assert kind((name, value)) is expected


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: [PD-1042] Export fails",
        "Out of Office AutoReply: Export fails",
        "Respuesta automática: Export",
        "Autosvar: Export",
        "Automatiskt svar: Export",
        "Automatische Antwort: Export",
        "Abwesenheitsnotiz",
        "Réponse automatique : Export",
        "Risposta automatica: Export",
        "Resposta automática: Export",
        "Automatisch antwoord: Export",
        "Automaattinen vastaus: Export",
        "Automatyczna odpowiedź: Export",
        "自動応答: Export",
        "自动回复：Export",
    ],
)
def test_subjects_that_machines_write(subject: str) -> None:
    assert kind(subject=subject) is MailKind.AUTO_REPLY


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Automatic reply does not work since the update", "We get no automatic reply: any more."),
        ("Re: Automatic reply: Export fails", "I am back. Thank you for your email."),
        ("SV: Autosvar: Export", "Jag är tillbaka."),
        ("Vacation", "I am on vacation from 1 December. Please give my seat to Ana until the 20th."),
        ("Out of office next week", "I will be out of the office. Who of us may close PD-1042?"),
        ("Urlaub: wer übernimmt?", "Ich bin im Urlaub, bitte Ana als Superuser eintragen."),
        ("Export fails", "Thank you for your email. It still fails.\n\n> I am out of the office until Monday"),
        ("Re: Export fails", "It works.\n\nOn Monday Ana wrote:\n> I am out of office"),
        ("Undelivered Mail Returned to Sender", "Why do we get these?"),
    ],
)
def test_a_person_is_no_machine(subject: str, text: str) -> None:
    assert kind(subject=subject, text=text) is MailKind.PERSON


@pytest.mark.parametrize(
    ("subject", "text", "reverse_path", "headers"),
    [
        ("Out of Office", THANKS, "lucia@acme.test", ()),
        (
            "Out of Office",
            THANKS,
            "lucia@acme.test",
            (("list-id", "<support.nordvik.test>"),),
        ),  # came by a list of ours
        ("Away", AWAY, "", ()),
        ("Re: Export fails", AWAY, "", ()),
        ("Lucia Perez is out of the office", AWAY, "lucia@acme.test", (("auto-submitted", "auto-generated"),)),
        ("Frånvaro: Export", "Åter måndag.", "", ()),
        ("Vacaciones", "Gracias por su mensaje. Estoy de vacaciones.", "lucia@acme.test", ()),
        ("Ferie", "Tak for din mail. Jeg er på ferie.", None, ()),
    ],
)
def test_absence_notices(
    subject: str, text: str, reverse_path: str | None, headers: tuple[tuple[str, str], ...]
) -> None:
    assert kind(*headers, subject=subject, text=text, reverse_path=reverse_path) is MailKind.AUTO_REPLY


@pytest.mark.parametrize(
    ("author", "reverse_path", "expected"),
    [
        ("lucia@acme.test", "", MailKind.AUTO_GENERATED),
        ("lucia@acme.test", None, MailKind.PERSON),
        ("noreply@acme.test", "x@acme.test", MailKind.AUTO_GENERATED),
        ("do-not-reply@acme.test", "x@acme.test", MailKind.AUTO_GENERATED),
        ("news.no_reply@acme.test", "x@acme.test", MailKind.AUTO_GENERATED),
        ("mailer-daemon@acme.test", "x@acme.test", MailKind.AUTO_GENERATED),
        ("users-request@acme.test", "x@acme.test", MailKind.AUTO_GENERATED),
        ("owner-users@acme.test", "x@acme.test", MailKind.AUTO_GENERATED),
        ("norepe@acme.test", "norepe@acme.test", MailKind.PERSON),
        ("root@acme.test", "root@acme.test", MailKind.PERSON),
        ("", None, MailKind.PERSON),
    ],
)
def test_authors(author: str, reverse_path: str | None, expected: MailKind) -> None:
    assert kind(author=author, reverse_path=reverse_path) is expected


@pytest.mark.parametrize(
    ("actions", "feedback", "expected"),
    [
        (("failed",), None, MailKind.BOUNCE),
        (("delayed", "failed"), None, MailKind.BOUNCE),
        (("delivered", "delayed"), None, MailKind.DELAYED),
        (("relayed",), None, MailKind.DELIVERED),
        (("complaint",), "abuse", MailKind.COMPLAINT),
        ((), "abuse", MailKind.COMPLAINT),
    ],
)
def test_reports(actions: tuple[str, ...], feedback: str | None, expected: MailKind) -> None:
    recipients = tuple(ReportedRecipient(address="a@b.test", action=action) for action in actions)
    report = DeliveryReport(recipients=recipients, feedback_type=feedback)
    assert kind(("auto-submitted", "auto-replied"), report=report) is expected


def test_aggregate_reports() -> None:
    subject = "Report Domain: nordvik.test Submitter: isp.example Report-ID: <1>"
    facts = FormFacts(auto_headers=(), reverse_path=None, author="x@isp.example", subject=subject, text="")
    assert classify(facts) == (MailKind.AUTO_GENERATED, "aggregate-report")


def test_evidence_names_the_header() -> None:
    facts = FormFacts(
        auto_headers=(("auto-submitted", "auto-replied"),), reverse_path=None, author="a@b.test", subject="", text=""
    )
    assert classify(facts) == (MailKind.AUTO_REPLY, "Auto-Submitted: auto-replied")
