"""Which agents hear of a mail: all, mine, none."""

from dataclasses import replace

import pytest

from rules.case import Case
from rules.clues import look_for
from rules.reply import agents_notices, staff_notices
from tests.builders import ANNA, KEYS, NOW, POLICY, facts_for, mail, ticket
from values.decision import AgentFact
from values.vocabulary import AgentNotices, StaffTask

ALL, MINE, NONE = AgentNotices.ALL, AgentNotices.MINE, AgentNotices.NONE


def a_case() -> Case:
    found = mail()
    return Case(mail=found, facts=facts_for(look_for(found, POLICY, KEYS)), policy=POLICY, now=NOW)


def heard(case: Case, agent: AgentFact, assignee: int | None, *, new: bool) -> bool:
    case = replace(case, facts=replace(case.facts, notified_agents=(agent,)))
    return bool(agents_notices(case, None if new else replace(ticket(), assignee=assignee)))


@pytest.mark.parametrize(
    ("notices", "of_new", "of_theirs", "of_others", "of_the_desk"),
    [(ALL, True, True, True, True), (MINE, False, True, False, False), (NONE, False, False, False, False)],
)
def test_an_agent_hears_what_they_chose(
    notices: AgentNotices, of_new: bool, of_theirs: bool, of_others: bool, of_the_desk: bool
) -> None:
    case = a_case()
    agent = replace(ANNA, notices=notices, zone="Europe/Oslo")
    assert heard(case, agent, None, new=True) is of_new
    assert heard(case, agent, agent.id, new=False) is of_theirs
    assert heard(case, agent, agent.id + 1, new=False) is of_others
    assert heard(case, agent, None, new=False) is of_others
    told = replace(case, facts=replace(case.facts, notified_agents=(agent,)))
    assert bool(staff_notices(told, StaffTask.PAUSED, "x@y.test", cause="1")) is of_the_desk


def test_notices_are_in_the_agents_own_zone() -> None:
    case = a_case()
    told = replace(case, facts=replace(case.facts, notified_agents=(replace(ANNA, zone="Europe/Oslo"),)))
    assert [notice.zone for notice in agents_notices(told, None)] == ["Europe/Oslo"]
