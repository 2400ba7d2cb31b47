"""The errors that components share."""

import pytest

from functions.common import errors
from functions.common.jetstream_errors import JetStreamErrorCode


@pytest.mark.parametrize(
    "error",
    [each for each in vars(errors).values() if getattr(each, "__module__", "") == errors.__name__],
)
def test_every_error_derives_from_the_root_and_is_described(error: type) -> None:
    assert issubclass(error, errors.UniverseError)
    assert error.__name__.endswith("Error")
    assert error.__doc__


def test_a_refusal_carries_what_its_response_says() -> None:
    refused = errors.RequestRefusedError(503, "Try again.", retry_after=2, accepted=3)
    assert str(refused) == refused.detail == "Try again."
    assert (refused.status, refused.title) == (503, None)
    assert refused.headers == {"Retry-After": "2"}
    assert refused.extensions == {"accepted": 3}


def test_codes_of_jetstream_compare_as_numbers() -> None:
    assert JetStreamErrorCode.STREAM_STORE_FAILED == 10077
    assert 10043 in {JetStreamErrorCode.SEQUENCE_NOT_FOUND}
    assert f"{JetStreamErrorCode.STREAM_NAME_EXIST}" == "10058"
