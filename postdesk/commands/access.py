"""`postdesk access`, `postdesk seat`: who asks for access, who holds which seat, and who lends it to whom."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postdesk.console import (
    By,
    Id,
    JsonFlag,
    no,
    open_desk,
    shipped_language,
    show_json,
    show_record,
    show_table,
    tell,
    whole_number,
    wrong,
)

if TYPE_CHECKING:
    from postdesk.wiring import Desk
    from values.access import AccessFacts, SeatChoice
    from values.decision import Ruling

CustomerName = Annotated[str, typer.Option("--customer", help="Name of the customer, where no domain tells.")]

# What a person at the keyboard is told, by the word of the answer; all but the first three are exit status 1.
SAID = {
    "done": "done",
    "approved": "approved; the invitation leaves with the next tick of the scheduler",
    "already": "nothing to do: it was decided before",
    "not-found": "there is no such request; see `postdesk access list`",
    "no-customer": "no domain tells which customer it is; say --customer NAME",
    "seats-taken": "refused: all seats are taken, and the applicant was told; held by",
    "has-seat": "the person has a seat already; an applicant was told so",
    "nobody-to-replace": "nobody clearly named holds an active seat there; say --in-place-of ADDRESS or --new-seat",
    "dates": "the dates are over, or another replacement falls into them",
    "waits": "waits for an agent; see `postdesk access list`",
    "nothing-to-return": "nobody stands in for this seat",
    "reason-missing": "a refusal needs a reason: postdesk access refuse ID --reason TEXT",
}
_YES = ("done", "approved")


def register(app: typer.Typer) -> None:
    access = typer.Typer(help="Requests for access: who asks, until when an answer is due.", no_args_is_help=True)
    access.command("list")(list_)
    access.command()(show)
    access.command()(approve)
    access.command()(refuse)
    access.command()(invite)
    app.add_typer(access, name="access")
    seat = typer.Typer(help="Seats: who holds one, who stands in for whom.", no_args_is_help=True)
    seat.command("list")(list_seats)
    seat.command()(lend)
    seat.command("return")(return_)
    seat.command()(end)
    app.add_typer(seat, name="seat")


def list_(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="The decided ones too.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Requests that wait, those due first; how many are late stands below the table.

    Example: postdesk access list --json
    """
    from models.access.views import count_late, list_requests
    from models.db.engine import reading

    desk = open_desk(ctx)
    now = desk.now()
    with reading(desk.engine) as session:
        rows = [_request(view, now) for view in list_requests(session, open_only=not all_)]
        late = count_late(session, now)
    if json_:
        show_json(rows)
        return
    show_table("access", rows, ("id", "state", "name", "address", "customer", "kind", "due", "late"))
    print(f"late: {late}")


def show(ctx: typer.Context, id: Id, json_: JsonFlag = False) -> None:
    """One request, and the seats of its customer.

    Example: postdesk access show 17
    """
    from models.access.views import find_request, list_seats
    from models.db.engine import reading

    desk = open_desk(ctx)
    with reading(desk.engine) as session:
        view = find_request(session, id)
        if view is None:
            no(f"{id}: {SAID['not-found']}")
        row = _request(view, desk.now()) | {"said": view.said, "evidence": list(view.evidence), "via": view.via}
        row["seats"] = [_seat(seat) for seat in list_seats(session, view.customer)] if view.customer else []
    if json_:
        show_json(row)
        return
    show_record(f"access request {id}", row, leave_out=("id", "seats"))
    show_table("seats", row["seats"], ("id", "holder", "state", "stands_in_for", "starts_on", "ends_on", "flag"))


def approve(
    ctx: typer.Context,
    id: Id,
    customer: CustomerName = "",
    in_place_of: Annotated[
        str, typer.Option("--in-place-of", help="Address of the superuser whose seat it is; empty: as asked.")
    ] = "",
    new_seat: Annotated[bool, typer.Option("--new-seat", help="A seat of their own, whatever was asked.")] = False,
    from_: Annotated[str, typer.Option("--from", help="First day, as 2026-12-01; empty: as asked.")] = "",
    until: Annotated[str, typer.Option(help="Last day; empty: as asked, or for good.")] = "",
    by: By = "desk",
) -> None:
    """Say yes: a seat is reserved, the invitation is sent automatically. The options choose the seat where the
    applicant's words were not clear.

    Example: postdesk access approve 17 --in-place-of lucia@ibarra.example --until 2026-12-15 --as anna@nordvik.test
    """
    from rules.access import approve as rule

    desk = open_desk(ctx)
    choice = _choice(in_place_of, new_seat, from_, until)
    of = _customer(desk, customer)
    _answer(_act(desk, lambda facts, now: rule(facts, desk.policy, now, choice), by, request=id, customer=of))


