"""`postdesk`: the table of commands. Each group is a module of postdesk/commands; nothing heavy is imported here.

Takes: argv.  Gives: exit status 0 done, 1 no or not found, 2 the call or the configuration is wrong.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup, TyperOption

from postdesk.commands import (
    access,
    agents,
    blobs,
    contracts,
    customers,
    demo,
    doctor,
    domains,
    explain,
    held,
    ledger,
    mails,
    metrics,
    outbox,
    running,
    setup,
    shunt,
    suppression,
    tickets,
)

# What any command or role makes (database, spool, blobs, mails in a Maildir) is its user's alone, whatever the shell or
# the unit says: it holds people's mail, and not each library that makes a file takes a mode. A group that shall read
# the desk gets that by hand; nothing here changes what is there.
PRIVATE = 0o077

# What people want, in the order in which they want it: the help shows the commands so.
PANELS = {
    "Try it": ("demo", "explain"),
    "Set up": ("init", "migrate", "doctor", "restored", "version"),
    "Run": ("run", "work", "tick", "metrics"),
    "Who may write": ("customer", "contact", "agent", "domain", "contract"),
    "Access and seats": ("access", "seat"),
    "Tickets": ("ticket",),
    "What came in and what left": ("ledger", "mail", "held", "shunt", "outbox", "suppression", "blobs"),
}
PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}


class InPanels(TyperGroup):
    """The commands in the order of `PANELS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        order = list(PANEL_OF)
        return sorted(super().list_commands(ctx), key=lambda name: order.index(name) if name in order else len(order))


app = typer.Typer(
    name="postdesk",
    cls=InPanels,
    help="The e-mail helpdesk of a software vendor: mail becomes tickets, superusers get answers, nothing is lost.",
    epilog="Try it: postdesk demo · Set up: postdesk init, then postdesk migrate, doctor, run",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(envvar="POSTDESK_CONFIG", help="postdesk.toml of the desk.", show_default=False)
    ] = None,
) -> None:
    """Choose the desk."""
    ctx.obj = config


_GROUPS = (
    *(demo, setup, running, customers, agents, domains, contracts, access, tickets, ledger, mails, outbox, suppression),
    *(held, shunt, blobs, explain, doctor, metrics),
)
for module in _GROUPS:
    module.register(app)

for _command in app.registered_commands:
    _command.rich_help_panel = PANEL_OF.get(str(_command.name or getattr(_command.callback, "__name__", "")))
for _group in app.registered_groups:
    _group.rich_help_panel = PANEL_OF.get(str(_group.name))

_type_of = TyperOption.display_type_rich


def _type_shown(option: TyperOption, ctx: Any) -> str | None:
    """A flag takes no value: `--json <bool>` would have people write `--json true`."""
    return None if option.is_flag else _type_of(option, ctx)


TyperOption.display_type_rich = _type_shown  # type: ignore[method-assign,assignment]


def main() -> None:
    """The script `postdesk`."""
    os.umask(PRIVATE)
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()  # a reader such as `head` has seen enough
        sys.exit(0)
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        status, text = told
        print(text, file=sys.stderr)
        sys.exit(status)


def explained(error: BaseException) -> tuple[int, str] | None:
    """The exit status and the sentence of an error that a person can do something about; None for a fault of ours."""
    from values.errors import PostdeskError, Refused

    if isinstance(error, UnicodeEncodeError):  # octets of another charset, which Python keeps as lone surrogates
        return 2, f"{error.object[error.start : error.end]!r} is not UTF-8 text: set the terminal to UTF-8"
    if isinstance(error, PostdeskError):
        return (1 if isinstance(error, Refused) else 2), str(error)
    if _is_database(error):
        return 2, f"the database does not answer as it should: {_first_line(error)}\n{DATABASE_HINT}"
    return None


DATABASE_HINT = "check `database` in postdesk.toml, and run `postdesk migrate` if it is new or was upgraded"


def _is_database(error: BaseException) -> bool:
    """Told by name: importing SQLAlchemy would cost every command its start."""
    return any(f"{kind.__module__}.{kind.__name__}" == "sqlalchemy.exc.DBAPIError" for kind in type(error).__mro__)


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


if __name__ == "__main__":
    main()
