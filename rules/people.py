"""In which language and zone do we write to somebody, and who of To and Cc joins the ticket? (domain.md 3.9, 5)"""

from dataclasses import dataclass

from rules.case import Case
from rules.requester import mapped_domains
from values.addresses import canonical_address
from values.decision import ContactFact, CustomerFact
from values.mail import Mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    language: str  # one of Policy.languages
    zone: str  # IANA name


def tongue_of(case: Case, contact: ContactFact | None, customer: CustomerFact | None) -> Tongue:
    """The contact's wish, else the customer's, else (language only) the mail's where sure, else the vendor's."""
    wishes = (contact.language if contact else None, customer.language if customer else None, case.mail.language)
    language = next((wish for wish in wishes if wish in case.policy.languages), None)
    zone = (contact.zone if contact else None) or (customer.zone if customer else None)
    return Tongue(language=language or case.policy.language, zone=zone or case.policy.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """The people named beside the author: those who join, and those whom an agent may let join."""

    joining: tuple[Mailbox, ...] = ()
    proposed: tuple[Mailbox, ...] = ()


def company_of(case: Case, customer: int | None, *, may_join: bool) -> Company:
    """Who of To and Cc is of the customer's own domains, its contact, or of its partner (T19: nobody else joins)."""
    named = {
        address: Mailbox(address=address, name=mailbox.name)
        for mailbox in (*case.mail.to, *case.mail.cc)
        if (address := canonical_address(mailbox.address)) and address in case.clues.cc
    }
    agents = {agent.address.lower() for agent in case.facts.notified_agents}
    joining = [
        mailbox
        for address, mailbox in named.items()
        if may_join and customer is not None and belongs_to(case, address, customer)
    ]
    proposed = [one for address, one in named.items() if one not in joining and address not in agents]
    return Company(joining=tuple(joining), proposed=tuple(proposed))


def belongs_to(case: Case, address: str, customer: int) -> bool:
    """Whether a canonical address of `Clues.cc` is the customer's: its domain's, its contact's or its partner's."""
    contact = next((one for one in case.facts.cc_contacts if one.address.lower() == address), None)
    if contact and customer in (*contact.customers, *contact.seats, *contact.partner_customers):
        return True
    return {domain.customer for domain in mapped_domains(case.facts.cc_domains, address)} == {customer}
