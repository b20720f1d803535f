"""Who may hold a connection: caps in all and by address, and who makes room when all are taken.

*Takes* connections and addresses. *Gives* admission, or the reply that refuses it. *Fails* never.

Near the cap it is as with Postfix's stress mode (STRESS_README): timers are short, and a newcomer takes the place of
the connection that has made no progress for longest, first of an address that holds many. Servers that lately brought
a believed mail of a registered customer (`Spool.known_senders`) have a part of the connections to themselves.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ingest.smtp_reply import BUSY

STRESS_SHARE = 0.8  # of the connections: from here on timers are short
RESERVE_SHARE = 0.1  # of the connections are for known senders
FAIR = 10  # connections that one address keeps under stress while they make progress
KNOWN_FOR = 60.0  # seconds between two looks at who is known
OWN_DESCRIPTORS = 96  # of the process besides its connections: listeners, log, spool, and what is accepted at once
EACH = 2  # descriptors of one connection: its socket, and the file of a mail that is large


def most_connections(descriptors: int, wanted: int) -> int:
    """How many of the `wanted` connections a process can hold that may open so many descriptors."""
    return max(1, min(wanted, (descriptors - OWN_DESCRIPTORS) // EACH))


class Connection(Protocol):
    """What the gate knows of a session."""

    @property
    def is_busy(self) -> bool:
        """Within DATA or its commit: what a stop waits for."""
        ...

    @property
    def progressed_at(self) -> float | None:
        """The loop's time when it last made progress; None while its mail is made durable: it can't be cut now."""
        ...

    def say_goodbye(self, reply: str) -> None: ...
    def cut(self, reply: str) -> None: ...


@dataclass(slots=True)
class _Place:
    address: str
    known: bool


class Gate:
    """All connections of one listener process. Not for threads: the loop's alone."""

    def __init__(
        self,
        most: int,
        most_per_address: int,
        patience: float,
        clock: Callable[[], float],
        known: Callable[[], frozenset[str]],
    ) -> None:
        """`patience`: seconds without progress that are forgiven under stress. `known`: the addresses of known
        senders, asked once a minute at most."""
        self._most, self._most_per_address, self._patience = most, most_per_address, patience
        self._clock, self._ask_known = clock, known
        self._known: frozenset[str] = frozenset()
        self._asked = float("-inf")
        self._places: dict[Connection, _Place] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def sessions(self) -> list[Connection]:
        return list(self._places)

    @property
    def is_stressed(self) -> bool:
        return len(self._places) >= self._most * STRESS_SHARE

    def admit(self, session: Connection, address: str) -> str | None:
        """None, or the reply that turns the connection away."""
        if self._by_address[address] >= self._most_per_address:
            return BUSY
        known = self.is_stressed and self._is_known(address)
        room = self._most if known else self._most - int(self._most * RESERVE_SHARE)
        if len(self._places) >= room and not self._make_room(address, known):
            return BUSY
        self._places[session] = _Place(address, known)
        self._by_address[address] += 1
        return None

    def leave(self, session: Connection) -> None:
        place = self._places.pop(session, None)
        if place is None:
            return
        self._by_address[place.address] -= 1
        if not self._by_address[place.address]:
            del self._by_address[place.address]

    def _is_known(self, address: str) -> bool:
        if self._clock() - self._asked > KNOWN_FOR:
            self._asked, self._known = self._clock(), self._ask_known()
        return address in self._known

    def _make_room(self, newcomer: str, known: bool) -> bool:
        """Cut the connection that has the least claim to its place, if there is one with less than the newcomer."""
        worst: tuple[bool, float] | None = None
        victim: Connection | None = None
        now = self._clock()
        for session, place in self._places.items():
            at = session.progressed_at
            if at is None or (place.known and not known):
                continue
            is_many = not place.known and self._by_address[place.address] > FAIR
            if now - at < self._patience and (not is_many or place.address == newcomer):
                continue
            claim = (is_many, now - at)
            if worst is None or claim > worst:
                worst, victim = claim, session
        if victim is None:
            return False
        self.leave(victim)
        victim.cut(BUSY)
        return True
