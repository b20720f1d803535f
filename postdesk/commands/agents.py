"""`postdesk agent`: the vendor's own people, and which notices they get."""

from typing import Annotated, Any

import typer

from postdesk.console import JsonFlag, one_of, open_desk, shipped_language, show_json, show_table, tell

Language = Annotated[str, typer.Option(help="Language of the mails, as in es.")]
AgentZone = Annotated[str, typer.Option("--zone", help="Time zone, as in Europe/Madrid; empty: the desk's.")]
Notices = Annotated[str, typer.Option(help="Notices by mail: all tickets, mine (assigned), or none.")]


def register(app: typer.Typer) -> None:
    agent = typer.Typer(help="The vendor's own people.", no_args_is_help=True)
    agent.command("list")(list_agents)
    agent.command("add")(add_agent)
    agent.command("change")(change_agent)
    agent.command("deactivate")(deactivate_agent)
    agent.command("activate")(activate_agent)
    app.add_typer(agent, name="agent")


def list_agents(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """The vendor's people: who is admin, whose notices are all, mine or none.

    Example: postdesk agent list
    """
    from models.db.engine import reading
    from models.views.people import list_agents

    with reading(open_desk(ctx).engine) as session:
        rows = list_agents(session)
    columns = ("address", "name", "admin", "active", "notices", "language", "zone")
    show_json(rows) if json_ else show_table("agents", rows, columns)


def add_agent(
    ctx: typer.Context,
    address: str,
    name: Annotated[str, typer.Option(help="Name of the person.")],
    admin: Annotated[bool, typer.Option("--admin", help="May do everything.")] = False,
    language: Language = "",
    zone: AgentZone = "",
    notices: Notices = "all",
) -> None:
    """Add one of the vendor's people.

    Example: postdesk agent add anna@nordvik.test --name "Anna Berg" --admin
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.people import agent as staff
    from values.vocabulary import AgentNotices

    one_of("--notices", notices, AgentNotices)
    shipped_language("--language", language)
    desk = open_desk(ctx)
    with transaction(desk.engine) as session:
        made = staff.add_agent(
            session,
            address,
            name,
            desk.now(),
            admin=admin,
            language=language or desk.settings.language,
            zone=zone,
            notices=AgentNotices(notices or "all"),
        )
        detail = {"address": address, "admin": admin}
        append(
            session, desk.now(), who="desk", what="agent.add", subject=f"agent:{made.id}", via="command", detail=detail
        )
    tell(f"{address} is an agent{' and admin' if admin else ''}")


def change_agent(
    ctx: typer.Context,
    address: str,
    name: Annotated[str, typer.Option(help="Name of the person.")] = "",
    admin: Annotated[bool | None, typer.Option("--admin/--no-admin", help="May do everything.")] = None,
    notices: Annotated[str, typer.Option(help="Notices by mail: all tickets, mine (assigned), or none.")] = "",
    language: Language = "",
    zone: Annotated[str | None, typer.Option("--zone", help="Time zone, or desk for the desk's.")] = None,
) -> None:
    """Change one of the vendor's people; what is not named stays.

    Example: postdesk agent change anna@nordvik.test --notices mine --zone Europe/Stockholm
    """
    from values.vocabulary import AgentNotices

    one_of("--notices", notices, AgentNotices)
    shipped_language("--language", language)
    _change_agent(
        ctx,
        address,
        name=name.strip() or None,
        admin=admin,
        notices=AgentNotices(notices) if notices else None,
        language=language or None,
        zone="" if zone == "desk" else zone or None,
    )


def deactivate_agent(ctx: typer.Context, address: str) -> None:
    """End an agent's access: no sign-in, no notices, no answers. What they wrote keeps their name.

    Example: postdesk agent deactivate anna@nordvik.test
    """
    released = _change_agent(ctx, address, active=False)
    if released:
        tell(f"{released} open tickets were assigned to {address}; they are nobody's now")


def activate_agent(ctx: typer.Context, address: str) -> None:
    """Give a deactivated agent their access back.

    Example: postdesk agent activate anna@nordvik.test
    """
    _change_agent(ctx, address, active=True)


def _change_agent(ctx: typer.Context, address: str, **wanted: Any) -> int:
    """Change, audit, tell; how many tickets a deactivated agent gave back."""
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.people import agent as staff
    from models.sessions.web_session import revoke_sessions_of
    from models.tickets.ticket import release_tickets
    from values.actor import Actor
    from values.vocabulary import Door

    released = 0

    desk = open_desk(ctx)
    with transaction(desk.engine) as session:
        changed = staff.change_agent(session, address, **wanted)
        if changed.get("active") == "False":
            agent = staff.find_agent(session, address)
            if agent and agent.id is not None:
                by = Actor(door=Door.COMMAND)
                revoke_sessions_of(session, desk.now(), agent=agent.id)
                released = release_tickets(session, (agent.id, agent.address), desk.now(), by)
        if changed:
            append(session, desk.now(), who="desk", what="agent.change", subject=address, via="command", detail=changed)
    said = ", ".join(f"{key} {value or 'desk'}" for key, value in changed.items())
    tell(f"{address}: {said or 'as it was'}")
    return released
