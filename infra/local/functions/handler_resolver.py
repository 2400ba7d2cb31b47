"""Resolves a deployment to the handler that it runs on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.errors import DeploymentError

HANDLER_ANNOTATION = "com.universe.handler"
"""Names the folder with the function's `handler.py`, absolute or relative to the repository."""


@dataclass(frozen=True)
class FunctionHandler:
    """An importable handler.

    Attributes:
        module: the module to import.
        python_path: the folders that it and `functions.common` are imported from.
    """

    module: str
    python_path: tuple[Path, ...]


def resolve_handler(
    root: Path, name: str, image: str, annotations: Mapping[str, str]
) -> FunctionHandler:
    """Return the handler of a deployment.

    The annotation `com.universe.handler` decides. Without it the base name of the image does, so
    that what `faas-cli deploy` sends is enough: `ghcr.io/x/process-batch:1.2` runs
    `functions/process_batch`, or a folder of that name in the root, where `faas-cli new` puts it.

    Raises:
        DeploymentError: there is no such handler; the message names the places that were searched.
    """
    annotated = annotations.get(HANDLER_ANNOTATION)
    if annotated:
        folders = [root / annotated]
    else:
        base = image.rsplit("/", 1)[-1].split("@", 1)[0].split(":", 1)[0] or name
        folders = [
            root / "functions" / base.replace("-", "_"),
            root / "functions" / base,
            root / base,
            root / base.replace("-", "_"),
        ]
    for folder in folders:
        if (folder / "handler.py").is_file():
            return _importable(root.resolve(), folder.resolve())
    searched = ", ".join(f"{folder}/handler.py" for folder in dict.fromkeys(folders))
    raise DeploymentError(
        f"no handler for function {name} (image {image or '-'}): searched {searched}; "
        f"the annotation {HANDLER_ANNOTATION} can name the folder"
    )


def _importable(root: Path, folder: Path) -> FunctionHandler:
    """Return the module of a handler, with the root on the path for `functions.common`."""
    try:
        parts = folder.relative_to(root).parts
    except ValueError:
        return FunctionHandler(f"{folder.name}.handler", (root, folder.parent))
    return FunctionHandler(".".join((*parts, "handler")), (root,))
