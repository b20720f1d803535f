"""Which priority does a new ticket get? Impact and urgency are an agent's judgment, not the sender's wish."""

from values.mail import ParsedMail
from values.vocabulary import Priority


def priority_of(mail: ParsedMail) -> Priority:
    """Normal. `Importance`, `X-Priority` and words such as URGENT are free to everybody and decide nothing (T23)."""
    return Priority.NORMAL
