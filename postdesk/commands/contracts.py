"""`postdesk contract`: what a customer agreed with its account manager, and how many seats follow."""

import csv
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from postdesk.console import By, JsonFlag, Seats, no, open_desk, progress, show_json, show_table, tell, wrong

if TYPE_CHECKING:
    from datetime import datetime

    from sqlmodel import Session

COLUMNS = ("number", "customer", "product", "edition", "valid_from", "valid_to", "seats", "first_line", "agreed")
NEEDED = ("number", "customer", "product", "valid_from")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Contracts: product, dates, seats, first line, agreed or not.", no_args_is_help=True)
    group.command()(add)
    group.command("list")(list_)
    group.command("import")(import_)
    group.command()(agree)
    app.add_typer(group, name="contract")


def add(
    ctx: typer.Context,
    number: Annotated[str, typer.Argument(help="As people write it, C-2031.")],
    customer: Annotated[str, typer.Option(help="Name of the customer.")],
    product: Annotated[str, typer.Option(help="Name of the product.")],
    valid_from: Annotated[str, typer.Option("--from", help="First day, as 2026-12-01.")],
    valid_to: Annotated[str, typer.Option("--to", help="Last day; empty: until it is ended.")] = "",
    edition: Annotated[str, typer.Option(help="Edition of the product.")] = "",
    seats: Seats = 2,
    first_line: Annotated[str, typer.Option(help="Who answers first: vendor or the name of a partner.")] = "vendor",
    agreed: Annotated[bool, typer.Option("--agreed", help="Agreed with the account manager already.")] = False,
    by: By = "desk",
) -> None:
    """Add a contract; the number of seats follows once it is agreed.

    Example: postdesk contract add C-2031 --customer "Talleres Ibarra" --product Payroll --from 2026-12-01 --seats 3
    """
    from models.db.engine import transaction
    from values.errors import Refused

    desk = open_desk(ctx)
    row = {
        "number": number,
        "customer": customer,
        "product": product,
        "edition": edition,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "seats": str(seats),
        "first_line": first_line,
        "agreed": "yes" if agreed else "",
    }
    try:
        with transaction(desk.engine, snapshot=True) as session:
            _add(session, row, desk.now(), by)
    except Refused as refusal:
        wrong(str(refusal))
    tell(f"{number} of {customer}{', agreed' if agreed else ', not agreed yet: postdesk contract agree ' + number}")


def list_(
    ctx: typer.Context,
    customer: Annotated[str, typer.Option(help="Name of the customer; empty: all.")] = "",
    json_: JsonFlag = False,
) -> None:
    """Contracts, by number.

    Example: postdesk contract list --customer "Talleres Ibarra"
    """
    from models.access.views import list_contract_rows
    from models.db.engine import reading

    with reading(open_desk(ctx).engine) as session:
        rows = [row for row in list_contract_rows(session) if customer in ("", row["customer"])]
    show_json(rows) if json_ else show_table("contracts", rows, COLUMNS)


def import_(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=f"CSV with the columns {','.join(COLUMNS)}")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line, change nothing.")] = False,
    by: By = "desk",
) -> None:
    """Add the contracts of a CSV file, all or none. `agreed` is yes or empty.

    Example: postdesk contract import contracts.csv --dry-run
    """
    from models.db.engine import transaction
    from values.errors import Refused

    desk = open_desk(ctx)
    rows = _read(file)
    with transaction(desk.engine, snapshot=True) as session, progress() as bar:
        for line, row in enumerate(bar.track(rows, description="contracts"), start=2):
            try:
                _add(session, row, desk.now(), by)
            except (Refused, ValueError) as fault:
                wrong(f"{file} line {line}: {fault}")
        if dry_run:
            session.rollback()
    tell(f"{len(rows)} contracts {'are good; nothing was changed' if dry_run else 'added'}")


def agree(ctx: typer.Context, number: str, by: By = "desk") -> None:
    """The contract is agreed with the account manager: it counts from now on, and the number of seats follows.

    Example: postdesk contract agree C-2031 --as sales@nordvik.test
    """
    from models.db.engine import transaction
    from values.errors import Refused

    desk = open_desk(ctx)
    try:
        with transaction(desk.engine, snapshot=True) as session:
            agreed = _agree(session, number, desk.now(), by)
    except Refused as refusal:
        no(str(refusal))
    if not agreed:
        no(f"{number} was agreed before")
    tell(f"{number} is agreed")


def _add(session: "Session", row: dict[str, str], now: "datetime", by: str) -> None:
    from models.people.contract import add_contract
    from models.people.customer import find_customer, find_partner
    from values.errors import Refused

    customer = find_customer(session, row["customer"])
    if customer is None or customer.id is None:
        raise Refused(f"{row['customer']!r}: there is no such customer; add it with `postdesk customer add`.")
    first_line = row["first_line"] or "vendor"
    partner = None if first_line == "vendor" else find_partner(session, first_line)
    if partner is None and first_line != "vendor":
        raise Refused(f"First line {first_line!r}: there is no such partner; write vendor or a partner's name.")
    if row["agreed"] not in ("", "no", "yes"):
        raise Refused(f"Agreed is yes or empty, not {row['agreed']!r}.")
    add_contract(
        session,
        row["number"],
        customer.id,
        now,
        product=row["product"],
        edition=row["edition"],
        valid_from=_day(row["valid_from"]),
        valid_to=_day(row["valid_to"]) if row["valid_to"] else None,
        seats=_number(row["seats"] or "2"),
        first_line_partner=partner.id if partner else None,
        who=by,
        via="command",
    )
    if row["agreed"] == "yes":
        _agree(session, row["number"], now, by)


def _agree(session: "Session", number: str, now: "datetime", by: str) -> bool:
    """Agreed: the number of seats follows, and seats above it are flagged."""
    from models.access.facts import gather_access
    from models.access.request import perform
    from models.people.contract import agree_contract, find_contract
    from models.people.customer import Customer
    from rules.seats import settle_flags

    contract = find_contract(session, number)
    zone = session.get_one(Customer, contract.customer).zone if contract else "UTC"
    agreed = agree_contract(session, number, now.astimezone(ZoneInfo(zone)).date(), now, who=by, via="command")
    if agreed and contract:
        ruling = settle_flags(gather_access(session, now, customer=contract.customer))
        perform(session, ruling.actions, ruling.notices, now, who=by, via="command")
    return agreed


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, restkey="")
        names = set(reader.fieldnames or ())
        if set(NEEDED) - names or names - set(COLUMNS):
            wrong(f"{file}: the first line names the columns {','.join(COLUMNS)}; {', '.join(NEEDED)} are needed")
        return [{name: str(row.get(name) or "").strip() for name in COLUMNS} for row in reader]


def _day(text: str) -> date:
    from values.errors import Refused

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text!r} is no day: write it as 2026-12-01.") from None


def _number(text: str) -> int:
    from values.errors import Refused

    if not text.isdecimal() or not text.isascii() or len(text) > 6:
        raise Refused(f"Seats is a number, not {text!r}.")
    return int(text)
