"""Who may hold a connection: caps in all and by address, and who makes room when all are taken.

*Takes* connections and addresses. *Gives* admission, or the reply that refuses it. *Fails* never.

Near the cap it is as with Postfix's stress mode (STRESS_README): timers are short, and a newcomer takes the place of
the connection that has made no progress for longest, first of an address that holds many. Servers that lately brought
a believed mail of a registered customer (`Spool.known_senders`) have a part of the connections to themselves.
"""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from ingest.smtp.reply import BUSY

STRESS_SHARE = 0.8  # of the connections: from here on timers are short
RESERVE_SHARE = 0.1  # of the connections are for known senders
FAIR = 10  # connections that an address may have under stress; what it has beyond goes first
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
        self._places: dict[Connection, str] = {}  # and their addresses
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def sessions(self) -> list[Connection]:
        return list(self._places)

    @property
    def is_stressed(self) -> bool:
        return len(self._places) >= self._most * STRESS_SHARE

    def refusal(self, address: str) -> str | None:
        """The reply that turns a newcomer away, or None: then there is room. Cheap, as a flood asks it often."""
        held = self._by_address.get(address, 0)
        if held >= self._most_per_address:
            return BUSY
        if not self.is_stressed:
            return None
        known = self._is_known(address)
        if not known and held >= FAIR:
            return BUSY
        room = self._most if known else self._most - int(self._most * RESERVE_SHARE)
        return None if len(self._places) < room or self._make_room(known) else BUSY

    def enter(self, session: Connection, address: str) -> None:
        self._places[session] = address
        self._by_address[address] += 1

    def leave(self, session: Connection) -> None:
        address = self._places.pop(session, None)
        if address is None:
            return
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def _is_known(self, address: str) -> bool:
        if self._clock() - self._asked > KNOWN_FOR:
            self._asked, self._known = self._clock(), self._ask_known()
        return address in self._known

    def _make_room(self, known: bool) -> bool:
        """Cut the connection that has the least claim to its place, if there is one with less than the newcomer."""
        worst: tuple[bool, float] | None = None
        victim: Connection | None = None
        now = self._clock()
        for session, address in self._places.items():
            at, is_known = session.progressed_at, address in self._known
            if at is None or (is_known and not known):
                continue
            is_many = not is_known and self._by_address[address] > FAIR
            if now - at < self._patience and not is_many:
                continue
            claim = (is_many, now - at)
            if worst is None or claim > worst:
                worst, victim = claim, session
        if victim is None:
            return False
        self.leave(victim)
        victim.cut(BUSY)
        return True
