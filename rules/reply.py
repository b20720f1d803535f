"""Who hears of an answer, and who of a customer's mail? Mail and portal ask the same functions.

An agent's answer is conversation: written by a person, marked as automatic nowhere. Agents' notices are notices.
"""

from rules.case import Case
from rules.policy import Policy
from values.decision import AgentFact, Notice, OutboxFact, TicketFact
from values.vocabulary import (
    AgentNotices,
    MailName,
    ParticipantRole,
    StaffTask,
    TicketCommand,
    TicketStatus,
    Undelivered,
)

REPLY_TOLD = 300  # characters of what a server said


def answer(
    ticket: TicketFact,
    agent: AgentFact,
    cause: str,
    *,
    note: bool = False,
    close: bool = False,
    in_reply_to: str | None = None,
    context: tuple[tuple[str, str | int | None], ...] = (),
) -> tuple[TicketStatus | None, tuple[Notice, ...]]:
    """The ticket's next status (None = unchanged) and one mail for each participant who is no agent.

    `cause`: what makes the answer one of its kind: the ledger id of an agent's mail, or `article:<id>` of the portal.
    `note`: an internal note, which nobody outside gets. `in_reply_to`: Message-ID of the customer's last mail.
    `context`: handed to the composer, such as the article's id. The answer's author stands in it besides: whom to tell
    where a mail does not arrive.
    """
    status = TicketStatus.CLOSED if close else None if note else TicketStatus.PENDING
    outside: dict[str, ParticipantRole] = {}
    for participant in ticket.participants:
        if participant.role is not ParticipantRole.AGENT and participant.address.lower() != agent.address.lower():
            outside.setdefault(participant.address.lower(), participant.role)
    notices = (
        Notice(
            mail=MailName.AGENT_REPLY,
            recipient=address,
            key=Notice.key_of(MailName.AGENT_REPLY, cause, address),
            ticket=ticket.number,
            language=ticket.language,
            in_reply_to=in_reply_to,
            role=role,
            context=(
                ("author", agent.address),
                ("author_language", agent.language),
                ("author_zone", agent.zone),
                *context,
            ),
        )
        for address, role in outside.items()
    )
    return status, () if note else tuple(notices)


def agents_notices(case: Case, ticket: TicketFact | None, order: TicketCommand | None = None) -> tuple[Notice, ...]:
    """Tell the agents who want to hear: of a new ticket (None), or of a mail added to `ticket`. Never the author.

    `order`: the mail is a command that was obeyed.
    """
    return tuple(
        Notice(
            mail=MailName.AGENT_NOTICE,
            recipient=agent.address,
            key=Notice.key_of(MailName.AGENT_NOTICE, case.mail.spool_id, agent.address),
            ticket=ticket.number if ticket else None,
            about_new_ticket=ticket is None,
            language=agent.language,
            zone=agent.zone,
            role=ParticipantRole.AGENT,
            context=(("new", int(ticket is None)), *((("order", order.value),) if order else ())),
        )
        for agent in case.facts.notified_agents
        if agent.address.lower() != case.author and _wants(agent, ticket, case.policy)
    )


def _wants(agent: AgentFact, ticket: TicketFact | None, policy: Policy) -> bool:
    """Whether the agent hears of this ticket; None: a new one, or what concerns the whole desk."""
    is_theirs = ticket is not None and ticket.assignee == agent.id
    chosen = agent.notices is AgentNotices.ALL or (agent.notices is AgentNotices.MINE and is_theirs)
    return chosen and not policy.is_own(agent.address.lower())


def staff_notices(
    case: Case, what: StaffTask, address: str, *, cause: str, ticket: int | None = None, **numbers: int
) -> tuple[Notice, ...]:
    """Tell the agents who want to hear what only a person can mend. `cause`: one mail for each, ever."""
    return tuple(
        Notice(
            mail=MailName.STAFF_TASK,
            recipient=agent.address,
            key=Notice.key_of(MailName.STAFF_TASK, f"{what}:{cause}", agent.address),
            ticket=ticket,
            language=agent.language,
            zone=agent.zone,
            context=(("what", what.value), ("address", address), *numbers.items()),
        )
        for agent in case.facts.notified_agents
        if agent.address.lower() != address.lower() and _wants(agent, None, case.policy)
    )


def undelivered(row: OutboxFact, what: Undelivered, reply: str, *, cause: str, policy: Policy) -> tuple[Notice, ...]:
    """Tell the agent whose answer did not arrive, with what was said of it last. `cause`: one mail for each, ever.

    Of no other mail: nobody waits for those that leave by themselves, and notices about notices would never end.
    """
    told = dict(row.about)
    author = str(told.get("author") or "")
    if row.mail is not MailName.AGENT_REPLY or not author or policy.is_own(author.lower()):
        return ()
    context = (("what", what.value), ("address", row.recipient), ("reply", reply[:REPLY_TOLD]), ("outbox", row.id))
    notice = Notice(
        mail=MailName.ANSWER_UNDELIVERED,
        recipient=author,
        key=Notice.key_of(MailName.ANSWER_UNDELIVERED, f"outbox:{row.id}:{cause}", author),
        ticket=row.ticket,
        language=str(told.get("author_language") or policy.language),
        zone=str(told.get("author_zone") or ""),
        context=context,
    )
    return (notice,)
