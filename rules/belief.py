"""What may a mail do? It follows from what was proved about its author, and from nothing else (threats T01, T12, T25).

Pure data: the table of docs/threats.md, which a test holds to this one. `proof_of` says what was proved, `POWERS` what
follows. Who the author is and which ticket is meant decide the rest, each in its own rule.
"""

from dataclasses import dataclass
from enum import StrEnum

from values.mail import AuthEvidence
from values.vocabulary import Belief

# Header fields that say how the words are read, and those that say where the mail belongs. Where a signature is all
# that proves a mail, whoever has a copy may write those that it leaves open (RFC 6376 §8.15).
FIELDS_OF_WORDS = ("content-type", "content-transfer-encoding", "mime-version")
FIELDS_OF_AIM = ("to", "cc", "message-id", "in-reply-to", "references")
_SIGNED_ALWAYS = frozenset(("from", "to", "subject", "date", "message-id"))  # signed, not merely absent


class Proof(StrEnum):
    """What was found out about the author, the best first."""

    DIRECT = "direct"  # aligned SPF: the author's own servers handed it to us, or to our border
    SIGNED = "signed"  # aligned signatures cover, or show to be absent, all that says what it is and where it belongs
    VOUCHED = "vouched"  # our border says so and we refused no signature; or a session of the portal
    VOUCHED_ALONE = "vouched-alone"  # our border states aligned SPF, and a signature did not pass our own check
    SIGNED_IN_PART = "signed-in-part"  # as signed, but where it belongs is open
    WORDS_OPEN = "words-open"  # as signed, but how the words are read is open: they may be others' words
    UNASKED = "unasked"  # the vendor switched authentication off
    NONE = "none"
    REFUTED = "refuted"


class Article(StrEnum):
    """What becomes of the words, where the author may write at all."""

    PLAIN = "yes"
    MARKED = "marked"
    OF_KNOWN = "marked, of people we know"
    HELD = "held"


class Change(StrEnum):
    """Whether an answer reopens a closed ticket and fills its fields."""

    YES = "yes"
    KEYED = "by a code made for the author"
    NO = "no"


class Counts(StrEnum):
    """Against whose budgets and breakers a mail counts."""

    AUTHOR = "the author"
    CLIENT = "its client"  # the address that handed it to us: whoever claims to be the author


@dataclass(frozen=True, slots=True, kw_only=True)
class Powers:
    """`absorbs`: of two copies the one with the higher number counts; see rules/duplicate.py."""

    order: bool  # commands, answers of agents, seats, letting others take part
    article: Article
    by_number: bool  # the number in the subject leads to its ticket
    reopen: Change
    quote: bool  # its words may leave in a mail of ours
    counts: Counts
    absorbs: int


def _powers(
    order: bool, article: Article, by_number: bool, reopen: Change, quote: bool, counts: Counts, absorbs: int
) -> Powers:
    return Powers(
        order=order,
        article=article,
        by_number=by_number,
        reopen=reopen,
        quote=quote,
        counts=counts,
        absorbs=absorbs,
    )


POWERS: dict[Proof, Powers] = {
    Proof.DIRECT: _powers(True, Article.PLAIN, True, Change.YES, True, Counts.AUTHOR, 6),
    Proof.SIGNED: _powers(True, Article.PLAIN, True, Change.YES, True, Counts.AUTHOR, 5),
    Proof.VOUCHED: _powers(True, Article.PLAIN, True, Change.YES, True, Counts.AUTHOR, 5),
    Proof.VOUCHED_ALONE: _powers(False, Article.PLAIN, True, Change.YES, True, Counts.AUTHOR, 4),
    Proof.SIGNED_IN_PART: _powers(False, Article.PLAIN, True, Change.KEYED, True, Counts.CLIENT, 3),
    Proof.WORDS_OPEN: _powers(False, Article.MARKED, True, Change.KEYED, False, Counts.CLIENT, 2),
    Proof.UNASKED: _powers(False, Article.OF_KNOWN, True, Change.YES, True, Counts.AUTHOR, 1),
    Proof.NONE: _powers(False, Article.OF_KNOWN, False, Change.KEYED, False, Counts.CLIENT, 1),
    Proof.REFUTED: _powers(False, Article.HELD, False, Change.NO, False, Counts.CLIENT, 0),
}


def proof_of(auth: AuthEvidence, *, authentication: bool = True) -> Proof:
    """What the evidence proves. `authentication`: False where the vendor asks for no proof."""
    if not authentication:
        return Proof.UNASKED
    if auth.belief is not Belief.BELIEVED:
        return Proof.REFUTED if auth.belief is Belief.REFUTED else Proof.NONE
    if auth.direct:
        return Proof.DIRECT
    if not auth.signed_fields:
        return Proof.VOUCHED_ALONE if auth.refused else Proof.VOUCHED
    if not set(FIELDS_OF_WORDS).isdisjoint(auth.open_fields):
        return Proof.WORDS_OPEN
    if not set(auth.signed_fields) >= _SIGNED_ALWAYS or not set(FIELDS_OF_AIM).isdisjoint(auth.open_fields):
        return Proof.SIGNED_IN_PART
    return Proof.SIGNED


def open_to_change(auth: AuthEvidence) -> tuple[str, ...]:
    """The fields that keep a signed mail from ordering, by name."""
    unsigned = _SIGNED_ALWAYS - set(auth.signed_fields)
    return tuple(sorted(unsigned | {*FIELDS_OF_WORDS, *FIELDS_OF_AIM} & set(auth.open_fields)))
