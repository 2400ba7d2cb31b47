"""The README's ways from nothing to a first batch, taken out of the page."""

import re
from dataclasses import dataclass

from nats.js import JetStreamContext

from functions.common.paths import ROOT

PAGE = (ROOT / "infra/connector/README.md").read_text()
NATS_OF_THE_PAGE = "nats://127.0.0.1:4222"


@dataclass(frozen=True)
class QuickStart:
    """One of them.

    Attributes:
        blocks: its code, by language, in order.
    """

    blocks: dict[str, list[str]]

    @classmethod
    def of(cls, title: str) -> "QuickStart":
        """Return the one of a section."""
        section = PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0]
        blocks: dict[str, list[str]] = {}
        for indent, kind, text in re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", section, re.S | re.M):
            code = re.sub(rf"^{indent}", "", text, flags=re.M)
            blocks.setdefault(kind, []).append(code)
        return cls(blocks)

    @property
    def commands(self) -> str:
        """All its commands, each in one line."""
        return "".join(self.blocks["sh"]).replace("\\\n", " ")

    def command(self, beginning: str) -> str:
        """Return the command that begins so."""
        [found] = [line for line in self.commands.splitlines() if line.startswith(beginning)]
        return found

    def connector_settings(self) -> dict[str, str]:
        """Return the variables that the connector's container gets, but for NATS."""
        command = next(
            line
            for line in self.commands.splitlines()
            if line.endswith("universe-events/connector")
        )
        settings = dict(re.findall(r"-e (\w+)='?([^' ]+)'?", command))
        assert settings.pop("NATS_URL") == NATS_OF_THE_PAGE
        return settings

    async def add_stream(self, js: JetStreamContext) -> None:
        """Make its stream."""
        command = self.command("nats stream add ")
        [(stream, subjects)] = re.findall(r"add (\w+) --subjects '(.+?)' --retention work", command)
        await js.add_stream(name=stream, subjects=[subjects], retention="workqueue")

    async def publish(self, js: JetStreamContext) -> int:
        """Publish its messages, and return how many."""
        command = self.command("nats pub ")
        [(subject, payload, count)] = re.findall(r"pub (\S+) '(.+)' --count (\d+)", command)
        for number in range(1, int(count) + 1):
            await js.publish(subject, payload.replace("{{Count}}", str(number)).encode())
        return int(count)
