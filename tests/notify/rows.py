"""The rows behind one fixed ticket, for tests of what a mail says."""

from dataclasses import replace
from datetime import UTC, datetime

from models.mail_views import ArticleView, FileView, MailRows, ParticipantView, TicketView
from models.outbox import Claimed
from models.vocabulary import MailboxPurpose, MailName, ParticipantRole, StaffTask
from notify.mails import Letterhead
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys

NOW = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)
LETTERHEAD = Letterhead(
    policy=Policy(
        mailboxes=(OwnMailbox(address="support@nordvik.test", purpose=MailboxPurpose.SUPPORT),),
        return_path="bounce@nordvik.test",
        desk_domain="desk.nordvik.test",
        vendor_name="Nordvik Support",
        agent_by_mail=True,
    ),
    keys=Keys(current="a", secrets={"a": bytes(range(32))}),
    access_url="https://desk.nordvik.test/request-access",
)
TICKET = TicketView(
    number=1042,
    subject="La exportación se detiene",
    requester="lucia@ibarra.test",
    product="Nordvik Payroll",
    erp="Business Central",
    erp_version="24",
    product_version=None,
    marked=False,
    customer="Talleres Ibarra S.A.",
)
QUESTION = ArticleView(
    id=1,
    author="lucia@ibarra.test",
    author_name="Lucía Ibarra",
    at=NOW,
    subject="La exportación se detiene",
    text="Buenos días:\n\nLa exportación se detiene en la línea 12.\n  Error <E-7> & nada más.\n\nSaludos\nLucía",
    message_id="q1@ibarra.test",
    marked=False,
    first=True,
    files=(FileView(name="captura.png", size=211_000), FileView(name="registro.log", size=1_480_000)),
)
ANSWER = ArticleView(
    id=2,
    author="anna@nordvik.test",
    author_name="Anna Lind",
    at=NOW,
    subject="",
    text="Hola, Lucía:\n\n¿Podría enviarnos el registro de eventos?\n\n> ya está\nGracias.",
    message_id=None,
    marked=False,
    first=False,
)
REQUESTER = ParticipantView(id=1, role=ParticipantRole.REQUESTER, generation=1)
AGENT = ParticipantView(id=2, role=ParticipantRole.AGENT, generation=1)


def claimed(mail: MailName, *, recipient: str = "lucia@ibarra.test", language: str = "en", **more: object) -> Claimed:
    row = Claimed(
        id=7,
        fence=1,
        attempts=1,
        key="key",
        mail=mail,
        recipient=recipient,
        ticket=1042,
        article=1,
        participant=1,
        language=language,
        zone="Europe/Madrid",
        in_reply_to=None,
        context={},
        message_id=None,
        created=NOW,
    )
    return replace(row, **more)  # type: ignore[arg-type]


def acknowledgement(language: str = "en", *, sender_text: int = 1) -> MailRows:
    return MailRows(
        claimed=claimed(
            MailName.ACKNOWLEDGEMENT,
            language=language,
            in_reply_to="q1@ibarra.test",
            context={"sender_text": sender_text},
        ),
        ticket=TICKET,
        article=QUESTION,
        participant=REQUESTER,
        message_ids=("q1@ibarra.test",),
    )


def agent_reply(language: str = "en") -> MailRows:
    return MailRows(
        claimed=claimed(MailName.AGENT_REPLY, language=language, article=2),
        ticket=TICKET,
        article=ANSWER,
        answered=QUESTION,
        participant=REQUESTER,
        message_ids=("q1@ibarra.test", "t1042.o7.aaaa@desk.nordvik.test"),
    )


def agent_notice(language: str = "en", *, marked: bool = False, new: bool = True) -> MailRows:
    return MailRows(
        claimed=claimed(MailName.AGENT_NOTICE, recipient="anna@nordvik.test", language=language, participant=2),
        ticket=replace(TICKET, customer=None if marked else TICKET.customer),
        article=replace(QUESTION, marked=marked, first=new),
        participant=AGENT,
        message_ids=("q1@ibarra.test",),
    )


def unknown_author(language: str = "en") -> MailRows:
    return MailRows(
        claimed=claimed(
            MailName.UNKNOWN_AUTHOR,
            recipient="info@unknown.test",
            language=language,
            ticket=None,
            article=None,
            participant=None,
            in_reply_to="spam-word@unknown.test",
        )
    )


def staff_task(language: str = "en", what: StaffTask = StaffTask.PAUSED, *, ticket: int | None = 1042) -> MailRows:
    numbers = {"received": 20, "sent": 3} if what is StaffTask.PAUSED else {"bounces": 2}
    return MailRows(
        claimed=claimed(
            MailName.STAFF_TASK,
            recipient="anna@nordvik.test",
            language=language,
            ticket=ticket,
            article=None,
            participant=None,
            context={"what": what.value, "address": "lucia@ibarra.test", **numbers},
        )
    )
