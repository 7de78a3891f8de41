"""agent.scene_editor.assemble: one file of all modules, whatever names are in it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.faults.texts import LANGUAGES
from agent.scene_editor import assemble
from agent.scene_editor.assemble import (
    AssemblyError,
    EditorPicture,
    SceneText,
    assemble_page,
    assemble_program,
    link_modules,
    load_texts,
)

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 $policy ${x} \u202e"
PACKAGE = Path(assemble.__file__).parent
MAX_LINES = 400


def data_blocks(page: str) -> dict[str, object]:
    found = re.findall(
        r'<script type="application/json" id="([a-z-]+)">(.*?)</script>', page, re.DOTALL
    )
    return {name: json.loads(text) for name, text in found}


def test_names_and_texts_cannot_leave_their_block() -> None:
    picture = EditorPicture(name=HOSTILE, jpeg=b"\xff\xd8", width_px=2, height_px=1)
    scene = SceneText(name=HOSTILE, text=HOSTILE)
    page = assemble_page(picture, scene, {"presets": [HOSTILE]})
    assert page.count("<script") == page.count("</script>") == 3
    content = data_blocks(page)["editor-content"]
    assert content == {
        "picture": {
            "url": "data:image/jpeg;base64,/9g=",
            "name": HOSTILE,
            "width_px": 2,
            "height_px": 1,
        },
        "scene": {"name": HOSTILE, "text": HOSTILE},
        "data": {"presets": [HOSTILE]},
    }


def test_the_program_has_each_module_once_and_is_valid(tmp_path: Path) -> None:
    program = assemble_program()
    modules = re.findall(r"^const (module_\w+) = \(\(\) => \{$", program, re.MULTILINE)
    assert len(modules) == len(set(modules))
    names = {f"module_{path.stem}" for path in PACKAGE.glob("*.js")} | {"module_vendor_toml_patch"}
    # ground.js and others may be used by the page at the pole alone.
    assert set(modules) <= names
    assert modules[-1] == "module_main"
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node: make setup-test")
    file = tmp_path / "program.mjs"
    file.write_text(program, encoding="utf-8")
    subprocess.run([node, "--check", file], check=True)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"main.js": 'import * as x from "./a.js";\n'}, "main.js: 'import \\* as x"),
        ({"main.js": "export default 1;\n"}, "main.js: 'export default 1;'"),
        ({"main.js": 'const a = import("./a.js");\n'}, "main.js: 'import"),
        ({"main.js": 'const a = "</script>";\n'}, "main.js: '</script"),
        (
            {
                "main.js": 'import { a } from "./a.js";\n',
                "a.js": 'import { b } from "./b.js";\n',
                "b.js": 'import { a } from "./a.js";\n',
            },
            "a.js: imports itself through main.js > a.js > b.js",
        ),
    ],
)
def test_a_form_that_is_not_translated_is_refused(sources: dict[str, str], message: str) -> None:
    with pytest.raises(AssemblyError, match=message):
        link_modules("main.js", sources.__getitem__)


def test_the_languages_have_the_same_texts_and_placeholders() -> None:
    texts = {language: load_texts(language) for language in LANGUAGES}
    for language in LANGUAGES:
        assert texts[language].keys() == texts["en"].keys()
        for key, text in texts[language].items():
            assert text.strip(), key
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(
                re.findall(r"\{\w+\}", texts["en"][key])
            ), key


def test_each_text_is_used() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.js"))
    prefixes = tuple(re.findall(r"`([a-z]+_)\$\{", code))
    for key in load_texts("en"):
        assert f'"{key}"' in code or key.startswith(prefixes), key


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.js")), ids=lambda path: path.name)
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES
    assert lines[0].startswith("// ")
