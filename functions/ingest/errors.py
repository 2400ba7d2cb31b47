"""Refusals: what ingest answers to a request that it does not take."""


class Refusal(Exception):
    """A request that is not taken.

    Attributes:
        status: the HTTP status of the answer.
        detail: what is wrong and what to do about it.
        retry_after: seconds after which the same request may succeed, where that is so.
    """

    def __init__(self, status: int, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
