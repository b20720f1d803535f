"""May an agent answer from the mail client? (T21: off unless the vendor wants it)

Only believed, with the reply token that was made for this agent on this ticket, while still an agent.
"""

from rules.authn import obstacle_to_order
from rules.case import Case, Outcome, held
from rules.reply import answer
from values.decision import AddArticle, AgentFact, Decision, TicketFact
from values.mail import Mailbox
from values.vocabulary import ArticleKind, LedgerState, MatchedBy, ParticipantRole, Reason


def agent_by_mail(case: Case) -> Outcome:
    """Gate: every mail of an agent is answered here; none becomes a customer's ticket."""
    agent = case.facts.agent
    if agent is None:
        return "no"
    obstacle, ticket = _obstacle(case, agent)
    if obstacle or ticket is None:
        return held(Reason.AGENT_BY_MAIL, obstacle, "open a ticket with it", ticket=ticket.number if ticket else None)
    lines = case.mail.text.strip().splitlines() or [""]
    if lines[0].startswith("/") or lines[-1].startswith("/"):  # a remark must not reach a customer
        why = "The mail begins or ends with a command, and commands by mail are not understood yet."
        return held(Reason.UNKNOWN_COMMAND, why, "open a ticket with it", ticket=ticket.number)
    return _answered(case, agent, ticket)


def _obstacle(case: Case, agent: AgentFact) -> tuple[str, TicketFact | None]:
    if not case.policy.agent_by_mail:
        return "Answers by mail are switched off (agent_by_mail): `postdesk ticket reply` answers.", None
    if obstacle := obstacle_to_order(case):
        return obstacle, None
    for token in case.clues.reply_tokens:
        ticket = case.facts.ticket(token.ticket)
        participants = ticket.participants if ticket and token.found_in is MatchedBy.REPLY_TOKEN else ()
        for one in participants:
            is_own = (one.id, one.generation) == (token.participant, token.generation)
            if is_own and one.role is ParticipantRole.AGENT and one.address.lower() == agent.address.lower():
                return "", ticket
    return "The mail does not go to a reply address that was made for this agent.", None


def _answered(case: Case, agent: AgentFact, ticket: TicketFact) -> Decision:
    status, notices = answer(ticket, agent, case.mail.spool_id, zone=case.policy.zone)
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
