"""What import-linter cannot hold: what start-up loads, where tests lie, how long things may get."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"acestep", "server", "protos", "plugin_bridge", "lora_studio"}
LONGEST = 600  # lines; about 400 is a reason to look, and what belongs together stays together
HEAVY = ("torch", "diffusers", "transformers", "librosa", "numba", "scipy", "matplotlib", "ray")


def sources() -> list[Path]:
    files = [path for package in sorted(OURS) for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in files if "_pb2" not in path.name and "build" not in path.parts]


def test_tests_lie_where_what_they_test_lies() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder).is_dir()] == []


def test_no_test_imports_from_another() -> None:
    """What two of them need lies in `tests/support`: a test can be moved or deleted on its own."""
    lent = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(part.startswith(("test_", "conftest")) for name in names for part in name.split(".")):
                lent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert lent == []


@pytest.mark.parametrize(
    "code",
    [
        "import acestep",
        "import plugin_bridge; plugin_bridge.Bridge",
        "import server.cli.acestep as a; a.main(['--help'])",
        "import lora_studio.cli; lora_studio.cli.main(['--help'])",
        "import plugin_bridge.cli; plugin_bridge.cli.main(['--help'])",
    ],
)
def test_start_up_does_not_import_the_heavy_libraries(code: str) -> None:
    script = f"""
import contextlib, sys
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None):
    {code}
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_files_functions_and_signatures_stay_short() -> None:
    too_long = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        if text.count("\n") > LONGEST:
            too_long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([argument for argument in arguments if argument.arg not in ("self", "cls")])
            if lines > 60:
                too_long.append(f"{name}:{node.lineno} {node.name}: {lines} lines")
            if count > 8:
                too_long.append(f"{name}:{node.lineno} {node.name}: {count} parameters")
    assert too_long == []


def test_every_module_says_what_it_does() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_generated_modules_are_fresh() -> None:
    from protos.generate import stale_modules

    assert stale_modules() == []


def test_public_names_are_pinned() -> None:
    import acestep

    assert sorted(acestep.__all__) == [
        "AudioRange",
        "Cascade",
        "Clip",
        "GenerateRequest",
        "Grid",
        "Key",
        "Signature",
        "Take",
        "__version__",
        "errors",
        "produce",
    ]
