"""Redrive: dead letters of one function that wait to be delivered to it alone, once more.

`dlq replay` stores their originals in a work queue beside their stream, one for all its functions:
`<STREAM>_REDRIVE`, under `redrive.<STREAM>.<consumer>.<original subject>`. The connector binds a
function to it while messages for the function are in it, and delivers them as those of the stream.
"""

from collections.abc import Iterable, Mapping

from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from functions.common.dead_letter import DLQ_PREFIX, DLQ_SEQUENCE, DLQ_STREAM
from infra.connector.delivery.message import Origin
from infra.connector.jetstream.streams import stream_names, subjects_stored

REDRIVE = "redrive"
_SUFFIX = "_REDRIVE"


def redrive_stream(stream: str) -> str:
    """Return the name of the stream that holds what is replayed of `stream`."""
    return stream + _SUFFIX


def original_stream(stream: str) -> str:
    """Return the stream whose replayed messages `stream` holds; itself for any other stream."""
    return stream.removesuffix(_SUFFIX)


def redrive_subject(stream: str, consumer: str, subject: str = ">") -> str:
    """Return the subject of a replayed message; by default of all those of a consumer."""
    return f"{REDRIVE}.{stream}.{consumer}.{subject}"


def redrive_config(stream: str, replicas: int) -> StreamConfig:
    """Return the configuration of the stream that holds what is replayed of `stream`.

    It has no limit of its own: what is in it has left the dead letters, which have one.
    """
    return StreamConfig(
        name=redrive_stream(stream),
        description=f"dead letters of {stream} on their way back to their function",
        subjects=[f"{REDRIVE}.{stream}.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        duplicate_window=120,
        num_replicas=replicas,
    )


def split_origin(headers: Mapping[str, str]) -> tuple[dict[str, str], Origin | None]:
    """Return the headers of an original, and where it came from, of those of a replayed message."""
    rest = {k: v for k, v in headers.items() if not k.lower().startswith(DLQ_PREFIX)}
    stream, sequence = headers.get(DLQ_STREAM), headers.get(DLQ_SEQUENCE, "")
    return rest, Origin(stream, int(sequence)) if stream and sequence.isdigit() else None


async def waiting_consumers(nc: Client, streams: Iterable[str]) -> set[tuple[str, str]]:
    """Return for which consumers replayed messages are stored, each with its original stream.

    Args:
        nc: the connection.
        streams: original streams; others are not looked at.

    Raises:
        nats.errors.Error: JetStream does not respond.
    """
    existing = await stream_names(nc, f"{REDRIVE}.>")
    found: set[tuple[str, str]] = set()
    for stream in streams:
        name = redrive_stream(stream)
        if name in existing:
            subjects = await subjects_stored(nc, name, redrive_subject(stream, "*"))
            found |= {(stream, subject.split(".")[2]) for subject in subjects}
    return found
