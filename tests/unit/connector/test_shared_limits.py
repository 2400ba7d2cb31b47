"""Limits over all connectors are divided, and never exceeded while these know each other."""

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.connector.delivery.shared_limits import Place, SharedLimits, part_of


class Cluster:
    """Connectors that hear at once of what the others announce."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.members: list[SharedLimits] = []
        self.running: dict[int, int] = {}
        self.announced: dict[int, int] = {}

    def join(self) -> None:
        number = len(self.members)
        self.running[number] = self.announced[number] = 0
        self.members.append(
            SharedLimits(
                lambda: self.place(number), lambda: self.announce(number), max_calls=self.total
            )
        )
        for each in range(number + 1):
            self.announce(each)

    def place(self, number: int) -> Place:
        others = sum(calls for each, calls in self.announced.items() if each != number)
        return Place(number, len(self.members), others)

    def announce(self, number: int) -> None:
        self.announced[number] = self.members[number].announce(self.running[number])

    def start(self, number: int) -> None:
        for _ in range(2):  # the first time it may have to tell the others first
            if self.members[number].allows(self.running[number], 0.0):
                self.running[number] += 1
                return

    def end(self, number: int) -> None:
        if self.running[number]:
            self.running[number] -= 1
            self.members[number].ended(self.running[number])


@settings(max_examples=100)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(["join", "start", "end"]), st.integers(0, 3)), max_size=60),
)
def test_no_more_calls_run_than_the_limit(total: int, steps: list[tuple[str, int]]) -> None:
    cluster = Cluster(total)
    cluster.join()
    for step, number in steps:
        if step == "join" and len(cluster.members) < 4:
            cluster.join()
        elif step == "start":
            cluster.start(number % len(cluster.members))
        elif step == "end":
            cluster.end(number % len(cluster.members))
        assert sum(cluster.running.values()) <= total
    # when what ran has ended, each has its part
    for number in cluster.running:
        while cluster.running[number]:
            cluster.end(number)
    for number in cluster.running:
        cluster.announce(number)
    assert sum(member.calls() or 0 for member in cluster.members) == total


@given(st.integers(1, 100), st.integers(1, 10))
def test_parts_make_up_the_whole(total: int, number: int) -> None:
    parts = [part_of(total, Place(index, number)) for index in range(number)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_nothing_starts_while_the_others_are_not_known() -> None:
    unknown = SharedLimits(lambda: None, lambda: None, rate=5.0)
    assert unknown.calls() == 0
    assert not unknown.allows(0, 10.0)
    unlimited = SharedLimits(lambda: None, lambda: None)
    assert unlimited.calls() is None
    assert unlimited.allows(1000, 10.0)


def test_a_rate_is_shared_and_kept() -> None:
    limits = SharedLimits(lambda: Place(1, 2), lambda: None, rate=100.0)
    assert limits.messages() == 50
    now, messages = 100.0, 0
    while now < 110.0:
        while limits.allows(0, now):
            limits.started(10, now)
            messages += 10
        now += 0.013
    assert 500 <= messages <= 510 + 10
    slow = SharedLimits(lambda: Place(0, 4), lambda: None, rate=1.0)
    assert slow.messages() == 1
    slow.started(1, 50.0)
    assert not slow.allows(0, 53.8)
    assert slow.allows(0, 53.9)
