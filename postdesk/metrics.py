"""The desk as numbers. Every number is counted anew from the rows and the spool: no process keeps one.

Takes: a wired `Desk`.  Gives: name → number, or name → label value → number; and the same as Prometheus text.
"""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from models.access.views import count_late
from models.db.engine import reading
from models.views.ledger import count_held, count_ledger, count_outbox
from postdesk.wiring import Desk
from values.vocabulary import LedgerState, OutboxStatus

Numbers = dict[str, int | dict[str, int]]

MEANINGS: dict[str, tuple[str, str]] = {  # name -> (its label, what is counted)
    "mails": ("state", "accepted mails that were decided, by what became of them"),
    "spool": ("folder", "spool files: new waits, work is being decided, shunt failed three times"),
    "held": ("", "mails that wait for a person's judgment"),
    "outbox": ("status", "outgoing mails"),
    "access_late": ("", "access requests that are over the 24 hours they were promised"),
}


def measured(desk: Desk) -> Numbers:
    """The numbers named in MEANINGS; a state that nothing is in counts 0."""
    with reading(desk.engine) as session:
        ledger, outbox = count_ledger(session), count_outbox(session)
        held, late = count_held(session), count_late(session, desk.now())
    spool = desk.spool.counts()
    return {
        "mails": {state.value: ledger.get(state.value, 0) for state in LedgerState},
        "spool": {"new": spool.new, "work": spool.work, "shunt": spool.shunt},
        "held": held,
        "outbox": {status.value: outbox.get(status.value, 0) for status in OutboxStatus},
        "access_late": late,
    }


def exposed(numbers: Numbers) -> str:
    """The text format of Prometheus, each name with the prefix `postdesk_`."""
    registry = CollectorRegistry()
    for name, number in numbers.items():
        label, meaning = MEANINGS[name]
        gauge = Gauge(f"postdesk_{name}", meaning, [label] if label else [], registry=registry)
        if isinstance(number, dict):
            for value, count in number.items():
                gauge.labels(value).set(count)
        else:
            gauge.set(number)
    return generate_latest(registry).decode()
