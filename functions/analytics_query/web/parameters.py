"""The query parameters of a request, checked."""

from typing import TypeVar

from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from ..problems import faults_of, invalid_parameters
from ..query.filters import QueryParameters

Q = TypeVar("Q", bound=QueryParameters)


def parse(query: type[Q], args: MultiDict[str, str]) -> Q:
    """Return the parameters of a request.

    Raises:
        RequestRefusedError: 422, it names each parameter that is wrong.
    """
    repeated = [
        name for name, values in args.lists() if len(values) > 1 and name not in query.repeatable
    ]
    if repeated:
        raise invalid_parameters(
            [
                {"parameter": name, "message": "Given more than once", "type": "repeated"}
                for name in repeated
            ]
        )
    try:
        given = {n: v if n in query.repeatable else v[0] for n, v in args.lists()}
        return query.model_validate(given)
    except ValidationError as error:
        raise invalid_parameters(faults_of(error)) from error
