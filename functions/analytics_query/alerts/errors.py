"""What goes wrong with sending."""

from functions.common.errors import UniverseError


class SendError(UniverseError):
    """A message was not sent.

    Attributes:
        for_good: whether sending it again would be in vain.
    """

    def __init__(self, message: str, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.for_good = for_good
