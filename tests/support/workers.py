"""How the workers of pytest-xdist share the tests: `pytest -n 4`."""

import functools

from xdist.scheduler import LoadScopeScheduling

from functions.common.paths import ROOT

_SHARED = ('scope="module"', 'scope="package"', 'scope="class"')
_NETWORK = ("tests/images/", "tests/browser/")
"""Containers change the network's interfaces, whereupon Chromium ends the requests it has sent."""


class FixtureScheduling(LoadScopeScheduling):
    """Gives a module to one worker where its tests share a fixture, else each test to any.

    Where containers run, one worker has them and the browser, one after the other.

    pytest-xdist's own `--dist loadgroup` does not work with pytest 9: it appends the group to an
    attribute that node ids no longer come from.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if self.config.option.markexpr == "slow" and module.startswith(_NETWORK):
            return "network"
        return module if shares_fixtures(module) else nodeid


@functools.cache
def shares_fixtures(module: str) -> bool:
    """Tell whether a test module, or the conftest beside it, has fixtures that tests share."""
    file = ROOT / module
    texts = [each.read_text() for each in (file, file.parent / "conftest.py") if each.exists()]
    return any(scope in text for text in texts for scope in _SHARED)
