"""May an agent answer from the mail client? (T21: off unless the vendor wants it)

Only believed, with the reply token that was made for this agent on this ticket, while still an agent. What is not
sent to the customer is held whole, and the agent hears why.
"""

from dataclasses import replace

from rules.authn import belief_of, obstacle_to_order
from rules.autoreply import obstacle_to_answer
from rules.case import Case, Outcome, held
from rules.reply import answer
from rules.ticket_commands import Unreadable, read_agent_command
from values.decision import AddArticle, AgentFact, Decision, Notice, TicketFact
from values.mail import Mailbox
from values.vocabulary import (
    AgentObstacle,
    ArticleKind,
    Belief,
    LedgerState,
    MailName,
    MatchedBy,
    ParticipantRole,
    Reason,
    TicketCommand,
)


def agent_by_mail(case: Case) -> Outcome:
    """Gate: every mail of an agent is answered here; none becomes a customer's ticket."""
    agent = case.facts.agent
    if agent is None:
        return "no"
    ticket = _own_ticket(case, agent)
    if not case.policy.agent_by_mail:
        why = "Answers by mail are switched off (agent_by_mail): `postdesk ticket reply` answers."
        return _held(case, agent, ticket, AgentObstacle.SWITCHED_OFF, why)
    if why := obstacle_to_order(case):
        return _held(case, agent, None, AgentObstacle.NOT_PROVED, why)
    if ticket is None:
        why = "The mail does not go to a reply address that was made for this agent."
        return _held(case, agent, None, AgentObstacle.NO_TICKET, why)
    if command := read_agent_command(case.mail.text):  # a remark must not reach a customer
        why = "A line of the mail is a command, and commands of agents by mail are not understood yet."
        return _held(case, agent, ticket, AgentObstacle.COMMAND, why, command)
    if why := case.policy.too_much([file.size for file in case.mail.attachments]):
        return _held(case, agent, ticket, AgentObstacle.TOO_MUCH, why)
    return _answered(case, agent, ticket)


def _own_ticket(case: Case, agent: AgentFact) -> TicketFact | None:
    """The ticket whose reply address, made for this agent, the mail goes to."""
    for token in case.clues.reply_tokens:
        ticket = case.facts.ticket(token.ticket)
        participants = ticket.participants if ticket and token.found_in is MatchedBy.REPLY_TOKEN else ()
        for one in participants:
            is_own = (one.id, one.generation) == (token.participant, token.generation)
            if is_own and one.role is ParticipantRole.AGENT and one.address.lower() == agent.address.lower():
                return ticket
    return None


def _held(
    case: Case,
    agent: AgentFact,
    ticket: TicketFact | None,
    obstacle: AgentObstacle,
    why: str,
    command: Unreadable | None = None,
) -> Decision:
    """Nothing of it goes out, and the agent hears that."""
    reason = Reason.UNKNOWN_COMMAND if command else Reason.AGENT_BY_MAIL
    decision = held(reason, why, "open a ticket with it", ticket=ticket.number if ticket else None)
    notices, line = _receipt(case, agent, ticket, obstacle, command.nearest if command else None)
    return replace(decision, notices=notices, trace=(line,))


def _receipt(
    case: Case, agent: AgentFact, ticket: TicketFact | None, obstacle: AgentObstacle, nearest: TicketCommand | None
) -> tuple[tuple[Notice, ...], str]:
    """The agent's own answer; not a word of the mail stands in it (T25)."""
    policy, sent = case.policy, case.facts.sent.to_author_last_day
    is_proved = obstacle_to_order(case) == ""
    few, many = policy.acknowledgements_per_unproved_author_per_day, policy.acknowledgements_per_author_per_day
    against = obstacle_to_answer(case, repeats=is_proved)
    if belief_of(case) is Belief.REFUTED:
        against = "somebody else wrote it"
    elif case.facts.proof_spent:
        against = "it is a copy of one that was obeyed"
    elif not against and sent >= (many if is_proved else few):
        against = f"{sent} automatic mails to the author today"
    if against:
        return (), f"receipt: no, {against}"
    notice = Notice(
        mail=MailName.AGENT_MAIL_HELD,
        recipient=agent.address,
        key=Notice.key_of(MailName.AGENT_MAIL_HELD, case.mail.spool_id, agent.address),
        ticket=ticket.number if ticket and is_proved else None,
        language=agent.language,
        zone=agent.zone,
        in_reply_to=case.mail.message_id if is_proved else None,
        context=(
            ("obstacle", obstacle.value),
            ("nearest", nearest.value if nearest else ""),
            ("held", case.mail.spool_id),
            ("sender_text", int(is_proved)),
        ),
    )
    return (notice,), f"receipt: to {agent.address}"


def _answered(case: Case, agent: AgentFact, ticket: TicketFact) -> Decision:
    status, notices = answer(ticket, agent, case.mail.spool_id)
    article = AddArticle(
        ticket=ticket.number,
        author=Mailbox(address=agent.address, name=agent.name),
        kind=ArticleKind.OUTBOUND,
        status=status,
        assignee=agent.id,
    )
    return Decision(
        state=LedgerState.ARTICLE_ADDED,
        reason=Reason.AGENT_REPLY,
        matched_by=MatchedBy.REPLY_TOKEN,
        ticket=ticket.number,
        actions=(article,),
        notices=notices,
    )
