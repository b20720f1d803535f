"""models/inbound/fetching.py: one fetcher at a time has a mailbox, and one that lost it moves no cursor."""

import threading
from datetime import timedelta

import sqlalchemy as sa

from models.db.engine import reading, retrying, transaction
from models.inbound.fetching import (
    LEASE,
    LONGEST,
    Loan,
    Polled,
    advance,
    extend,
    find_last_uid,
    find_polled,
    give_back,
    lend,
    mark_looked,
)
from tests.models.made import NOW

BOX = "imap.test/support/INBOX"


def lent(engine: sa.Engine, worker: str, at: timedelta = timedelta()) -> Loan | None:
    with transaction(engine) as session:
        return lend(session, BOX, worker, NOW + at)


def test_a_lease_ends_and_its_fence_keeps_the_late_one_out(database: sa.Engine) -> None:
    first = lent(database, "a")
    assert first is not None and lent(database, "b") is None
    second = lent(database, "b", LEASE)
    assert second is not None and second.fence == first.fence + 1
    with transaction(database) as session:
        assert not advance(session, first, 7, 12, NOW)
        assert not extend(session, first, NOW) and not mark_looked(session, first, NOW)
        assert not give_back(session, first, NOW, due_at=NOW, faults=0)
        assert find_last_uid(session, BOX, 7) is None
        assert advance(session, second, 7, 5, NOW + LEASE)
    assert lent(database, "a", LEASE * 1.5) is None, "extended by the word"


def test_each_uidvalidity_has_its_cursor(database: sa.Engine) -> None:
    loan = lent(database, "a")
    assert loan is not None
    with transaction(database) as session:
        assert advance(session, loan, 7, 5, NOW) and advance(session, loan, 4_000_000_000, 4_100_000_000, NOW)
        assert advance(session, loan, 7, 6, NOW + timedelta(seconds=1))
    with reading(database) as session:
        assert (find_last_uid(session, BOX, 7), find_last_uid(session, BOX, 4_000_000_000)) == (6, 4_100_000_000)
        assert find_polled(session, BOX) == Polled(looked_at=None, fault="", fault_at=None, uidvalidity=7, last_uid=6)
        assert find_polled(session, "another") is None


def test_a_mailbox_rests_after_a_fault_and_the_fault_is_told(database: sa.Engine) -> None:
    loan = lent(database, "a")
    assert loan is not None
    with transaction(database) as session:
        assert give_back(session, loan, NOW, due_at=NOW + timedelta(minutes=5), faults=3, fault="no\0such folder")
        assert not extend(session, loan, NOW), "it is ours no more"
    assert lent(database, "b") is None
    again = lent(database, "b", timedelta(minutes=5))
    assert again is not None and again.faults == 3
    with transaction(database) as session:
        polled = find_polled(session, BOX)
        assert polled is not None and "such folder" in polled.fault
        assert mark_looked(session, again, NOW)
        polled = find_polled(session, BOX)
    assert polled is not None and (polled.fault, polled.looked_at) == ("", NOW)


def test_a_lease_from_before_the_clock_went_back_ends(database: sa.Engine) -> None:
    """F30."""
    assert lent(database, "a", 2 * LONGEST) is not None
    assert lent(database, "b") is not None


def test_of_many_one_gets_it(database: sa.Engine) -> None:
    loans: list[Loan | None] = []
    threads = [
        threading.Thread(target=lambda n=n: loans.append(retrying(lambda: lent(database, f"w{n}")))) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([loan for loan in loans if loan]) == 1 and len(loans) == 8