def refuse(
    ctx: typer.Context,
    id: Id,
    reason: Annotated[str, typer.Option(help="Why; the applicant reads it.")],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back an approval that was given.")] = False,
    by: By = "desk",
) -> None:
    """Say no, and why: the applicant reads the reason.

    Example: postdesk access refuse 17 --reason "There is no contract yet." --as anna@nordvik.test
    """
    from rules.access import refuse as rule

    _answer(_act(open_desk(ctx), lambda facts, now: rule(facts, reason, now, withdraws=withdraw), by, request=id))


def invite(ctx: typer.Context, id: Id, by: By = "desk") -> None:
    """Send the invitation of an approved request again: the new link ends the older ones.

    Example: postdesk access invite 17 --as anna@nordvik.test
    """
    from rules.access import invite as rule

    desk = open_desk(ctx)
    _answer(_act(desk, lambda facts, now: rule(facts, desk.policy, now), by, request=id))


def list_seats(
    ctx: typer.Context,
    customer: Annotated[str, typer.Option(help="Name of the customer; empty: all.")] = "",
    history: Annotated[bool, typer.Option("--history", help="The ended ones too.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Who holds which seat, who stands in for whom, and what needs a look.

    Example: postdesk seat list --customer "Talleres Ibarra" --history
    """
    from models.access.views import list_seats as seats_of
    from models.db.engine import reading

    desk = open_desk(ctx)
    of = _customer(desk, customer)
    with reading(desk.engine) as session:
        rows = [_seat(view) for view in seats_of(session, of, history=history)]
    columns = ("id", "customer", "holder", "state", "slot", "stands_in_for", "starts_on", "ends_on", "flag")
    show_json(rows) if json_ else show_table("seats", rows, columns)


def lend(
    ctx: typer.Context,
    id: Annotated[int, typer.Argument(parser=whole_number, metavar="ID", help="The seat, as in `postdesk seat list`.")],
    to: Annotated[str, typer.Option(help="Address of the stand-in, who gets an invitation.")],
    name: Annotated[str, typer.Option(help="Name of the stand-in.")] = "",
    from_: Annotated[str, typer.Option("--from", help="First day, as 2026-12-01; empty: now.")] = "",
    until: Annotated[str, typer.Option(help="Last day; empty: for good, the seat has another holder then.")] = "",
    language: Annotated[str, typer.Option(help="Language of the stand-in.")] = "",
    by: By = "desk",
) -> None:
    """Lend a superuser's seat: it rests from the first day to the last and returns by itself.

    Example: postdesk seat lend 1 --to maria@ibarra.example --from 2026-12-01 --until 2026-12-15
    """
    from rules.access import lend as rule
    from rules.access_form import clean
    from values.access import Asked
    from values.addresses import canonical_address
    from values.decision import Ruling
    from values.vocabulary import AccessKind, Answer

    shipped_language("--language", language)
    desk = open_desk(ctx)
    address = canonical_address(to)
    if address is None:
        wrong(f"--to {to}: write one mail address, such as maria@ibarra.example")
    starts, ends = _day("--from", from_), _day("--until", until)
    if starts and ends and ends < starts:
        wrong(f"--until {until}: the last day is before the first one, {from_}")
    asked = Asked(
        name=clean(name) or address.partition("@")[0],
        address=address,
        language=language or desk.settings.language,
        kind=AccessKind.IN_PLACE_OF,
        starts_on=starts,
        ends_on=ends,
    )

    def decide(facts: "AccessFacts", now: datetime) -> Ruling:
        seat = facts.seat(id)
        return rule(facts, asked, seat, desk.policy, now, by_agent=True) if seat else Ruling(answer=Answer.NOT_FOUND)

    _answer_of_seat(_act(desk, decide, by, seat=id, asked=asked), id)


def return_(
    ctx: typer.Context,
    id: Annotated[
        int, typer.Argument(parser=whole_number, metavar="ID", help="The seat that is lent, or the stand-in's.")
    ],
    by: By = "desk",
) -> None:
    """End a replacement now: seat and open tickets are the regular's again.

    Example: postdesk seat return 1
    """
    from rules import seats
    from values.decision import Ruling
    from values.vocabulary import Answer

    def decide(facts: "AccessFacts", now: datetime) -> Ruling:
        seat = facts.seat(id)
        regular = facts.seat(seat.stands_in_for) if seat and seat.stands_in_for else seat
        return seats.take_back(facts, regular.contact, now) if regular else Ruling(answer=Answer.NOT_FOUND)

    _answer_of_seat(_act(open_desk(ctx), decide, by, seat=id), id)


def end(ctx: typer.Context, id: Id, by: By = "desk") -> None:
    """End a seat for good; a replacement for it ends too.

    Example: postdesk seat end 2
    """
    from rules import seats
    from values.decision import Ruling
    from values.vocabulary import Answer

    def decide(facts: "AccessFacts", now: datetime) -> Ruling:
        seat = facts.seat(id)
        return seats.end(facts, seat, now) if seat else Ruling(answer=Answer.NOT_FOUND)

    _answer_of_seat(_act(open_desk(ctx), decide, by, seat=id), id)


# --- how ----------------------------------------------------------------------------------------------------------


def _act(desk: "Desk", rule: "Callable[[AccessFacts, datetime], Ruling]", by: str, **which: Any) -> "Ruling":
    """Gather, rule and perform in one snapshot, again after a lost race."""
    from models.access.facts import gather_access
    from models.access.request import perform
    from models.db.engine import retrying, transaction

    def once() -> "Ruling":
        now = desk.now()
        with transaction(desk.engine, snapshot=True) as session:
            ruling = rule(gather_access(session, now, **which), now)
            perform(session, ruling.actions, ruling.notices, now, who=by, via="command")
        return ruling

    return retrying(once)


def _choice(in_place_of: str, new_seat: bool, from_: str, until: str) -> "SeatChoice | None":
    from values.access import SeatChoice

    starts, ends = _day("--from", from_), _day("--until", until)
    if new_seat and (in_place_of or starts or ends):
        wrong("--new-seat: a seat of their own has no --in-place-of, --from or --until")
    if (starts or ends) and not in_place_of:
        wrong("--from and --until need --in-place-of ADDRESS")
    if starts and ends and ends < starts:
        wrong(f"--until {until}: the last day is before the first one, {from_}")
    if not new_seat and not in_place_of:
        return None
    return SeatChoice(in_place_of=in_place_of or None, starts_on=starts, ends_on=ends)


def _answer_of_seat(ruling: "Ruling", id: int) -> None:
    if ruling.answer.value == "not-found":
        no(f"{id}: there is no such seat; see `postdesk seat list`")
    _answer(ruling)


def _answer(ruling: "Ruling") -> None:
    said = SAID.get(ruling.answer.value, ruling.answer.value)
    text = f"{said} {', '.join(ruling.holders)}".strip() if ruling.holders else said
    if ruling.decided_by:
        text = f"nothing was done: {ruling.decided_by} decided before; see `postdesk access show ID`"
    tell(text) if ruling.answer.value in _YES else no(text)


def _customer(desk: "Desk", name: str) -> int | None:
    from models.db.engine import reading
    from models.people.customer import find_customer

    if not name:
        return None
    with reading(desk.engine) as session:
        found = find_customer(session, name)
    if found is None:
        wrong(f"--customer {name}: there is no such customer")
    return found.id


def _day(option: str, text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        wrong(f"{option} {text}: write a day as 2026-12-01")


def _request(view: Any, now: datetime) -> dict[str, Any]:
    row = asdict(view)
    del row["said"], row["evidence"], row["via"]
    is_ours = view.state.value in ("waiting", "approved")
    return row | {"customer": view.customer_name, "late": is_ours and view.due < now}


def _seat(view: Any) -> dict[str, Any]:
    return {
        "id": view.id,
        "customer": view.customer_name,
        "holder": view.address,
        "name": view.name,
        "state": view.state.value,
        "slot": view.slot,
        "starts": view.starts,
        "until": view.until,
        "starts_on": view.starts_on,
        "ends_on": view.ends_on,
        "stands_in_for": view.regular,
        "stands_in_for_seat": view.stands_in_for,
        "flag": view.flag,
    }
