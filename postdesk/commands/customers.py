"""`postdesk customer`, `contact`: the companies that have support, and their people."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postdesk.console import (
    JsonFlag,
    Seats,
    one_of,
    open_desk,
    progress,
    shipped_language,
    show_json,
    show_table,
    tell,
    wrong,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlmodel import Session

    from models.people.customer import Seating

COLUMNS = ("name", "domains", "language", "zone", "seats", "superusers")

Language = Annotated[str, typer.Option(help="Language of the mails, as in es.")]
Zone = Annotated[str, typer.Option(help="Time zone, as in Europe/Madrid.")]


def register(app: typer.Typer) -> None:
    customer = typer.Typer(help="Companies that have support.", no_args_is_help=True)
    customer.command("list")(list_customers)
    customer.command("add")(add_customer)
    customer.command("change")(change_customer)
    customer.command("import")(import_customers)
    app.add_typer(customer, name="customer")
    contact = typer.Typer(help="People of a customer.", no_args_is_help=True)
    contact.command("list")(list_contacts)
    contact.command("add")(add_contact)
    app.add_typer(contact, name="contact")


def list_customers(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """Every customer: domains, seats taken of those agreed, account manager, who answers first.

    Example: postdesk customer list
    """
    from models.db.engine import reading
    from models.views.people import list_customers

    with reading(open_desk(ctx).engine) as session:
        rows = list_customers(session)
    columns = ("name", "domains", "language", "zone", "taken", "seats", "manager", "first_line")
    show_json(rows) if json_ else show_table("customers", rows, columns)


def add_customer(
    ctx: typer.Context,
    name: str,
    domain: Annotated[list[str] | None, typer.Option(help="Mail domain; say it again for each.")] = None,
    language: Language = "",
    zone: Zone = "",
    seats: Seats = 2,
    colleagues: Annotated[str, typer.Option(help="Mail of people without a seat: hold or open.")] = "hold",
    first_line: Annotated[str, typer.Option(help="Who answers first: vendor or the name of a partner.")] = "vendor",
) -> None:
    """Add a customer.

    Example: postdesk customer add "Talleres Ibarra" --domain ibarra.example --language es --zone Europe/Madrid
    """
    from models.db.engine import transaction
    from models.people.customer import find_partner
    from values.vocabulary import ColleaguePolicy

    one_of("--colleagues", colleagues, ColleaguePolicy)
    shipped_language("--language", language)
    desk = open_desk(ctx)
    with transaction(desk.engine) as session:
        partner = None if first_line == "vendor" else find_partner(session, first_line)
        if partner is None and first_line != "vendor":
            wrong(f"--first-line {first_line}: there is no such partner; write vendor or a partner's name")
        row: dict[str, Any] = {"name": name, "domains": domain or [], "seats": seats, "superusers": []}
        row |= {"language": language or desk.settings.language, "zone": zone or desk.settings.zone}
        _add(
            session,
            row,
            desk.now(),
            colleagues=ColleaguePolicy(colleagues or "hold"),
            first_line_partner=partner.id if partner else None,
        )
    tell(f"{name}: {' '.join(domain or []) or 'no domain yet'}")


def change_customer(
    ctx: typer.Context,
    name: str,
    manager: Annotated[str, typer.Option(help="Address of the agent who is the account manager.")] = "",
    access: Annotated[str, typer.Option(help="Who approves access: agent, or automatic where all fits.")] = "",
    colleagues: Annotated[str, typer.Option(help="Mail of people without a seat: hold or open.")] = "",
    zone: Zone = "",
    language: Language = "",
) -> None:
    """Change what is agreed with a customer; what is not named stays. Seats follow from contracts.

    Example: postdesk customer change "Talleres Ibarra" --manager sales@nordvik.test --access automatic
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.people.agent import find_agent
    from models.people.customer import change_customer as change

    one_of("--access", access, ("agent", "automatic"))
    one_of("--colleagues", colleagues, ("hold", "open"))
    shipped_language("--language", language)
    desk = open_desk(ctx)
    with transaction(desk.engine) as session:
        agent = find_agent(session, manager) if manager else None
        if manager and agent is None:
            wrong(f"--manager {manager}: there is no such agent; add it with `postdesk agent add`")
        changed = change(
            session,
            name,
            manager=agent.id if agent else None,
            approves_access=access == "automatic" if access else None,
            colleagues=colleagues or None,
            zone=zone or None,
            language=language or None,
        )
        detail = {key: str(value) for key, value in changed.items()}
        append(
            session, desk.now(), who="desk", what="customer.change", subject=name, via="command", detail=detail or None
        )
    tell(f"{name}: {', '.join(f'{key} {value}' for key, value in changed.items()) or 'as it was'}")


