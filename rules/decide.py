"""What shall be done with a mail? The gates are read top-down like a firewall; the first answer wins.

Takes: a parsed mail, what was found about it, the policy, the time.  Gives: a Decision, whose trace tells each gate and
its answer.  Fails: never; pure, so that it can be run again when another worker was quicker.
"""

from dataclasses import replace
from datetime import datetime

from rules import accept, access_mail, agent, authn, duplicate, machine, requester, thread, ticket_mail
from rules.authn import obstacle_to_order
from rules.case import Case, Gate
from rules.policy import Policy
from values.decision import Action, Decision, Facts, Hold, SpendProof
from values.mail import ParsedMail
from values.vocabulary import LedgerState, Reason

GATES: tuple[tuple[str, Gate], ...] = (
    ("over limit", machine.over_limit),
    ("second copy", duplicate.second_copy),
    ("report", machine.report),
    ("came back", machine.came_back),
    ("administrative", machine.administrative),
    ("automatic", machine.automatic),
    ("author", requester.no_one_author),
    ("own address", requester.own_address),
    ("access", access_mail.about_access),
    ("agent", agent.agent_by_mail),
    ("belief", authn.refuted),
    ("ticket", thread.named_beside),
    ("command", ticket_mail.by_command),
    ("customer", accept.without_customer),
    ("unproved", accept.unproved),
    ("seat", accept.without_seat),
)
_OBEYED = (LedgerState.COMMAND_DONE, LedgerState.ACCESS_REQUESTED)
# A person has looked at a released mail: what only a person can judge is not asked again.
GATES_OF_RELEASED: tuple[tuple[str, Gate], ...] = (("released", accept.released),)


def decide(mail: ParsedMail, facts: Facts, policy: Policy, now: datetime) -> Decision:
    """The decision about one mail; `now` is aware."""
    case = Case(mail=mail, facts=facts, policy=policy, now=now)
    trace: list[str] = []
    for name, gate in GATES_OF_RELEASED if facts.release else GATES:
        outcome = gate(case)
        if isinstance(outcome, Decision):
            return _told(case, duplicate.settled(case, outcome), (*trace, f"{name}: {outcome.reason.value}"))
        trace.append(f"{name}: {outcome}")
    return _told(case, duplicate.settled(case, accept.accept(case)), tuple(trace))


def _told(case: Case, decision: Decision, trace: tuple[str, ...]) -> Decision:
    kept = tuple(_kept_until(case, decision.reason, one) for one in decision.actions)
    actions = (*kept, *_spent(case, decision))
    return replace(
        decision,
        actions=actions,
        trace=(*trace, *decision.trace),
        words_key=case.clues.words_key,
        claimed_from=case.clues.claimed_from,
    )


def _kept_until(case: Case, reason: Reason, action: Action) -> Action:
    """How long the held desk keeps it: a stranger's mail for days, and what may be a customer's for months."""
    if not isinstance(action, Hold) or action.expires_at is not None:
        return action
    policy = case.policy
    keep = policy.held_unknown if reason is Reason.UNKNOWN_CUSTOMER else policy.held_others
    return replace(action, expires_at=case.now + keep)


def _spent(case: Case, decision: Decision) -> tuple[Action, ...]:
    """A mail whose order was obeyed orders nothing when it comes again (T12)."""
    obeyed = decision.state in _OBEYED or decision.reason is Reason.AGENT_REPLY
    may_order = obeyed and not obstacle_to_order(case)
    return (SpendProof(key=case.clues.proof_key),) if may_order else ()
