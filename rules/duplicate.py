"""Have we recorded this very mail before? By content and author, never by the Message-ID alone (T22, RFC 1047).

Whoever has a copy of a signed mail can be quicker with it, after changing what is not signed: so that it looks like a
machine's, goes round in circles or lands in another ticket. Such a copy must not swallow the genuine mail.
"""

from dataclasses import replace

from rules.authn import powers
from rules.belief import POWERS, proof_of
from rules.case import Case, Outcome
from values.decision import Decision, NoteSecondCopy, TakePlace
from values.mail import AuthEvidence
from values.vocabulary import LedgerState, Reason

_CAME_TO_NOTHING = (LedgerState.HELD, LedgerState.AUTO_REPLY_NOTED)
_ARTICLE = (LedgerState.TICKET_OPENED, LedgerState.ARTICLE_ADDED)


def second_copy(case: Case) -> Outcome:
    """Gate: a second copy is noted and nothing else, unless the first one's end may be somebody's forgery."""
    first = case.facts.second_copy_of
    if first is None:
        return "no"
    if case.facts.second_copy_state is LedgerState.DISCARDED:  # such as the copy that a mailing list sent us
        return f"no: {first} was discarded"
    if _may_differ(case):
        return f"of {first}, which may be a changed one"
    return _absorbed(first)


def settled(case: Case, decision: Decision) -> Decision:
    """The decision about a second copy that was not absorbed: it ends as the first one did, or takes its place."""
    first = case.facts.second_copy_of
    if first is None or decision.state is LedgerState.DUPLICATE:
        return decision
    if case.facts.second_copy_state is not LedgerState.DISCARDED and _ends_alike(case, decision):
        return replace(_absorbed(first), trace=decision.trace)
    return replace(decision, actions=(TakePlace(of=first), *decision.actions))


def _may_differ(case: Case) -> bool:
    """A first copy that came to nothing absorbs what is proved worse; one on a ticket, what is proved no better.

    A trace, an envelope and the fields of machines are never signed, so that a copy that is as well proved may differ.
    """
    facts = case.facts
    its = proof_of(facts.second_copy_auth or AuthEvidence(), authentication=case.policy.authentication)
    mine = powers(case).absorbs
    if facts.second_copy_state in _CAME_TO_NOTHING:
        return mine >= POWERS[its].absorbs
    return facts.second_copy_state in _ARTICLE and mine > POWERS[its].absorbs


def _ends_alike(case: Case, decision: Decision) -> bool:
    facts = case.facts
    if facts.second_copy_state in _CAME_TO_NOTHING:
        return (decision.state, decision.reason) == (facts.second_copy_state, facts.second_copy_reason)
    if decision.state not in (*_ARTICLE, LedgerState.COMMAND_DONE):
        return True
    both_opened = decision.state is facts.second_copy_state is LedgerState.TICKET_OPENED
    return both_opened or decision.ticket == facts.second_copy_ticket


def _absorbed(first: str) -> Decision:
    return Decision(
        state=LedgerState.DUPLICATE, reason=Reason.SECOND_COPY, actions=(NoteSecondCopy(of=first),), trace=()
    )