def import_customers(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV: name,domains,language,zone,seats,superusers")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line, change nothing.")] = False,
) -> None:
    """Add the customers of a CSV file, all or none; lists within a cell are separated by spaces.

    Example: postdesk customer import customers.csv --dry-run
    """
    from models.db.engine import transaction

    desk = open_desk(ctx)
    rows = _read(file, desk.settings.language, desk.settings.zone)
    now = desk.now()  # one transaction, one moment
    try:
        with progress() as bar, transaction(desk.engine) as session:
            # One customer may have a thousand superusers: they are counted too.
            total = len(rows) + sum(len(row["superusers"]) for row in rows)
            task = bar.add_task("customers and superusers", total=total)
            for line, row in enumerate(rows, start=2):
                _add_or_tell(session, row, line, file, now, lambda: bar.advance(task))
            if dry_run:
                raise _DryRun
    except _DryRun:
        tell(f"{len(rows)} customers are fine; nothing was changed")
    else:
        tell(f"{len(rows)} customers added")


class _DryRun(Exception):
    """Takes the transaction back."""


def _read(file: Path, language: str, zone: str) -> list[dict[str, Any]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, restkey="")
        missing = {"name", "domains"} - set(reader.fieldnames or ())
        unknown = set(reader.fieldnames or ()) - set(COLUMNS)
        if missing or unknown:
            wrong(f"{file}: the first line names the columns {','.join(COLUMNS)}; name and domains are needed")
        return [
            {
                "name": row["name"] or "",
                "domains": (row["domains"] or "").split(),
                "language": (row.get("language") or "").strip() or language,
                "zone": (row.get("zone") or "").strip() or zone,
                "seats": (row.get("seats") or "2").strip(),
                "superusers": (row.get("superusers") or "").split(),
            }
            for row in reader
        ]


def _add_or_tell(
    session: "Session", row: dict[str, Any], line: int, file: Path, now: "datetime", added: Callable[[], None]
) -> None:
    from values.errors import Refused

    shipped_language(f"{file} line {line}: language", row["language"])
    if not str(row["seats"]).isdigit():
        wrong(f"{file} line {line}: seats is a number, not {row['seats']!r}")
    try:
        _add(session, {**row, "seats": int(row["seats"])}, now, added)
    except Refused as refusal:
        wrong(f"{file} line {line}: {refusal}")


def _add(
    session: "Session", row: dict[str, Any], now: "datetime", added: Callable[[], None] = lambda: None, **more: Any
) -> None:
    """A customer with its domains and superusers; `added` is called after each of these rows."""
    from models.desk.audit import append
    from models.people import customer

    made = customer.add_customer(
        session, row["name"], now, language=row["language"], zone=row["zone"], seats=row["seats"], **more
    )
    assert made.id is not None
    for domain in row["domains"]:
        customer.add_domain(session, made.id, domain)
    detail = {"seats": row["seats"], "domains": list(row["domains"])}
    append(session, now, who="desk", what="customer.add", subject=f"customer:{made.id}", via="command", detail=detail)
    added()
    seating = customer.Seating(session, made.id)
    for address in row["superusers"]:
        person = customer.add_contact(session, address, now, customer=made.id)
        assert person.id is not None
        _give_seat(session, seating, address, person.id, made.id, now)
        added()


def _give_seat(
    session: "Session", seating: "Seating", address: str, contact: int, customer: int, now: "datetime"
) -> None:
    """A seat without a request: the audit is where it can be seen who has it since when."""
    from models.desk.audit import append

    seat = seating.give(contact, now)
    detail = {"holder": address, "customer": customer}
    append(session, now, who="desk", what="seat.give", subject=f"seat:{seat.id}", via="command", detail=detail)


def list_contacts(
    ctx: typer.Context,
    customer: Annotated[str, typer.Option(help="Name of the customer; empty: all.")] = "",
    json_: JsonFlag = False,
) -> None:
    """People of the customers, and the seat of each who holds one.

    Example: postdesk contact list --customer "Talleres Ibarra"
    """
    from models.db.engine import reading
    from models.people.customer import find_customer
    from models.views.people import list_contacts

    with reading(open_desk(ctx).engine) as session:
        found = find_customer(session, customer) if customer else None
        if customer and found is None:
            wrong(f"--customer {customer}: there is no such customer; see `postdesk customer list`")
        rows = list_contacts(session, found.id if found else None)
    show_json(rows) if json_ else show_table("contacts", rows, ("addresses", "name", "customer", "language", "seat"))


def add_contact(
    ctx: typer.Context,
    address: str,
    customer: Annotated[str, typer.Option(help="Name of the customer.")],
    name: Annotated[str, typer.Option(help="Name of the person.")] = "",
    language: Language = "",
    superuser: Annotated[bool, typer.Option("--superuser", help="Give one of the customer's seats.")] = False,
) -> None:
    """Add a person of a customer.

    Example: postdesk contact add lucia@ibarra.example --customer "Talleres Ibarra" --name Lucía --superuser
    """
    from models.db.engine import transaction
    from models.people import customer as customers

    shipped_language("--language", language)
    desk = open_desk(ctx)
    with transaction(desk.engine) as session:
        found = customers.find_customer(session, customer)
        if found is None or found.id is None:
            wrong(f"--customer {customer}: there is no such customer; add it with `postdesk customer add`")
        person = customers.add_contact(
            session, address, desk.now(), customer=found.id, name=name, language=language or None
        )
        if superuser and person.id is not None:
            seating = customers.Seating(session, found.id)
            _give_seat(session, seating, address, person.id, found.id, desk.now())
    tell(f"{address} of {customer}{', superuser' if superuser else ''}")
