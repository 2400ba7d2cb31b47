"""Which code a deployed function runs on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HANDLER_ANNOTATION = "com.universe.handler"
"""Names the folder with the function's `handler.py`, absolute or relative to the repository."""


@dataclass(frozen=True)
class FunctionCode:
    """An importable handler."""

    module: str
    python_path: tuple[Path, ...]


def find_code(root: Path, name: str, image: str, annotations: Mapping[str, str]) -> FunctionCode:
    """Return the code of a deployment.

    The annotation `com.universe.handler` decides. Without it the base name of the image does, so
    that what `faas-cli deploy` sends is enough: `ghcr.io/x/process-batch:1.2` runs
    `functions/process_batch`, or a folder of that name in the root, where `faas-cli new` puts it.

    Raises:
        ValueError: there is no such code; the message says where it was looked for.
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
    looked = ", ".join(f"{folder}/handler.py" for folder in dict.fromkeys(folders))
    raise ValueError(
        f"no code for function {name} (image {image or '-'}): looked for {looked}; "
        f"the annotation {HANDLER_ANNOTATION} can name the folder"
    )


def _importable(root: Path, folder: Path) -> FunctionCode:
    """Return the module of a handler, with the root on the path for `functions.common`."""
    try:
        parts = folder.relative_to(root).parts
    except ValueError:
        return FunctionCode(f"{folder.name}.handler", (root, folder.parent))
    return FunctionCode(".".join((*parts, "handler")), (root,))
