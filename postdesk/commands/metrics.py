"""`postdesk metrics`: what a monitoring system watches, as numbers of this moment."""

import typer

from postdesk.console import JsonFlag, open_desk, show_json


def register(app: typer.Typer) -> None:
    app.command()(metrics)


def metrics(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """Numbers in the text format of Prometheus: mails by state, what waits, late access requests.

    Example, for the textfile collector: postdesk metrics > postdesk.prom
    """
    from postdesk.metrics import exposed, measured

    numbers = measured(open_desk(ctx))
    show_json(numbers) if json_ else print(exposed(numbers), end="")
