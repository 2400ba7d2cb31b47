"""How many acknowledgements are remembered, of all consumers together."""

from nats.aio.client import Client
from nats.js import JetStreamContext

from infra.connector.delivery.pull_sizer import PullSizer
from infra.connector.jetstream.ack_memory import AckMemory
from infra.connector.jetstream.consumer import Consumer, ConsumerTarget


def test_the_oldest_of_all_consumers_are_forgotten() -> None:
    memory = AckMemory(limit=100)
    busy, idle = memory.of_consumer(), memory.of_consumer()
    idle.add(1, "first")
    for sequence in range(1000):
        busy.add(sequence, f"reply-{sequence}")
        if sequence == 950:
            idle.add(2, "second")
    assert len(busy) + len(idle) == memory.size == 100
    assert idle.reply(1) is None
    assert idle.reply(2) == "second"
    assert busy.reply(999) == "reply-999"
    assert busy.reply(900) is None
    assert [reply for chunk in busy.chunks() for reply in chunk] == [
        f"reply-{n}" for n in range(901, 1000)
    ]


def test_a_closed_consumer_leaves_room() -> None:
    memory = AckMemory(limit=10)
    gone, other = memory.of_consumer(), memory.of_consumer()
    for sequence in range(10):
        gone.add(sequence, "r")
    gone.clear()
    for sequence in range(10):
        other.add(sequence, "r")
    assert len(other) == 10
    assert len(gone) == 0


def test_a_sequence_that_comes_again_counts_once() -> None:
    memory = AckMemory(limit=10)
    acks = memory.of_consumer()
    acks.add(1, "of the stream before")
    acks.add(1, "of the stream made anew")
    assert memory.size == len(acks) == 1
    assert acks.reply(1) == "of the stream made anew"


async def test_consumers_share_it() -> None:
    memory, nc = AckMemory(limit=10), Client()
    consumers = [
        Consumer(
            nc, JetStreamContext(nc), ConsumerTarget("S", f, f, ("s",)), PullSizer(1, 1), memory
        )
        for f in ("one", "two")
    ]
    for sequence in range(10):
        for consumer in consumers:
            consumer.inflight.acknowledged.add(sequence, "r")
    assert [len(consumer.inflight.acknowledged) for consumer in consumers] == [5, 5]
