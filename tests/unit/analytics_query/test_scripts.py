"""The page's scripts are put together without changing what they do."""

import pytest

from functions.analytics_query.web.scripts import ScriptError, serve_scripts

SOURCES = {
    "lib/a.js": "export const one = 1;\nexport function two() { return 2; }\n",
    "lib/b.js": (
        'import { one, two as too } from "./a.js";\nexport class B { sum = one + too(); }\n'
    ),
    "first.js": 'import * as a from "./lib/a.js";\n\nexport const three = a.one + a.two();\n',
    "second.js": (
        'import { three } from "./first.js";\nimport { B } from "./lib/b.js";\n\n'
        'export const five = () => import("./views/late.js");\n'
    ),
    "views/late.js": (
        'import { B } from "../lib/b.js";\nimport { later } from "./later.js";\n'
        "export default later(B);\n"
    ),
    "views/later.js": 'import { one } from "../lib/a.js";\nexport const later = () => one;\n',
}


def test_modules_are_put_together_in_order() -> None:
    served = serve_scripts(SOURCES, ["first.js", "second.js"])
    assert sorted(served) == ["first.js", "second.js", "views/late.js", "views/later.js"]
    assert served["first.js"] == (
        "const $lib_a = (() => {\nconst one = 1;\nfunction two() { return 2; }\n"
        "return { one, two };\n})();\n"
        "const $first = (() => {\nconst a = $lib_a;\n\nconst three = a.one + a.two();\n"
        "return { three };\n})();\n"
        "export { $lib_a, $first };\n"
    )
    assert served["second.js"].startswith(
        'import { $lib_a, $first } from "./first.js";\n'
        "const $lib_b = (() => {\nconst { one, two: too } = $lib_a;\nclass B"
    )
    assert 'import("./views/late.js")' in served["second.js"]


def test_what_is_loaded_later_has_the_same_modules() -> None:
    served = serve_scripts(SOURCES, ["first.js", "second.js"])
    assert served["views/late.js"] == (
        'import { $lib_b } from "../second.js";\nconst { B } = $lib_b;\n'
        'import { later } from "./later.js";\nexport default later(B);\n'
    )
    assert served["views/later.js"].startswith('import { $lib_a } from "../first.js";\n')


def test_later_imports_are_of_the_folder_of_the_script() -> None:
    sources = {
        "first.js": 'import { load } from "./cards/card.js";\n',
        "cards/card.js": 'export const load = () => import("../charts/charts.js");\n',
        "charts/charts.js": "export const drawn = 1;\n",
    }
    assert 'import("./charts/charts.js")' in serve_scripts(sources, ["first.js"])["first.js"]


@pytest.mark.parametrize(
    "source",
    [
        'import x from "./lib/a.js";\n',
        'import "./lib/a.js";\n',
        "export let x = 1;\n",
        "export default 1;\n",
        'export { one } from "./lib/a.js";\n',
        'import {\n  one,\n} from "./lib/a.js"\n',
    ],
)
def test_other_ways_to_import_and_export_are_refused(source: str) -> None:
    with pytest.raises(ScriptError, match=r"first\.js: (im|ex)port"):
        serve_scripts({**SOURCES, "first.js": source}, ["first.js"])


def test_modules_that_import_each_other_are_refused() -> None:
    sources = {
        "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n',
    }
    with pytest.raises(ScriptError, match=r"a\.js imports b\.js imports a\.js"):
        serve_scripts(sources, ["a.js"])
