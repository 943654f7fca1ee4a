"""The README's Python code runs as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_first_example_makes_a_clip(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    done = subprocess.run(
        [sys.executable, "-c", found[1]],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "ACESTEP_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    (clip,) = (tmp_path / "clips").glob("*.wav")
    assert done.stdout.startswith(str(Path("clips") / clip.name)) or clip.name in done.stdout


def test_public_names_are_what_they_say_whatever_was_imported_before() -> None:
    script = "import acestep.clips.production\nfrom acestep import produce\nassert callable(produce)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
