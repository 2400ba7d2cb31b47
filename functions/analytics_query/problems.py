"""Wrong query parameters as problem details."""

from pydantic import ValidationError

from functions.common.errors import RequestRefusedError


def invalid_parameters(faults: list[dict[str, str]]) -> RequestRefusedError:
    """Return the refusal that names what is wrong with a request's parameters.

    Args:
        faults: each has the `parameter`, a `message` for a person and a `type` for programs.
    """
    detail = "; ".join(f"{fault['parameter']}: {fault['message']}" for fault in faults)
    return RequestRefusedError(422, detail, errors=faults)


def invalid_parameter(parameter: str, message: str, type_: str) -> RequestRefusedError:
    """Return the refusal for one parameter."""
    return invalid_parameters([{"parameter": parameter, "message": message, "type": type_}])


def faults_of(error: ValidationError) -> list[dict[str, str]]:
    """Return what is wrong with parameters, one entry each."""
    return [
        {
            "parameter": str(
                fault["loc"][0] if fault["loc"] else fault.get("ctx", {}).get("parameter", "")
            ),
            "message": _message(fault["type"], fault["msg"]),
            "type": fault["type"],
        }
        for fault in error.errors(include_url=False, include_input=False)
    ]


def _message(kind: str, message: str) -> str:
    return "There is no such parameter" if kind == "extra_forbidden" else message
