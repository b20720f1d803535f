"""Which customer, contact, seat or partner does the author stand for? (domain.md 3.3, 3.4; T04, T06, T08, T24)

An address that is a contact's is that contact; else the author's domain decides, label by label. Names, Reply-To,
Sender and the envelope decide nothing (T05, T10).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rules.case import Case, Outcome, held
from rules.fields import stated_customer
from values.decision import ContactFact, CustomerFact, DomainFact
from values.vocabulary import AuthorVerdict, Reason


class Standing(StrEnum):
    SUPERUSER = "superuser"  # holds a seat
    PARTNER = "partner"
    CONTACT = "contact"  # registered, without a seat
    COLLEAGUE = "colleague"  # of a customer's domain, not registered
    CONFLICT = "conflict"  # more than one customer could be meant
    LOOK_ALIKE = "look-alike"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    standing: Standing
    contact: ContactFact | None = None
    customer: CustomerFact | None = None

    @property
    def is_known(self) -> bool:
        """Known by address, with a right to support: plain text may be marked instead of held (domain.md 3.2)."""
        return self.standing in (Standing.SUPERUSER, Standing.PARTNER)


def find_requester(case: Case) -> Requester:
    contact = case.facts.contact
    mapped = mapped_domains(case.facts.domains, case.author)
    if contact and (contact.seats or contact.partner is not None or contact.customers):
        return _of_contact(case, contact, mapped)
    customers = {domain.customer for domain in mapped}
    if len(customers) > 1:
        return Requester(standing=Standing.CONFLICT)
    if customers:
        return Requester(standing=Standing.COLLEAGUE, customer=case.facts.customer(customers.pop()))
    if case.facts.look_alike_of:
        return Requester(standing=Standing.LOOK_ALIKE)
    return Requester(standing=Standing.UNKNOWN)


def mapped_domains(domains: Iterable[DomainFact], address: str) -> tuple[DomainFact, ...]:
    """Of the registered domains, the longest that the address lies in: label-exact, sub-domains only by flag (T08)."""
    domain = address.rpartition("@")[2]
    fitting = [d for d in domains if d.domain == domain or (d.subdomains and domain.endswith("." + d.domain))]
    longest = max((len(d.domain) for d in fitting), default=0)
    return tuple(d for d in fitting if len(d.domain) == longest)


def no_one_author(case: Case) -> Outcome:
    """Gate: From names nobody, or not exactly one mailbox (T03, T04)."""
    if case.mail.author_verdict is AuthorVerdict.ONE and case.mail.author:
        return case.author
    claims = ", ".join(case.mail.author_claims[:5]) or "nobody"
    if case.mail.author_verdict is AuthorVerdict.MISSING:
        return held(Reason.AUTHOR_MISSING, "The mail has no author.", "open a ticket for a customer that you name")
    why = f"The From field can be read in more than one way; it might name {claims}."
    return held(Reason.AUTHOR_AMBIGUOUS, why, "open a ticket for a customer that you name")


def own_address(case: Case) -> Outcome:
    """Gate: nobody outside writes from our own mailboxes (T24)."""
    if not case.policy.is_own(case.author):
        return "no"
    return held(
        Reason.OWN_ADDRESS, f"The mail says that we wrote it ourselves: {case.author}.", "open a ticket with it"
    )


def _of_contact(case: Case, contact: ContactFact, mapped: tuple[DomainFact, ...]) -> Requester:
    standing, ids = Standing.CONTACT, contact.customers
    if contact.seats:
        standing, ids = Standing.SUPERUSER, contact.seats
    elif contact.partner is not None:
        standing, ids = Standing.PARTNER, contact.partner_customers
    customer = case.facts.customer(_one_of(case, ids, mapped))
    if customer is None and standing is not Standing.PARTNER:  # an agent asks the partner for whom he writes
        return Requester(standing=Standing.CONFLICT, contact=contact)
    return Requester(standing=standing, contact=contact, customer=customer)


def _one_of(case: Case, ids: tuple[int, ...], mapped: tuple[DomainFact, ...]) -> int | None:
    """Of several customers the one whose domain it is, or whom the mail names."""
    if len(set(ids)) == 1:
        return ids[0]
    by_domain = {domain.customer for domain in mapped} & set(ids)
    if len(by_domain) == 1:
        return by_domain.pop()
    name = (stated_customer(case.mail.text) or "").casefold()
    by_name = {c.id for c in case.facts.customers if c.id in ids and name and c.name.casefold() == name}
    return by_name.pop() if len(by_name) == 1 else None
