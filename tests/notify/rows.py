"""The rows behind one fixed ticket, for tests of what a mail says."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from models.access.views import AccessRows, LinkView, RequestView, SeatView
from models.inbound.held import Waiting, WaitingMails
from models.outbox.outbox import Claimed
from models.views.mails import ArticleView, FileView, MailRows, ParticipantView, TicketView
from models.views.open_tickets import OpenTicket, OpenTickets
from notify.mails import Letterhead
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys
from values.vocabulary import (
    AccessKind,
    AccessState,
    AgentObstacle,
    Belief,
    LinkPurpose,
    MailboxPurpose,
    MailName,
    ParticipantRole,
    SeatState,
    StaffTask,
    TicketAnswer,
    TicketCommand,
    TicketStatus,
    Undelivered,
)

NOW = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)
LETTERHEAD = Letterhead(
    policy=Policy(
        mailboxes=(
            OwnMailbox(address="support@nordvik.test", purpose=MailboxPurpose.SUPPORT),
            OwnMailbox(address="access@nordvik.test", purpose=MailboxPurpose.ACCESS),
        ),
        return_path="bounce@nordvik.test",
        desk_domain="desk.nordvik.test",
        vendor_name="Nordvik Support",
        agent_by_mail=True,
    ),
    keys=Keys(current="a", secrets={"a": bytes(range(32))}),
    access_url="https://desk.nordvik.test/request-access",
    portal_url="https://desk.nordvik.test",
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


def agent_notice(
    language: str = "en", *, marked: bool = False, new: bool = True, order: TicketCommand | None = None
) -> MailRows:
    context = {"order": order.value} if order else {}
    return MailRows(
        claimed=claimed(
            MailName.AGENT_NOTICE, recipient="anna@nordvik.test", language=language, participant=2, context=context
        ),
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


def answer_undelivered(language: str = "en", what: Undelivered = Undelivered.FAILED) -> MailRows:
    replies = {
        Undelivered.FAILED: "550 5.1.1 <lucia@ibarra.test>: no such user",
        Undelivered.SUPPRESSED: "its address is suppressed: hard-bounce",
        Undelivered.RETURNED: "failed 5.2.2 mailboxfull",
    }
    context = {"what": what.value, "address": "lucia@ibarra.test", "reply": replies[what], "outbox": 12}
    row = claimed(
        MailName.ANSWER_UNDELIVERED,
        recipient="anna@nordvik.test",
        language=language,
        article=None,
        participant=None,
        context=context,
    )
    return MailRows(claimed=row, ticket=TICKET, message_ids=("q1@ibarra.test",))


def held_waiting(language: str, *, more: int = 0) -> MailRows:
    why = "x@evil.test is of no customer that we know."
    stranger = Waiting(id="01m85t3h0w000fyek5jf2gvk3e", author="x@evil.test", subject="Invoice <b>", why=why)
    nameless = Waiting(id="01m85t3h0w000fyek5jf2gvk3f", author="", subject="Hola", why="The mail names no author.")
    row = claimed(
        MailName.HELD_WAITING,
        recipient="anna@nordvik.test",
        language=language,
        ticket=None,
        article=None,
        participant=None,
    )
    return MailRows(claimed=row, waiting=WaitingMails(mails=(stranger, nameless), more=more))


def agent_mail_held(
    language: str, obstacle: AgentObstacle, *, ticket: bool = False, nearest: TicketCommand | None = None
) -> MailRows:
    near = nearest.value if nearest else ""
    context = {"obstacle": obstacle.value, "nearest": near, "held": "01m85t3h0w000fyek5jf2gvk3e"}
    row = claimed(
        MailName.AGENT_MAIL_HELD,
        recipient="anna@nordvik.test",
        language=language,
        ticket=1042 if ticket else None,
        article=None,
        participant=None,
        in_reply_to="q2@nordvik.test",
        context=context | {"sender_text": int(obstacle is not AgentObstacle.NOT_PROVED)},
    )
    return MailRows(claimed=row, ticket=TICKET if ticket else None)


# --- commands about tickets ----------------------------------------------------------------------------------------


def ticket_command(
    language: str,
    answer: TicketAnswer,
    command: TicketCommand | None = None,
    *,
    ticket: bool = True,
    nearest: TicketCommand | None = None,
    superuser: bool = True,
) -> MailRows:
    context = {
        "answer": answer.value,
        "command": command.value if command else "",
        "nearest": nearest.value if nearest else "",
        "colleague": "jon@ibarra.test" if command is TicketCommand.CC else None,
        "superuser": int(superuser),
        "sender_text": int(answer is not TicketAnswer.NOT_PROVED),
    }
    row = claimed(
        MailName.TICKET_COMMAND,
        language=language,
        ticket=1042 if ticket else None,
        article=None,
        participant=1 if ticket else None,
        in_reply_to="q2@ibarra.test",
        context=context,
    )
    if not ticket:
        return MailRows(claimed=row)
    return MailRows(claimed=row, ticket=TICKET, participant=REQUESTER, message_ids=("q1@ibarra.test",))


OPEN_TICKETS = OpenTickets(
    tickets=(
        OpenTicket(
            number=1042,
            subject="La exportación se detiene",
            status=TicketStatus.PENDING,
            updated=NOW - timedelta(days=2),
        ),
        OpenTicket(
            number=1051,
            subject="Re: Factura con un asunto tan largo que no cabe en su columna <b>",
            status=TicketStatus.OPEN,
            updated=NOW,
        ),
        OpenTicket(
            number=1049, subject="Printer 打印机 broken", status=TicketStatus.NEW, updated=NOW - timedelta(hours=5)
        ),
        OpenTicket(number=998, subject="", status=TicketStatus.RESOLVED, updated=NOW - timedelta(days=40)),
    )
)


def ticket_status(
    language: str, found: OpenTickets = OPEN_TICKETS, *, every: bool = False, superuser: bool = True
) -> MailRows:
    row = claimed(
        MailName.TICKET_STATUS,
        language=language,
        ticket=None,
        article=None,
        participant=None,
        in_reply_to="q2@ibarra.test",
        context={"contact": 1, "every": int(every), "superuser": int(superuser)},
    )
    return MailRows(claimed=row, open_tickets=found)


# --- access ---------------------------------------------------------------------------------------------------------

LUCIA = SeatView(
    id=1,
    customer=1,
    customer_name="Talleres Ibarra S.A.",
    contact=1,
    name="Lucía Ibarra",
    address="lucia@ibarra.test",
    state=SeatState.ACTIVE,
    slot=1,
    starts=NOW,
    until=None,
    starts_on=None,
    ends_on=None,
    stands_in_for=None,
    regular=None,
    flag=None,
)
JON = replace(LUCIA, id=2, contact=2, name="", address="jon@ibarra.test", slot=2)
MARIA = replace(
    LUCIA,
    id=3,
    contact=3,
    name="María Sanz",
    address="maria@ibarra.test",
    starts_on=date(2026, 12, 1),
    ends_on=date(2026, 12, 15),
    stands_in_for=1,
    regular="Lucía Ibarra",
)
REQUEST = RequestView(
    id=17,
    state=AccessState.WAITING,
    kind=AccessKind.IN_PLACE_OF,
    name="María Sanz",
    address="maria@ibarra.test",
    company="Talleres Ibarra, https://evil.test",
    phone="+34 600 000 000",
    language="es",
    in_place_of="Lucía Ibarra",
    starts_on=MARIA.starts_on,
    ends_on=MARIA.ends_on,
    customer=1,
    customer_name="Talleres Ibarra S.A.",
    seat=3,
    belief=Belief.UNPROVED,
    evidence=(),
    via="form",
    created=NOW,
    due=NOW + timedelta(hours=24),
    proved_at=NOW,
    decided_at=None,
    decided_by=None,
    reason=None,
    agreed_by=None,
    invited_at=None,
    accepted_at=None,
)
NEW_ONE = replace(REQUEST, kind=AccessKind.NEW, in_place_of="", starts_on=None, ends_on=None)
COMPANY = AccessRows(
    request=REQUEST,
    seat=MARIA,
    customer="Talleres Ibarra S.A.",
    seats=2,
    holders=(LUCIA, JON),
    manager="sales@nordvik.test",
)
SEED = "5eed" * 16


def access(mail: MailName, language: str, rows: AccessRows = COMPANY, *, to: str = "", **context: str) -> MailRows:
    """A mail about access, to María unless said otherwise."""
    row = claimed(
        mail,
        recipient=to or "maria@ibarra.test",
        language=language,
        ticket=None,
        article=None,
        participant=None,
        context=context,
        in_reply_to="a1@ibarra.test" if mail in (MailName.COMMAND_ANSWER, MailName.COLLEAGUE_HELD) else None,
    )
    return MailRows(claimed=row, access=rows)


def linked(mail: MailName, purpose: LinkPurpose, language: str, rows: AccessRows = COMPANY) -> MailRows:
    link = LinkView(id=5, purpose=purpose, seed=SEED, expires=NOW + timedelta(hours=72), is_open=True)
    return access(mail, language, replace(rows, link=link))
