"""What every gate sees, and what it can answer: a Decision, or a remark for the trace and the next gate is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rules.policy import Policy
from values.decision import Action, Clues, Decision, Discard, Facts, Hold
from values.mail import ParsedMail
from values.vocabulary import LedgerState, MatchedBy, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One mail with all that was found about it."""

    mail: ParsedMail
    facts: Facts
    policy: Policy
    now: datetime

    @property
    def clues(self) -> Clues:
        return self.facts.clues

    @property
    def author(self) -> str:
        """The author's address as it is compared; "" where there is no one author."""
        return self.facts.clues.author or ""


Outcome = Decision | str
Gate = Callable[[Case], Outcome]


def held(
    reason: Reason,
    why: str,
    would: str,
    *,
    ticket: int | None = None,
    customer: int | None = None,
    matched_by: MatchedBy | None = None,
    also: tuple[Action, ...] = (),
) -> Decision:
    """To the held desk: `why` for the agent, `would` what a release does; `also`: actions besides."""
    return Decision(
        state=LedgerState.HELD,
        reason=reason,
        matched_by=matched_by,
        ticket=ticket,
        actions=(Hold(why=why, would=would, ticket=ticket, customer=customer), *also),
    )


def discarded(reason: Reason) -> Decision:
    return Decision(state=LedgerState.DISCARDED, reason=reason, actions=(Discard(),))
