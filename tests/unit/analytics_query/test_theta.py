"""Theta sketches are parsed as the datasketches library writes them, whatever its version."""

import pytest
from datasketches import compact_theta_sketch, hll_sketch, update_theta_sketch

from functions.analytics_query.errors import SketchFormatError
from functions.analytics_query.users.theta import parse_sketch, sample_of_users
from functions.common.sketches import LG_K, add_to_theta


def library_sketch(number: int) -> compact_theta_sketch:
    sketch = update_theta_sketch(LG_K)
    for user in range(number):
        sketch.update(f"user-{user}")
    return sketch.compact()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 100, 4096, 5000, 60_000])
def test_a_sample_holds_what_the_sketch_holds(number: int) -> None:
    sketch = library_sketch(number)
    sample = parse_sketch(sketch.serialize())
    assert [int(each) for each in sample.hashes] == sorted(sketch)
    assert sample.share == pytest.approx(sketch.theta)
    assert len(sample.hashes) / sample.share == pytest.approx(sketch.get_estimate())


@pytest.mark.parametrize(
    ("number", "preamble"),
    [
        (0, "01030300001ecc93"),
        (1, "01030300001acc93"),
        (2, "02030300001acc930200000000000000"),
        (60_000, "03030300001acc93c71200000000000080f10baa98f55c0a"),
    ],
)
def test_the_library_writes_the_layout_that_is_parsed(number: int, preamble: str) -> None:
    """Stored sketches outlive a version of the library: its bytes for the same users stay equal."""
    expected = bytes.fromhex(preamble)
    assert library_sketch(number).serialize()[: len(expected)] == expected


def test_another_layout_is_refused() -> None:
    sketch = library_sketch(5000)
    with pytest.raises(SketchFormatError, match="serial version 3"):
        parse_sketch(sketch.serialize(compress=True))
    with pytest.raises(SketchFormatError):
        parse_sketch(hll_sketch(LG_K).serialize_compact())


@pytest.mark.parametrize("number", [0, 1, 2, 3000, 30_000])
def test_a_stored_sketch_and_loose_users_have_the_same_hashes(number: int) -> None:
    users = [f"user-{user}" for user in range(number)]
    stored = parse_sketch(add_to_theta(add_to_theta(None, users[::2]), users[1::2]))
    loose = sample_of_users(users)
    share = min(stored.share, loose.share)
    assert list(stored.below(share)) == list(loose.below(share))


def test_a_smaller_share_holds_fewer() -> None:
    sample = sample_of_users(f"user-{user}" for user in range(3000))
    assert sample.share == 1.0
    fewer = sample.below(0.25)
    assert 600 < len(fewer) < 900
    assert list(fewer) == list(sample.hashes[: len(fewer)])
    assert sample.below(1.0) is sample.hashes


@pytest.mark.parametrize("number", [200, 60_000])
def test_the_beginning_of_a_sketch_is_a_smaller_sample(number: int) -> None:
    stored = add_to_theta(None, (f"user-{user}" for user in range(number)))
    whole, part = parse_sketch(stored), parse_sketch(stored[: 8 * (3 + 100)])
    assert len(part.hashes) in (99, 100)
    assert part.share < whole.share
    assert list(part.hashes) == list(whole.below(part.share))
