"""Do we believe that the author wrote the mail, and what may a mail do whose author is not proved? (domain.md 3.2, T01)

Privileged acts (commands, licence keys, seats, registering, joining others to a running ticket) always need belief,
and a mail that is not sent again (`obstacle_to_order`).
Plain text of somebody whom we know is opened and marked where his domain publishes no policy that would speak against
it. What failed under a published policy is held, whoever it claims to be.
"""

from rules.belief import POWERS, Powers, Proof, open_to_change, proof_of
from rules.case import Case, Outcome, held
from rules.clues import ADDRESSES_LIMIT
from values.addresses import canonical_address
from values.mail import AuthEvidence
from values.vocabulary import Belief, Reason


def belief_of(case: Case) -> Belief:
    """The belief in the author; nobody is believed, and nobody refuted, where authentication is off."""
    return case.mail.auth.belief if case.policy.authentication else Belief.UNPROVED


def proof(case: Case) -> Proof:
    """What was proved about the author of this mail."""
    return proof_of(case.mail.auth, authentication=case.policy.authentication)


def powers(case: Case) -> Powers:
    """What follows from that (rules/belief.py)."""
    return POWERS[proof(case)]


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


def obstacle_to_order(case: Case) -> str:
    """Why this mail may order nothing, whoever wrote it; "" where it may. An order is any privileged act.

    Belief alone is not enough: a signed mail can be recorded and sent again, to others or with what is not signed
    changed. RFC 6376 §8.6; threat T12.
    """
    mail, auth = case.mail, case.mail.auth
    if not is_believed(case):
        return f"Nothing proves that {case.author} wrote this, and an order needs proof."
    if not case.clues.proof_key:
        return "The mail has no Message-ID, so nothing shows that it is not sent again."
    if case.facts.proof_spent:
        return "An order with this Message-ID was obeyed before: this mail is sent again."
    if mail.date is None or abs(mail.date - mail.envelope.received_at) > case.policy.order_age:
        return f"Its date is missing, or off by more than {case.policy.order_age.days} days: it may be sent again."
    if not any(_is_ours(case, mailbox.address) for mailbox in (*mail.to, *mail.cc)[:ADDRESSES_LIMIT]):
        return "It is not addressed to us in To or Cc: it may be meant for others."
    # a mail that the author's own servers hand over is no replay; of one that our border vouches for, its word counts
    return "" if powers(case).order else _what_is_open(auth)


def _what_is_open(auth: AuthEvidence) -> str:
    if auth.signed_fields:
        return f"Its signature leaves {', '.join(open_to_change(auth))} open to change."
    return "Our own check refused its signature: the word of the mail system in front of us is not enough for an order."


def _is_ours(case: Case, text: str) -> bool:
    address = canonical_address(text)
    return address is not None and case.policy.mailbox_of(address) is not None
