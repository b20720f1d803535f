"""Who acts, and by which door: what the audit trail and the history of a ticket say of an act."""

from dataclasses import dataclass

from values.vocabulary import Door

DESK = "desk"  # who acts where no person does

_DOORS = {
    "mail": Door.MAIL,
    "session": Door.PAGE,
    "link": Door.PAGE,
    "form": Door.PAGE,
    "job": Door.JOB,
    "command": Door.COMMAND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """`who`: the address of an agent or contact, or DESK."""

    who: str = DESK
    door: Door

    @classmethod
    def of(cls, who: str, via: str) -> "Actor":
        """The actor of an audit row. `via`: mail:<ledger id>, session:<id>, link:<id>, form, command or job:<name>."""
        return cls(who=who, door=_DOORS[via.partition(":")[0]])
