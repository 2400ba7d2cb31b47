"""Samples of users say what the sketches library says."""

import pytest
from datasketches import update_theta_sketch  # pyright: ignore[reportAttributeAccessIssue]

from functions.analytics_query.users.theta import sample_of, sample_stored
from functions.common.sketches import add_to_theta


def library_sketch(number: int):
    sketch = update_theta_sketch(12)
    for user in range(number):
        sketch.update(f"user-{user}")
    return sketch.compact()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 100, 4096, 5000, 60_000])
def test_a_sample_holds_what_the_sketch_holds(number: int) -> None:
    sketch = library_sketch(number)
    sample = sample_stored(sketch.serialize())
    assert [int(each) for each in sample.hashes] == sorted(sketch)
    assert sample.share == pytest.approx(sketch.theta)
    assert len(sample.hashes) / sample.share == pytest.approx(sketch.get_estimate())


@pytest.mark.parametrize("number", [0, 1, 2, 3000, 30_000])
def test_a_stored_sketch_and_loose_users_have_the_same_hashes(number: int) -> None:
    users = [f"user-{user}" for user in range(number)]
    stored = sample_stored(add_to_theta(add_to_theta(None, users[::2]), users[1::2]))
    loose = sample_of(users)
    share = min(stored.share, loose.share)
    assert list(stored.below(share)) == list(loose.below(share))


def test_a_smaller_share_holds_fewer() -> None:
    sample = sample_of(f"user-{user}" for user in range(3000))
    assert sample.share == 1.0
    fewer = sample.below(0.25)
    assert 600 < len(fewer) < 900
    assert list(fewer) == list(sample.hashes[: len(fewer)])
    assert sample.below(1.0) is sample.hashes


@pytest.mark.parametrize("number", [200, 60_000])
def test_the_beginning_of_a_sketch_is_a_smaller_sample(number: int) -> None:
    stored = add_to_theta(None, (f"user-{user}" for user in range(number)))
    whole, part = sample_stored(stored), sample_stored(stored[: 8 * (3 + 100)])
    assert len(part.hashes) in (99, 100)
    assert part.share < whole.share
    assert list(part.hashes) == list(whole.below(part.share))
