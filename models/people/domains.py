"""The domain desk: which domain leads to which customer, what is not clear about that, and which mails wait for it.

A domain is registered in models/people/customer.py; here it is listed, moved, removed and looked at. SELECTs of whole
small lists, for a person who waits for them: never for the pipeline.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.inbound.held import HELD
from models.people.customer import (
    CONTACT,
    CONTACT_ADDRESS,
    CONTACT_CUSTOMER,
    CUSTOMER,
    CUSTOMER_DOMAIN,
    PARTNER,
)
from models.people.validation import check_domain
from values.addresses import canonical_domain, parent_domains, skeleton
from values.errors import Refused
from values.vocabulary import DomainConflict, HeldState, Reason

Row = dict[str, Any]

# Held for what a domain says; a mail that was refuted, or names another's ticket, no domain sets free.
_FOR_ITS_DOMAIN = (Reason.UNKNOWN_CUSTOMER, Reason.LOOK_ALIKE, Reason.DOMAIN_CONFLICT)


def list_domains(session: Session, customer: int | None = None) -> list[Row]:
    """{"domain", "customer", "subdomains"}, by customer."""
    wanted = _DOMAINS.where(CUSTOMER_DOMAIN.c.customer == customer) if customer is not None else _DOMAINS
    return [
        {"domain": row.domain, "customer": row.customer_name, "subdomains": row.subdomains}
        for row in session.connection().execute(wanted)
    ]


def find_owner(session: Session, domain: str) -> str | None:
    """The name of the customer that a domain is registered for."""
    wanted = _DOMAINS.where(CUSTOMER_DOMAIN.c.domain == canonical_domain(domain))
    row = session.connection().execute(wanted).first()
    return str(row.customer_name) if row else None


def find_objection(session: Session, domain: str, customer: int) -> str | None:
    """Why a person should think twice before the domain is registered for this customer; None = nothing against it.

    Raises Refused where it can't be registered at all.
    """
    name = check_domain(domain)
    for row in session.connection().execute(_DOMAINS.where(CUSTOMER_DOMAIN.c.skeleton == skeleton(name))):
        if row.domain != name and row.customer != customer:
            return f"{name} looks like {row.domain} of {row.customer_name}."
    people = [one for one in _people(session) if one.domain == name]
    partners = sorted({str(one.partner_name) for one in people if one.partner is not None})
    if partners:
        return f"People of the partner {', '.join(partners)} write from {name}: their mails would be this customer's."
    others = sorted({one.customer_name for one in people if one.customer not in (None, customer)})
    if others:
        return f"Contacts of {', '.join(others)} write from {name}."
    return None


def move_domain(session: Session, domain: str, customer: int) -> str:
    """The domain leads to this customer from now on; gives the name of the former one. Raises Refused where it is
    not registered."""
    owner = _registered(session, domain)
    row = CUSTOMER_DOMAIN.c.domain == canonical_domain(domain)
    session.connection().execute(sa.update(CUSTOMER_DOMAIN).where(row).values(customer=customer))
    return owner


def remove_domain(session: Session, domain: str) -> str:
    """The domain leads to nobody; contacts and tickets stay. Gives the name of the former customer. Raises Refused as
    `move_domain`."""
    owner = _registered(session, domain)
    session.connection().execute(sa.delete(CUSTOMER_DOMAIN).where(CUSTOMER_DOMAIN.c.domain == canonical_domain(domain)))
    return owner


def _registered(session: Session, domain: str) -> str:
    owner = find_owner(session, domain)
    if owner is None:
        raise Refused(f"{domain} is not registered; see `postdesk domain list`")
    return owner


def waiting_for(session: Session, domain: str, *, subdomains: bool) -> list[Row]:
    """{"id", "author", "subject", "reason"} of the mails that wait for what this domain leads to, the oldest first."""
    name = canonical_domain(domain)
    return [
        {"id": row.id, "author": row.author, "subject": row.subject, "reason": row.reason}
        for row in session.connection().execute(_WAITING)
        if (of := _domain_of(row.author)) and (of == name or (subdomains and of.endswith(f".{name}")))
    ]


def find_conflicts(session: Session) -> list[Row]:
    """Each state that a person should decide: {"kind", "domain", "customers", "addresses", "mails", "repair"}.

    `repair` is a command that makes it clear, or says that nothing needs to be done.
    """
    domains = {row.domain: row for row in session.connection().execute(_DOMAINS)}
    people = list(_people(session))
    found = [*_shared(domains), *_confusable(domains), *_below(domains), *_elsewhere(domains, people)]
    return [*found, *_several(domains, people), *_waiting(session)]


def _conflict(
    kind: DomainConflict,
    domain: str,
    repair: str,
    *,
    customers: Iterable[str] = (),
    addresses: Iterable[str] = (),
    mails: int = 0,
) -> Row:
    return {
        "kind": kind,
        "domain": domain,
        "customers": sorted(set(customers)),
        "addresses": sorted(set(addresses)),
        "mails": mails,
        "repair": repair,
    }


def _shared(domains: dict[str, Any]) -> Iterator[Row]:
    """The lists of free mail and public suffixes grow after a domain was registered (T07)."""
    for name, row in domains.items():
        try:
            check_domain(name)
        except Refused:
            yield _conflict(
                DomainConflict.SHARED, name, f"postdesk domain remove {name}", customers=[row.customer_name]
            )


def _confusable(domains: dict[str, Any]) -> Iterator[Row]:
    alike: dict[str, list[Any]] = defaultdict(list)
    for row in domains.values():
        alike[row.skeleton].append(row)
    for rows in alike.values():
        names = [row.domain for row in rows]
        if len({row.customer for row in rows}) > 1:
            repair = f"postdesk domain remove {names[-1]}, unless both companies are real: mail is told apart exactly"
            yield _conflict(
                DomainConflict.CONFUSABLE, " ".join(names), repair, customers=[row.customer_name for row in rows]
            )


def _below(domains: dict[str, Any]) -> Iterator[Row]:
    """A subsidiary: the longest registered domain wins, so mail is never torn; a person may want it otherwise."""
    for name, row in domains.items():
        parents = (domains[parent] for parent in parent_domains(name)[1:] if parent in domains)
        other = next((one for one in parents if one.subdomains and one.customer != row.customer), None)
        if other:
            names = [row.customer_name, other.customer_name]
            repair = f'postdesk domain move {name} --customer "{other.customer_name}", if it is no company of its own'
            yield _conflict(DomainConflict.SUB_DOMAIN, name, repair, customers=names)


def _elsewhere(domains: dict[str, Any], people: Iterable[Any]) -> Iterator[Row]:
    strangers: dict[tuple[str, DomainConflict], list[Any]] = defaultdict(list)
    belongs = {(one.contact, one.customer) for one in people}
    for one in people:
        owner = domains.get(one.domain)
        if owner is None or (one.contact, owner.customer) in belongs:
            continue
        if one.partner is not None:
            strangers[one.domain, DomainConflict.PARTNER].append(one)
        elif one.customer is not None:
            strangers[one.domain, DomainConflict.ELSEWHERE].append(one)
    for (name, kind), found in strangers.items():
        others = {str(one.partner_name or one.customer_name) for one in found}
        repair = f"postdesk domain remove {name}"
        if kind is DomainConflict.ELSEWHERE:
            repair = f'postdesk domain move {name} --customer "{min(others)}"'
        yield _conflict(
            kind, name, repair, customers=[domains[name].customer_name, *others], addresses=[x.address for x in found]
        )


def _several(domains: dict[str, Any], people: Iterable[Any]) -> Iterator[Row]:
    """Their mails are held until the mail, or whoever releases it, names the customer."""
    ties: dict[str, dict[int, str]] = defaultdict(dict)
    for one in people:
        if one.customer is not None and one.partner is None:
            ties[one.address][one.customer] = one.customer_name
    for address, customers in ties.items():
        name = _domain_of(address) or ""
        owner = domains.get(name)
        if len(customers) > 1 and (owner is None or owner.customer not in customers):
            repair = (
                f'postdesk domain add {name} --customer "{min(customers.values())}", or name the customer in the mail'
            )
            yield _conflict(DomainConflict.SEVERAL, name, repair, customers=customers.values(), addresses=[address])


def _waiting(session: Session) -> Iterator[Row]:
    waiting: dict[tuple[str, DomainConflict], list[Any]] = defaultdict(list)
    for row in session.connection().execute(_WAITING):
        kind = DomainConflict.HELD_LOOK_ALIKE if row.reason is Reason.LOOK_ALIKE else DomainConflict.UNMATCHED
        if row.reason is not Reason.DOMAIN_CONFLICT and (name := _domain_of(row.author)):
            waiting[name, kind].append(row)
    for (name, kind), rows in waiting.items():
        repair = f"postdesk domain add {name} --customer NAME --dry-run"
        if kind is DomainConflict.HELD_LOOK_ALIKE:
            repair = f"postdesk held show {rows[0].id}, then `held drop`; if it is real: {repair} --despite"
        addresses = {row.author for row in rows}
        yield _conflict(kind, name, repair, addresses=addresses, mails=len(rows))


def _domain_of(address: str | None) -> str | None:
    return canonical_domain(address.rpartition("@")[2]) if address else None


class _Person:
    """One tie of one address."""

    __slots__ = ("address", "contact", "customer", "customer_name", "domain", "partner", "partner_name")

    def __init__(self, row: Any) -> None:
        for name, value in row._mapping.items():
            setattr(self, name, value)
        self.domain = _domain_of(row.address) or ""


def _people(session: Session) -> Iterator[Any]:
    return (_Person(row) for row in session.connection().execute(_PEOPLE))


_DOMAINS = (
    sa.select(CUSTOMER_DOMAIN, CUSTOMER.c.name.label("customer_name"))
    .join(CUSTOMER, CUSTOMER.c.id == CUSTOMER_DOMAIN.c.customer)
    .order_by(CUSTOMER.c.name, CUSTOMER_DOMAIN.c.domain)
)
_WAITING = (
    sa.select(HELD.c.id, HELD.c.author, HELD.c.subject, HELD.c.reason)
    .where(HELD.c.state == HeldState.HELD, HELD.c.reason.in_(_FOR_ITS_DOMAIN))
    .order_by(HELD.c.held_at, HELD.c.id)
)
_PEOPLE = (
    sa.select(
        CONTACT_ADDRESS.c.address,
        CONTACT_ADDRESS.c.contact,
        CONTACT_CUSTOMER.c.customer,
        CUSTOMER.c.name.label("customer_name"),
        CONTACT.c.partner,
        PARTNER.c.name.label("partner_name"),
    )
    .select_from(CONTACT_ADDRESS)
    .join(CONTACT, CONTACT.c.id == CONTACT_ADDRESS.c.contact)
    .outerjoin(CONTACT_CUSTOMER, CONTACT_CUSTOMER.c.contact == CONTACT.c.id)
    .outerjoin(CUSTOMER, CUSTOMER.c.id == CONTACT_CUSTOMER.c.customer)
    .outerjoin(PARTNER, PARTNER.c.id == CONTACT.c.partner)
    .order_by(CONTACT_ADDRESS.c.address)
)
