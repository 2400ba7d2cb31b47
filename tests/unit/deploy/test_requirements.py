"""Each function's requirements.txt names what its code imports: an image holds nothing else."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from functions.common.paths import ROOT
from tests.unit.deploy.test_stack_file import names_and_versions


def imports(file: Path) -> set[str]:
    """Return the modules that a file imports, by their whole names; of this package too."""
    package = ".".join(file.relative_to(ROOT).parent.parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = [*(above if node.level else []), *([node.module] if node.module else [])]
            found |= {".".join(base), *(".".join([*base, alias.name]) for alias in node.names)}
    return found


def files_of(module: str) -> list[Path]:
    """Return the files that an import of a module of this repository runs, if it is one."""
    path = ROOT / module.replace(".", "/")
    candidates = [path.with_suffix(".py"), path / "__init__.py"]
    return [file for file in candidates if module.startswith("functions.") and file.is_file()]


def third_party(*programs: Path) -> dict[str, Path]:
    """Return the packages of others that programs need, with a file that imports each."""
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    left = [*programs]
    while left:
        file = left.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in imports(file):
            left += files_of(module)
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in ("functions", "infra"):
                found.setdefault(top, file)
    return found


@pytest.mark.parametrize("function", ["ingest", "process_batch", "analytics_query"])
def test_requirements_name_what_is_imported(function: str) -> None:
    folder = ROOT / "functions" / function
    text = (folder / "requirements.txt").read_text()
    declared = set(names_and_versions(folder / "requirements.txt"))
    for name, extras in re.findall(r"^([\w-]+)\[([^]]*)\]", text, re.M):
        declared |= {f"{name}-{extra}" for extra in extras.split(",")}
    needed = third_party(folder / "handler.py", *folder.rglob("__main__.py"))
    assert {"orjson", "pydantic"} <= needed.keys()
    # a compiled module beside the package of its name
    distributions = {**packages_distributions(), "_datasketches": ["datasketches"]}
    without = folder / "overrides.txt"
    if without.exists():
        assert not needed.keys() & set(re.findall(r"^[\w-]+", without.read_text(), re.M))
    missing = {
        package: str(file.relative_to(ROOT))
        for package, file in needed.items()
        if not declared & {name.lower().replace("_", "-") for name in distributions[package]}
    }
    assert missing == {}
