"""Have we recorded this very mail before? By content and author, never by the Message-ID alone (T22, RFC 1047)."""

from rules.authn import belief_of
from rules.case import Case, Outcome
from values.decision import Decision, NoteSecondCopy
from values.vocabulary import Belief, LedgerState, Reason


def second_copy(case: Case) -> Outcome:
    """A second copy is noted and nothing else, unless the first one came to nothing through somebody's forgery."""
    first = case.facts.second_copy_of
    if first is None:
        return "no"
    if case.facts.second_copy_state is LedgerState.DISCARDED:  # such as the copy that a mailing list sent us
        return f"no: {first} was discarded"
    forged_first = case.facts.second_copy_belief in (Belief.UNPROVED, Belief.REFUTED)
    if case.facts.second_copy_state is LedgerState.HELD and forged_first and belief_of(case) is Belief.BELIEVED:
        return f"no: {first} was held unbelieved"
    return Decision(
        state=LedgerState.DUPLICATE, reason=Reason.SECOND_COPY, actions=(NoteSecondCopy(of=first),), trace=()
    )
