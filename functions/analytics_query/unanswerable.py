"""Questions that are well-formed and still have no answer."""


class Unanswerable(Exception):
    """A parameter's value cannot be served.

    Attributes:
        parameter: its name.
        detail: why, and what to ask instead.
    """

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail)
        self.parameter = parameter
        self.detail = detail
