"""Dead letters: what a message in the DLQ carries."""

from datetime import UTC, datetime

DLQ_DAYS = 30
"""Days that dead letters are kept."""

DLQ_PREFIX = "dlq-"
"""What the names of these headers begin with, in lower case."""
DLQ_REASON = "Dlq-Reason"
DLQ_STREAM = "Dlq-Stream"
DLQ_SEQUENCE = "Dlq-Sequence"
DLQ_SUBJECT = "Dlq-Subject"
DLQ_ATTEMPTS = "Dlq-Attempts"
DLQ_TIME = "Dlq-Time"
DLQ_EVENT_ID = "Dlq-Event-Id"
DLQ_FUNCTION = "Dlq-Function"
DLQ_CONSUMER = "Dlq-Consumer"
DLQ_ORDER_KEY = "Dlq-Order-Key"
"""The key whose messages waited for this one; only where the function gets them in order."""

LONGEST_REASON = 1000


def header_text(text: str, longest: int = LONGEST_REASON) -> str:
    """Return `text` as a header value: one line, no control characters, at most `longest` long."""
    printable = "".join(c if c.isprintable() else " " for c in text[: longest * 2])
    line = " ".join(printable.split()).encode("utf-8", "replace").decode()
    return line if len(line) <= longest else line[: longest - 3] + "..."


def dead_letter_headers(
    *,
    reason: str,
    subject: str,
    stream: str = "",
    sequence: int = 0,
    attempts: int = 0,
    function: str = "",
    consumer: str = "",
    event_id: str | None = None,
    order_key: str | None = None,
    died: datetime | None = None,
) -> dict[str, str]:
    """Return the headers that tell where a dead letter comes from and why it is dead.

    Args:
        reason: what is wrong, for a person to read.
        subject: where the message was, or would have been, published.
        stream: its stream; empty for an event that `ingest` rejected.
        sequence: its sequence number in that stream.
        attempts: how many deliveries were charged to it.
        function: the function that could not process it; empty for an event that `ingest` rejected.
        consumer: the function's consumer.
        event_id: the event's id, where it has one.
        order_key: the key by which the function gets messages in order; None if it does not.
        died: when it was given up; by default now.
    """
    headers = {
        DLQ_REASON: header_text(reason) or "no reason given",
        DLQ_SUBJECT: subject,
        DLQ_ATTEMPTS: str(attempts),
        DLQ_TIME: (died or datetime.now(UTC)).isoformat(timespec="milliseconds"),
    }
    if stream:
        headers |= {DLQ_STREAM: stream, DLQ_SEQUENCE: str(sequence)}
    if function:
        headers |= {DLQ_FUNCTION: header_text(function), DLQ_CONSUMER: consumer}
    if event_id:
        headers[DLQ_EVENT_ID] = header_text(event_id, 200)
    if order_key is not None:
        headers[DLQ_ORDER_KEY] = header_text(order_key)
    return headers
