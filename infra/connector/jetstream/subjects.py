"""NATS subjects: which are well-formed, which cover each other."""

import re

ANY, REST = "*", ">"
_TOKEN = re.compile(r"[^\s.*>]+")


def is_subject(text: str) -> bool:
    """Return whether `text` is a subject to subscribe to; `*` and `>` are whole tokens."""
    tokens = text.split(".")
    return all(
        part == ANY or (part == REST and place == len(tokens) - 1) or _TOKEN.fullmatch(part)
        for place, part in enumerate(tokens)
    )


def covers(wide: str, narrow: str) -> bool:
    """Return whether every subject that `narrow` matches is matched by `wide` too."""
    wide_tokens, narrow_tokens = wide.split("."), narrow.split(".")
    for place, part in enumerate(wide_tokens):
        if part == REST:
            return len(narrow_tokens) > place
        if place >= len(narrow_tokens):
            return False
        other = narrow_tokens[place]
        if other == REST or part not in (ANY, other):
            return False
    return len(wide_tokens) == len(narrow_tokens)


def overlap(one: str, other: str) -> bool:
    """Return whether some subject is matched by both."""
    ones, others = one.split("."), other.split(".")
    for left, right in zip(ones, others, strict=False):
        if REST in (left, right):
            return True
        if ANY not in (left, right) and left != right:
            return False
    return len(ones) == len(others)


def parse_publish_subject(text: str) -> str:
    """Return a subject to publish to.

    Raises:
        ValueError: it is none, has wildcards, or is one of the server's own.
    """
    subject = text.strip()
    if not is_subject(subject) or ANY in subject or REST in subject or subject.startswith("$"):
        raise ValueError(f"not a NATS subject to publish to: {text!r}")
    return subject


def parse_topics(text: str) -> tuple[str, ...]:
    """Return the subjects of a list, without those that another one covers.

    They are separated by commas or spaces: OpenFaaS Community Edition refuses a comma there.

    Raises:
        ValueError: there are none, or one is not a subject.
    """
    subjects = list(dict.fromkeys(text.replace(",", " ").split()))
    if not subjects:
        raise ValueError("no topic is given")
    for subject in subjects:
        if not is_subject(subject):
            raise ValueError(f"not a NATS subject: {subject!r}")
    return tuple(
        subject
        for subject in subjects
        if not any(other != subject and covers(other, subject) for other in subjects)
    )
