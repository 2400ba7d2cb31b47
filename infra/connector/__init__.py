"""The JetStream connector: at-least-once delivery of NATS messages to functions, in batches.

Its parts can be used without it, for another consumer that makes HTTP requests of messages:

* `jetstream.consumer.Consumer`: a durable consumer, its pull requests (sized by
  `delivery.pull_sizer.PullSizer`), and `consumer.inflight`, which acknowledges messages and reports
  them as in progress.
* `jetstream.dispatcher.Dispatcher`: the loop over them, with a `delivery.queue.DeliveryQueue` and a
  `delivery.gate.Gate`. It binds, batches, limits concurrency, and drains. Its argument `deliver` is
  a coroutine function that gets a `Delivery` and ends each of its messages: `consumer.inflight.ack`
  or `.nak` (with a delay), or `dispatcher.retry_at`. A retry rule and a callback of its own belong
  there.
* `http.invoker`: `make_session` and, for CloudEvents, `Invoker`.
* `dlq.store.DeadLetterStore`: reads, counts, replays and removes dead letters.

`binding.Binding` puts them together for functions: CloudEvents batches, the retry policy with
bisection, the circuit breaker, and the dead-letter queue.
"""
