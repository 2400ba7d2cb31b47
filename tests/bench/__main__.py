"""Runs the benchmarks: `python -m tests.bench [NAME ...]`."""

import importlib
import json
import pkgutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import tests.bench
from tests.bench.options import Options

LONG = frozenset({"analytics"})
"""Run only when named, with options of their own: their set-up takes minutes."""

RESULTS = Path("bench-results")
console = Console(highlight=False)


def names() -> list[str]:
    """Return the benchmarks there are: `bench_proxy.py` is `proxy`."""
    modules = (module.name for module in pkgutil.iter_modules(tests.bench.__path__))
    return sorted(name.removeprefix("bench_") for name in modules if name.startswith("bench_"))


def flatten(result: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the figures of a nested result with their dotted paths."""
    if isinstance(result, dict):
        for key, value in result.items():
            yield from flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(result, list):
        for number, value in enumerate(result):
            yield from flatten(value, f"{path}.{number}")
    else:
        yield path, result


def show(result: dict[str, Any]) -> None:
    """Print figures of any shape."""
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for path, value in flatten(result):
        table.add_row(path, f"{value:,.3f}" if isinstance(value, float) else str(value))
    console.print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("which", nargs=-1, type=click.Choice(names()))
@click.option(
    "--quick", is_flag=True, help="Rougher and fewer figures, in two or three minutes for all."
)
@click.option("--against", metavar="REF", help="A commit that e2e measures beside this tree.")
def main(which: tuple[str, ...], quick: bool, against: str | None) -> None:
    """Run the benchmarks named, or all but the long ones (analytics).

    Each compares with a reference in the same run: read the ratios, since machines differ. The
    figures are also written to bench-results/NAME.json.
    """
    options = Options(quick, against)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped
    RESULTS.mkdir(exist_ok=True)
    for name in which or [name for name in names() if name not in LONG]:
        console.rule(f"[bold]{name.replace('_', ' ')}[/bold]")
        module = importlib.import_module(f"tests.bench.bench_{name}")
        started = time.monotonic()
        result = module.run() if name in LONG else module.run(options)
        getattr(module, "show", show)(result)
        console.print(f"[dim]{time.monotonic() - started:.0f} s[/dim]")
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
