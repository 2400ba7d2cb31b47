"""How many replicas to ask for."""

from hypothesis import given
from hypothesis import strategies as st

from infra.connector.openfaas.autoscaler import ReplicaLimits, ReplicaPlanner

LIMITS = ReplicaLimits(
    min_replicas=1, max_replicas=5, lag_per_replica=100, stabilization_window=60.0
)


def test_up_at_once() -> None:
    planner = ReplicaPlanner(LIMITS)
    assert planner.desired_replicas(0, 1, 0.0) is None
    assert planner.desired_replicas(100, 1, 1.0) is None
    assert planner.desired_replicas(101, 1, 2.0) == 2
    assert planner.desired_replicas(10_000, 2, 3.0) == 5
    assert planner.desired_replicas(10_000, 5, 4.0) is None


def test_from_zero_with_any_lag() -> None:
    planner = ReplicaPlanner(LIMITS)
    assert planner.desired_replicas(0, 0, 0.0) is None
    assert planner.desired_replicas(1, 0, 1.0) == 1
    assert planner.desired_replicas(250, 0, 2.0) == 3


def test_down_to_what_was_needed_at_most_of_late() -> None:
    planner = ReplicaPlanner(LIMITS)
    assert planner.desired_replicas(450, 1, 0.0) == 5
    assert planner.desired_replicas(250, 5, 30.0) is None
    assert planner.desired_replicas(50, 5, 50.0) is None
    assert planner.desired_replicas(50, 5, 61.0) == 3
    assert planner.desired_replicas(50, 3, 91.0) == 1


def test_a_lag_that_swings_does_not_move_replicas() -> None:
    planner = ReplicaPlanner(LIMITS)
    replicas = 1
    asked = []
    for step in range(100):
        wanted = planner.desired_replicas(400 if step % 2 else 0, replicas, step * 10.0)
        if wanted is not None:
            asked.append(wanted)
            replicas = wanted
    assert asked == [4]


def test_a_restarted_connector_does_not_take_replicas_away_at_once() -> None:
    planner = ReplicaPlanner(LIMITS)
    assert planner.desired_replicas(10, 5, 1000.0) is None
    assert planner.desired_replicas(10, 5, 1059.0) is None
    assert planner.desired_replicas(10, 5, 1060.0) == 1


def test_the_minimum_is_kept() -> None:
    planner = ReplicaPlanner(
        ReplicaLimits(min_replicas=2, max_replicas=5, lag_per_replica=100, stabilization_window=0.0)
    )
    assert planner.desired_replicas(0, 1, 0.0) == 2
    assert planner.desired_replicas(0, 2, 1000.0) is None
    assert planner.desired_replicas(0, 5, 1000.0) == 2


def test_to_zero_when_idle_for_long() -> None:
    planner = ReplicaPlanner(
        ReplicaLimits(
            min_replicas=1,
            max_replicas=5,
            lag_per_replica=100,
            stabilization_window=60.0,
            zero_after=300.0,
        )
    )
    assert planner.desired_replicas(1, 1, 0.0) is None
    assert planner.desired_replicas(0, 1, 10.0) is None
    assert planner.desired_replicas(0, 1, 309.0) is None
    assert planner.desired_replicas(1, 1, 309.5) is None, "any lag starts the count anew"
    assert planner.desired_replicas(0, 1, 320.0) is None
    assert planner.desired_replicas(0, 1, 620.0) == 0
    assert planner.desired_replicas(0, 0, 630.0) is None
    assert planner.desired_replicas(5, 0, 640.0) == 1


def test_a_function_that_others_use_is_not_idle() -> None:
    planner = ReplicaPlanner(ReplicaLimits(min_replicas=1, max_replicas=5, zero_after=300.0))
    assert planner.desired_replicas(0, 1, 0.0) is None
    assert planner.desired_replicas(0, 1, 200.0, active=True) is None
    assert planner.desired_replicas(0, 1, 400.0) is None
    assert planner.desired_replicas(0, 1, 700.0) == 0


def test_without_permission_never_to_zero() -> None:
    planner = ReplicaPlanner(LIMITS)
    assert all(planner.desired_replicas(0, 1, step * 1000.0) is None for step in range(100))


@given(
    st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 50))),
    st.integers(0, 3),
    st.integers(0, 3),
    st.none() | st.floats(1, 200),
)
def test_bounds_hold_and_hysteresis_too(
    steps: list[tuple[float, float]], least: int, more: int, zero_after: float | None
) -> None:
    limits = ReplicaLimits(least, max(least + more, 1), 100, 60.0, zero_after)
    planner = ReplicaPlanner(limits)
    now, replicas = 0.0, least
    ups: list[float] = []
    for lag, wait in steps:
        now += wait
        wanted = planner.desired_replicas(lag, replicas, now)
        if wanted is None:
            continue
        assert wanted != replicas
        assert wanted <= limits.max_replicas
        assert wanted >= max(least, 1) or (wanted == 0 and lag == 0 and zero_after is not None)
        if wanted > replicas:
            ups.append(now)
        elif wanted > 0:
            assert all(
                now - at >= limits.stabilization_window
                for at in ups
                if at > now - limits.stabilization_window
            )
        replicas = wanted
