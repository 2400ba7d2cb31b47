"""The page's scripts as browsers get them: the modules that it begins with in few files.

The sources are modules, one subject each. A browser that fetches forty of them on a slow processor
spends more time on that than on running them, so those that the page begins with are put together
when they are first asked for: each in a function of its own, which returns what it exports. What is
loaded later stays a module, and takes what it imports out of these files.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

_import = re.compile(r'^import (?:\* as (\w+)|\{ ([^}]+) \}) from "(\.[^"]+)";\n', re.MULTILINE)
_export = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_later = re.compile(r'\bimport\("(\.[^"]+)"\)')
_unknown = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


class ScriptError(Exception):
    """A module is not written in the way that can be put together with others."""


def serve_scripts(sources: Mapping[str, str], entries: Sequence[str]) -> dict[str, str]:
    """Return the scripts to serve by their names.

    Args:
        sources: the modules by their paths. They import by relative paths, whole modules or names
            in braces on one line; they export where they declare, and nothing that changes later.
        entries: the modules that the page begins with, in the order in which they are needed: each
            becomes one script with all it imports that none before it has.

    Raises:
        ScriptError: a module imports or exports in another way, or modules import each other.
    """
    holders: dict[str, str] = {}
    served: dict[str, str] = {}
    for entry in entries:
        names: list[str] = []
        _add_in_order(names, entry, sources, holders, ())
        holders |= dict.fromkeys(names, entry)
        served[entry] = _put_together(entry, names, sources, holders)
    for name in sources.keys() - holders.keys():
        served[name] = _import_from_scripts(name, sources[name], holders)
    return served


def _resolve(name: str, path: str) -> str:
    """Return what a module means by a relative path, from the page's folder."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))


def _imported(name: str, source: str) -> list[str]:
    return [_resolve(name, found[3]) for found in _import.finditer(source)]


def _add_in_order(
    names: list[str],
    name: str,
    sources: Mapping[str, str],
    holders: Mapping[str, str],
    above: tuple[str, ...],
) -> None:
    """Add what a module imports, each after what it imports itself, and then the module."""
    if name in above:
        raise ScriptError(" imports ".join((*above, name)))
    if name in holders or name in names:
        return
    for each in _imported(name, sources[name]):
        _add_in_order(names, each, sources, holders, (*above, name))
    names.append(name)


def _variable(name: str) -> str:
    """Return the name of the constant that holds what a module exports."""
    return "$" + re.sub(r"\W", "_", name.removesuffix(".js"))


def _taken(found: re.Match[str], name: str) -> str:
    """Return the statement that takes what is imported out of a module's constant."""
    all_of_it, some = found[1], found[2]
    wanted = all_of_it or f"{{ {some.replace(' as ', ': ')} }}"
    return f"const {wanted} = {_variable(_resolve(name, found[3]))};\n"


def _put_together(
    entry: str, names: Sequence[str], sources: Mapping[str, str], holders: Mapping[str, str]
) -> str:
    taken: dict[str, list[str]] = {}
    for module in dict.fromkeys(each for name in names for each in _imported(name, sources[name])):
        if holders[module] != entry:
            taken.setdefault(holders[module], []).append(module)
    parts = [_import_of(script, entry, modules) for script, modules in taken.items()]
    parts += [_as_function(name, sources[name], entry) for name in names]
    parts.append(f"export {{ {', '.join(map(_variable, names))} }};\n")
    return "".join(parts)


def _import_of(script: str, name: str, modules: Sequence[str]) -> str:
    path = posixpath.relpath(script, posixpath.dirname(name) or ".")
    path = path if path.startswith("..") else f"./{path}"
    return f'import {{ {", ".join(map(_variable, modules))} }} from "{path}";\n'


def _as_function(name: str, source: str, entry: str) -> str:
    exported = [found[1] for found in _export.finditer(source)]
    code = _export.sub("", _import.sub(lambda found: _taken(found, name), source))
    if found := _unknown.search(code):
        raise ScriptError(f"{name}: {found[0]}")

    def from_entry(found: re.Match[str]) -> str:
        path = posixpath.relpath(_resolve(name, found[1]), posixpath.dirname(entry) or ".")
        return f'import("./{path}")'

    code = _later.sub(from_entry, code)
    return (
        f"const {_variable(name)} = (() => {{\n{code}return {{ {', '.join(exported)} }};\n}})();\n"
    )


def _import_from_scripts(name: str, source: str, holders: Mapping[str, str]) -> str:
    def replaced(found: re.Match[str]) -> str:
        module = _resolve(name, found[3])
        if module not in holders:
            return found[0]
        return _import_of(holders[module], name, [module]) + _taken(found, name)

    return _import.sub(replaced, source)
