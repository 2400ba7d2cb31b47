"""The workflows: what they call is there, and the page's commands are what they run."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.common.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PAGE_COMMANDS = re.compile(r"scripts/page_commands\.py (?:[^|>\\]|\\\n)+")


def runs(workflow: Path) -> list[str]:
    """Return the scripts of a workflow's steps."""
    jobs: dict[str, Any] = yaml.safe_load(workflow.read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actionlint_has_nothing_to_say(workflow: Path) -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not installed")
    done = subprocess.run([actionlint, workflow], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_scripts_are_shell_and_the_files_they_call_exist(workflow: Path) -> None:
    for script in runs(workflow):
        done = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for file in re.findall(r"(?:scripts|infra|docs)/[\w./-]+\.(?:py|sh|md)", script):
            assert (ROOT / file).is_file(), file
        for file in re.findall(r"-f (infra/\S+)", script):
            assert (ROOT / file).is_file(), file
        for target in re.findall(r"\bmake ([a-z-]+)", script):
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), target


def test_the_page_s_commands_of_each_engine_are_shell() -> None:
    [workflow] = [each for each in WORKFLOWS if each.stem == "cluster"]
    found = [line for script in runs(workflow) for line in PAGE_COMMANDS.findall(script)]
    assert len(found) == 4
    for line in found:
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) > 5
        syntax = subprocess.run(
            ["bash", "-n"], input=done.stdout, capture_output=True, text=True, check=False
        )
        assert syntax.returncode == 0, syntax.stderr


def test_one_version_of_faas_cli_is_used() -> None:
    text = "".join(workflow.read_text() for workflow in WORKFLOWS)
    assert len(set(re.findall(r"FAAS_CLI_VERSION: (\S+)", text))) == 1


def test_what_is_tried_is_the_page_s_curl() -> None:
    """The lines that a `grep` of the workflow keeps are those with an address."""
    for title, wanted in (("Knative", 3), ("OpenFaaS on Kubernetes", 4)):
        program = [ROOT / "scripts/page_commands.py", ROOT / "docs/deploy.md", title]
        text = subprocess.run(program, capture_output=True, text=True, check=True).stdout
        kept = [line for line in text.splitlines() if re.match(r"(set|S=|F=|curl) ?", line)]
        assert [line[:4] for line in kept if line.startswith("curl")] == ["curl", "curl"]
        assert len(kept) == wanted + 1


def test_images_are_those_that_there_are() -> None:
    stack = yaml.safe_load((ROOT / "stack.yml").read_text())["functions"]
    built = {path.parent.name for path in (ROOT / "infra").rglob("Dockerfile")}
    ours = {*stack, *built}
    scripts = [script for workflow in WORKFLOWS for script in runs(workflow)]
    loops = [
        set(each.split()) for text in scripts for each in re.findall(r"for name in (.+);", text)
    ]
    assert ours in loops
    assert all(each <= ours for each in loops)
