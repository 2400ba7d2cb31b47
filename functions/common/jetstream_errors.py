"""Error codes of the JetStream API."""

from enum import IntEnum


class JetStreamErrorCode(IntEnum):
    """The codes that this project tells apart (`err_code` of an error), by NATS' own names.

    The names are those of nats-server's `server/errors.json`, without `JS` and `Err`.
    """

    NO_MESSAGE_FOUND = 10037
    SEQUENCE_NOT_FOUND = 10043
    STREAM_MSG_DELETE_FAILED = 10057
    """Also the response to deleting a message that is gone already."""
    STREAM_NAME_EXIST = 10058
    """The stream was created with another configuration meanwhile."""
    STREAM_WRONG_LAST_SEQUENCE = 10071
    STREAM_WRONG_LAST_SEQUENCE_CONSTANT = 10164
    """Another message was stored since the one that the publisher named; as for the code before."""
    STREAM_STORE_FAILED = 10077
    """The stream does not store the message: with `discard=new`, it is full."""
    CONSUMER_WQ_MULTIPLE_UNFILTERED = 10099
    CONSUMER_WQ_CONSUMER_NOT_UNIQUE = 10100
    """Another consumer of the work queue takes the same subjects, as for the code before."""
