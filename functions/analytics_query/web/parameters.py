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
    repeated = [name for name, values in args.lists() if len(values) > 1]
    if repeated:
        raise invalid_parameters(
            [
                {"parameter": name, "message": "Given more than once", "type": "repeated"}
                for name in repeated
            ]
        )
    try:
        return query.model_validate(args.to_dict())
    except ValidationError as error:
        raise invalid_parameters(faults_of(error)) from error
