"""Every mail in every language, octet by octet.

After a wanted change: `pytest tests/sent --update`, then read `git diff`.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from models.access.views import AccessRows, HeldView
from models.views.mails import MailRows
from models.views.open_tickets import OpenTickets
from notify.compose import Composed, OutgoingMail, compose
from notify.mails import CATALOGUE, outgoing
from notify.render import LANGUAGES, Renderer
from tests.notify import rows
from values.vocabulary import (
    AccessKind,
    AgentObstacle,
    Answer,
    Belief,
    Command,
    LinkPurpose,
    MailName,
    RequestNews,
    SeatChange,
    StaffTask,
    TicketAnswer,
    TicketCommand,
    Undelivered,
)


def access_variants() -> dict[str, Callable[[str], MailRows]]:
    """Every mail about access, and each thing that it can tell."""
    new = replace(rows.COMPANY, request=rows.NEW_ONE, seat=replace(rows.MARIA, regular=None))
    unknown = AccessRows(
        request=replace(
            rows.NEW_ONE,
            belief=Belief.BELIEVED,
            customer=None,
            customer_name=None,
            kind=AccessKind.IN_PLACE_OF,
            said="Hej,\njag ska ersätta Erik från 1/12.\nSe https://evil.test/x",
        )
    )
    made: dict[str, Callable[[str], MailRows]] = {
        "access_proof": lambda lang: rows.linked(MailName.ACCESS_PROOF, LinkPurpose.PROOF, lang),
        "access_desk_notice": lambda lang: rows.access(MailName.ACCESS_DESK_NOTICE, lang, to="anna@nordvik.test"),
        "access_desk_notice.unknown": lambda lang: rows.access(MailName.ACCESS_DESK_NOTICE, lang, unknown),
        "access_agree": lambda lang: rows.access(MailName.ACCESS_AGREE, lang, to="lucia@ibarra.test"),
        "access_late": lambda lang: rows.access(MailName.ACCESS_LATE, lang, to="anna@nordvik.test"),
        "access_seats_taken": lambda lang: rows.access(MailName.ACCESS_SEATS_TAKEN, lang, new),
        "invitation": lambda lang: rows.linked(MailName.INVITATION, LinkPurpose.INVITATION, lang, new),
        "invitation.stand-in": lambda lang: rows.linked(MailName.INVITATION, LinkPurpose.INVITATION, lang),
        "invitation_bounced": lambda lang: rows.access(MailName.INVITATION_BOUNCED, lang, to="sales@nordvik.test"),
        "seat_returns_soon": lambda lang: rows.access(MailName.SEAT_RETURNS_SOON, lang),
        "sign_in": lambda lang: rows.linked(MailName.SIGN_IN, LinkPurpose.SIGN_IN, lang),
        "colleague_held": lambda lang: rows.access(MailName.COLLEAGUE_HELD, lang, AccessRows()),
        "colleague_declined": lambda lang: rows.access(
            MailName.COLLEAGUE_DECLINED,
            lang,
            AccessRows(held=HeldView(author="jon@ibarra.test", subject="No imprime", text="")),
        ),
        "colleague_ask": lambda lang: rows.access(
            MailName.COLLEAGUE_ASK,
            lang,
            AccessRows(held=HeldView(author="jon@ibarra.test", subject="No imprime", text="Hola:\n\nNo imprime nada.")),
        ),
    }
    for reason in ("has-seat", "seats-taken", "Sin contrato."):
        request = replace(rows.NEW_ONE, reason=reason)
        name = f"access_refused.{reason.rstrip('.').replace(' ', '-').lower()}"
        made[name] = lambda lang, r=request: rows.access(MailName.ACCESS_REFUSED, lang, AccessRows(request=r))  # type: ignore[misc]
    for change in SeatChange:
        made[f"seat_changed.{change}"] = lambda lang, c=change: rows.access(MailName.SEAT_CHANGED, lang, change=c)  # type: ignore[misc]
    told = replace(rows.COMPANY, request=replace(rows.REQUEST, reason="No contract.", agreed_by="lucia@ibarra.test"))
    for news in RequestNews:
        made[f"request_news.{news}"] = lambda lang, n=news: rows.access(  # type: ignore[misc]
            MailName.REQUEST_NEWS, lang, told, to="lucia@ibarra.test", news=n
        )
    for flag in ("bounces", "over-number"):
        flagged = replace(rows.COMPANY, seat=replace(rows.LUCIA, flag=flag))
        made[f"seat_flagged.{flag}"] = lambda lang, f=flagged: rows.access(MailName.SEAT_FLAGGED, lang, f)  # type: ignore[misc]
    for answer, command in ANSWERS:
        made[f"command_answer.{answer}{f'.{command}' if command else ''}"] = lambda lang, a=answer, c=command: (
            rows.access(  # type: ignore[misc]
                MailName.COMMAND_ANSWER, lang, answer=a, command=c or "", works=",".join(Command)
            )
        )
    return made


def ticket_variants() -> dict[str, Callable[[str], MailRows]]:
    """Everything that can be said of a command about tickets, and the tables."""
    close, reopen, _, every, cc, help = TicketCommand
    done, already, too_late, no_ticket, not_ours, not_yours, not_proved, unknown = TicketAnswer
    told = (
        *((done, close), (done, reopen), (done, cc), (already, close), (already, reopen), (already, cc)),
        *((too_late, reopen), (not_ours, cc)),
    )
    made: dict[str, Callable[[str], MailRows]] = {
        f"ticket_command.{answer}.{command}": lambda lang, a=answer, c=command: rows.ticket_command(lang, a, c)  # type: ignore[misc]
        for answer, command in told
    }
    return made | {
        "ticket_command.done.help": lambda lang: rows.ticket_command(lang, done, help),
        "ticket_command.done.help.without-seat": lambda lang: rows.ticket_command(
            lang, done, help, ticket=False, superuser=False
        ),
        "ticket_command.no-ticket": lambda lang: rows.ticket_command(lang, no_ticket, close, ticket=False),
        "ticket_command.not-yours": lambda lang: rows.ticket_command(
            lang, not_yours, every, ticket=False, superuser=False
        ),
        "ticket_command.not-proved": lambda lang: rows.ticket_command(lang, not_proved, ticket=False),
        "ticket_command.unknown": lambda lang: rows.ticket_command(lang, unknown),
        "ticket_command.unknown.nearest": lambda lang: rows.ticket_command(lang, unknown, nearest=close),
        "ticket_status": rows.ticket_status,
        "ticket_status.every": lambda lang: rows.ticket_status(lang, replace(rows.OPEN_TICKETS, more=7), every=True),
        "ticket_status.none": lambda lang: rows.ticket_status(lang, OpenTickets()),
        "ticket_status.every.none": lambda lang: rows.ticket_status(lang, OpenTickets(), every=True),
    }


ANSWERS: tuple[tuple[Answer, Command | None], ...] = (
    *((Answer.DONE, command) for command in Command),
    *((answer, None) for answer in Answer if answer not in (Answer.DONE, Answer.ASKED, Answer.QUIET, Answer.TOO_OFTEN)),
)
HERE = Path(__file__).parent
RENDERER = Renderer()
VARIANTS: dict[str, Callable[[str], MailRows]] = {
    "acknowledgement": rows.acknowledgement,
    "acknowledgement.unproved": lambda language: rows.acknowledgement(language, sender_text=0),
    "agent_reply": rows.agent_reply,
    "agent_notice": rows.agent_notice,
    "agent_notice.unproved": lambda language: rows.agent_notice(language, marked=True),
    "agent_notice.reply": lambda language: rows.agent_notice(language, new=False),
    "unknown_author": rows.unknown_author,
    "staff_task.dead-address": lambda language: rows.staff_task(language, StaffTask.DEAD_ADDRESS),
    "staff_task.complaint": lambda language: rows.staff_task(language, StaffTask.COMPLAINT, ticket=None),
    "staff_task.paused": lambda language: rows.staff_task(language, StaffTask.PAUSED),
    **{
        f"answer_undelivered.{what}": lambda language, what=what: rows.answer_undelivered(language, what)  # type: ignore[misc]
        for what in Undelivered
    },
    **{
        f"agent_mail_held.{obstacle}": lambda language, obstacle=obstacle: rows.agent_mail_held(language, obstacle)  # type: ignore[misc]
        for obstacle in (AgentObstacle.SWITCHED_OFF, AgentObstacle.NOT_PROVED, AgentObstacle.NO_TICKET)
    },
    "held_waiting": rows.held_waiting,
    "held_waiting.more": lambda language: rows.held_waiting(language, more=7),
    "agent_mail_held.command": lambda language: rows.agent_mail_held(
        language, AgentObstacle.COMMAND, ticket=True, nearest=TicketCommand.CLOSE
    ),
    "agent_mail_held.too-much": lambda language: rows.agent_mail_held(language, AgentObstacle.TOO_MUCH, ticket=True),
    "unknown_author.without-page": rows.unknown_author,
    **access_variants(),
    **ticket_variants(),
    **{
        f"agent_notice.{order}": lambda language, order=order: rows.agent_notice(language, new=False, order=order)  # type: ignore[misc]
        for order in (TicketCommand.CLOSE, TicketCommand.REOPEN, TicketCommand.CC)
    },
}


def composed(variant: str, language: str) -> Composed:
    letterhead = replace(rows.LETTERHEAD, access_url=None) if variant.endswith("without-page") else rows.LETTERHEAD
    mail = outgoing(VARIANTS[variant](language), letterhead)
    assert isinstance(mail, OutgoingMail), mail
    built = compose(mail, RENDERER)
    assert isinstance(built, Composed), built
    assert not built.notes, "nothing falls back"
    return built


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mail_is_the_golden_one(variant: str, language: str, request: pytest.FixtureRequest) -> None:
    golden = HERE / f"{variant}.{language}.eml"
    built = composed(variant, language).message
    if request.config.getoption("--update", default=False):
        golden.write_bytes(built)
    assert built == golden.read_bytes(), f"{golden.name} differs; if it should: pytest tests/sent --update"


def test_every_mail_of_the_catalogue_has_a_golden_one() -> None:
    assert {variant.partition(".")[0] for variant in VARIANTS} == {str(name) for name in CATALOGUE}
    assert {name.partition(".")[0] for name in (path.name for path in HERE.glob("*.eml"))} <= set(MailName)
    assert len(list(HERE.glob("*.eml"))) == len(VARIANTS) * len(LANGUAGES), "no golden mail is left over"


def test_rfc8098_no_mail_of_ours_is_a_report_or_asks_for_one() -> None:
    for golden in HERE.glob("*.eml"):
        head = golden.read_bytes().partition(b"\r\n\r\n")[0].lower()
        for word in (b"multipart/report", b"disposition-notification", b"return-receipt", b"x-confirm-reading"):
            assert word not in head, golden.name


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("variant", ["acknowledgement.unproved", "unknown_author"])
def test_subjects_of_ours_are_short(variant: str, language: str) -> None:
    message = message_from_bytes(composed(variant, language).message, policy=policy.default)
    assert len(message["Subject"]) <= 70


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mail_is_small_and_loads_nothing(variant: str, language: str) -> None:
    message = composed(variant, language).message
    assert len(message) < 20_000, "Gmail clips near 102 kB"
    for remote in (b"<img", b"src=3D", b"url(", b"<link", b"<script", b"@import"):
        assert remote not in message


def test_no_mail_looks_like_bulk_mail() -> None:
    """What content filters count against a mail: hidden emptiness, an address in the subject, an answer to nothing."""
    for golden in HERE.glob("*.eml"):
        message = message_from_bytes(golden.read_bytes(), policy=policy.default)
        html = message.get_body(("html",))
        assert html is not None and not re.search(r"<(div|span)[^>]*>\s*</\1>", html.get_content()), golden.name
        assert "@" not in message["Subject"], golden.name
        assert message["In-Reply-To"] or not message["Subject"].startswith("Re:"), golden.name
