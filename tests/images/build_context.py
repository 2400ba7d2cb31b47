"""Build contexts of the functions, as `faas-cli build --shrinkwrap` makes them."""

import shutil
import subprocess
from pathlib import Path

import yaml

from tests.support.tools import installed

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("functions", "sql", "templates", "requirements.lock", "stack.yml")


def shrinkwrap(folder: Path) -> dict[str, Path]:
    """Make the build contexts in `folder`, with faas-cli where it is installed; by function."""
    faas_cli = installed("faas-cli")
    return by_faas_cli(faas_cli, folder) if faas_cli else by_hand(folder)


def by_faas_cli(faas_cli: Path, folder: Path) -> dict[str, Path]:
    """Let faas-cli make them."""
    for name in NEEDED:
        (folder / name).symlink_to(ROOT / name)
    (folder / "template").symlink_to("templates")
    done = subprocess.run(
        [str(faas_cli), "build", "--shrinkwrap", "-f", "stack.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: folder / "build" / name for name in _stack()["functions"]}


def by_hand(folder: Path) -> dict[str, Path]:
    """Make them as faas-cli does: the template, the handler over its `function/`, then copies."""
    stack = _stack()
    contexts = {}
    for name, function in stack["functions"].items():
        context = contexts[name] = folder / "build" / name
        shutil.copytree(ROOT / "templates" / function["lang"], context)
        shutil.copytree(ROOT / function["handler"], context / "function", dirs_exist_ok=True)
        for path in stack["configuration"]["copy"]:
            source, target = ROOT / path, context / "function" / path
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)
    return contexts


def _stack() -> dict:
    return yaml.safe_load((ROOT / "stack.yml").read_text())
