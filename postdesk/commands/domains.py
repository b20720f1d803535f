"""`postdesk domain`: which mail domain leads to which customer, and what is not clear about it."""

from typing import Annotated, Any

import typer

from postdesk.console import By, JsonFlag, no, open_desk, show_json, show_table, tell, wrong

Customer = Annotated[str, typer.Option(help="Name of the customer.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show which mails it would free, change nothing.")]
Despite = Annotated[
    bool, typer.Option("--despite", help="Although it looks like another domain, or others write from it.")
]
COLUMNS = ("id", "author", "subject", "was", "state", "ticket")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Mail domains of the customers.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(add)
    group.command()(move)
    group.command()(remove)
    group.command()(conflicts)
    app.add_typer(group, name="domain")


def list_(ctx: typer.Context, customer: Customer = "", json_: JsonFlag = False) -> None:
    """Every registered domain and the customer that it leads to.

    Example: postdesk domain list --customer "Talleres Ibarra"
    """
    from models.db.engine import reading
    from models.people.domains import list_domains

    desk = open_desk(ctx)
    wanted = _customer(desk, customer) if customer else None
    with reading(desk.engine) as session:
        rows = list_domains(session, wanted)
    show_json(rows) if json_ else show_table("domains", rows, ("domain", "customer", "subdomains"))


def add(
    ctx: typer.Context,
    domain: str,
    customer: Customer,
    subdomains: Annotated[bool, typer.Option("--subdomains", help="Those below it too.")] = False,
    despite: Despite = False,
    dry_run: DryRun = False,
    by: By = "desk",
    json_: JsonFlag = False,
) -> None:
    """Let a domain lead to a customer, and decide again about the mails that waited for it.

    Example: postdesk domain add ibarra.example --customer "Talleres Ibarra" --dry-run
    """
    from postdesk import domain_desk

    desk = open_desk(ctx)
    id = _customer(desk, customer)
    _mind(desk, domain, id, despite)
    rows = domain_desk.add(desk.pipeline(), domain, id, by=by, subdomains=subdomains, dry_run=dry_run)
    _tell(rows, f"{domain} leads to {customer}", dry_run, json_)


def move(
    ctx: typer.Context,
    domain: str,
    customer: Customer,
    despite: Despite = False,
    dry_run: DryRun = False,
    by: By = "desk",
    json_: JsonFlag = False,
) -> None:
    """Let a domain of one customer lead to another. Tickets stay where they are; mails that wait are decided again.

    Example: postdesk domain move branch.example --customer "Talleres Ibarra"
    """
    from postdesk import domain_desk

    desk = open_desk(ctx)
    id = _customer(desk, customer)
    _mind(desk, domain, id, despite)
    rows = domain_desk.move(desk.pipeline(), domain, id, by=by, dry_run=dry_run)
    _tell(rows, f"{domain} leads to {customer}", dry_run, json_)


def remove(ctx: typer.Context, domain: str, by: By = "desk") -> None:
    """Let a domain lead to nobody. Registered people go on as before; everybody else of it is a stranger.

    Example: postdesk domain remove ibarra.example
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.people.domains import remove_domain

    desk = open_desk(ctx)
    now = desk.now()
    with transaction(desk.engine) as session:
        owner = remove_domain(session, domain)
        append(session, now, who=by, what="domain.remove", subject=f"domain:{domain}", via="command")
    tell(f"{domain} leads to nobody; it was {owner}'s")


def conflicts(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """What a person should decide: shared, confusable and nested domains, people who write from another's, and mails
    that wait because their domain leads to nobody. Each with the command that makes it clear.

    Example: postdesk domain conflicts
    """
    from models.db.engine import reading
    from models.people.domains import find_conflicts

    with reading(open_desk(ctx).engine) as session:
        rows = find_conflicts(session)
    columns = ("kind", "domain", "customers", "addresses", "mails", "repair")
    show_json(rows) if json_ else show_table("conflicts", rows, columns)


def _customer(desk: Any, name: str) -> int:
    from models.db.engine import reading
    from models.people.customer import find_customer

    with reading(desk.engine) as session:
        found = find_customer(session, name)
        id = found.id if found else None
    if id is None:
        wrong(f"--customer {name}: there is no such customer")
    return id


def _mind(desk: Any, domain: str, customer: int, despite: bool) -> None:
    from models.db.engine import reading
    from models.people.domains import find_objection

    with reading(desk.engine) as session:
        objection = find_objection(session, domain, customer)
    if objection and not despite:
        no(f"{objection} If that is right, say --despite.")


def _tell(rows: list[dict[str, Any]], done: str, dry_run: bool, json_: bool) -> None:
    if json_:
        show_json(rows)
        return
    show_table("would become" if dry_run else "decided again", rows, (*COLUMNS, "reason") if dry_run else COLUMNS)
    tell("nothing was changed" if dry_run else done)
