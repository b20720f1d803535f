"""Do we believe that the author wrote the mail, and what may a mail do whose author is not proved? (domain.md 3.2, T01)

Privileged acts (commands, licence keys, seats, registering, joining others to a running ticket) always need belief.
Plain text of somebody whom we know is opened and marked where his domain publishes no policy that would speak against
it. What failed under a published policy is held, whoever it claims to be.
"""

from models.vocabulary import Belief, Reason
from rules.case import Case, Outcome, held


def belief_of(case: Case) -> Belief:
    """The belief in the author; nobody is believed, and nobody refuted, where authentication is off."""
    return case.mail.auth.belief if case.policy.authentication else Belief.UNPROVED


def is_believed(case: Case) -> bool:
    return belief_of(case) is Belief.BELIEVED


def refuted(case: Case) -> Outcome:
    """Gate: the author's domain says how its mail is to be proved, and this mail was not."""
    belief = belief_of(case)
    if belief is not Belief.REFUTED:
        return belief.value
    policy = case.mail.auth.dmarc_policy or "published"
    why = f"{case.author} did not write this, as far as its domain can tell: it failed under the {policy} policy."
    return held(Reason.UNBELIEVED, why, "take it as written by the author and decide again")
