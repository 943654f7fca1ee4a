"""Every code block of every document runs as it is printed; what cannot is listed with the reason."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server import config
from tests.support import documents
from tests.support.documents import ROOT, Block, Musician

BLOCKS = documents.blocks()
LANGUAGES = {"sh", "bash", "console", "python", "toml", "json", "bat", "text"}  # text: nothing to run
WHEEL = "fetches packages; tests/test_wheel.py installs the same wheel without a network"
IN_CI = "fetches packages, or takes long; .ci/run runs it"
PUBLISHED = "fetches gigabytes; tests/acestep/checkpoints/test_pull.py has a hub of its own"
TRAINS = "trains for days; tests/acestep/training has it with fewer steps"
RANKS = "tests/lora_studio/training/test_processes.py runs it for seconds, with two processes on a CPU"
CLUSTER = "needs several machines; tests/server/cluster has nodes of its own"
OTHER = "needs a machine of another kind"
SYSTEM = "changes the system; .ci/install_hosts does the same"
NOT_RUN = {
    "make install": IN_CI,
    "make check": IN_CI,
    "make test": "would run itself",
    "git pull": "fetches",
    "uv tool install '.[web]'": WHEEL,
    "pipx install '.[web]'": WHEEL,
    "acestep pull xl-turbo": PUBLISHED,
    "acestep pull turbo": PUBLISHED,
    "acestep distill turbo:5-8 --name small --audio MyMusic/": TRAINS,
    "acestep distill turbo:5-8 --name small --captions captions.txt": TRAINS,
    "accelerate launch -m server.cli distill …": OTHER,
    "accelerate launch --num_processes 2 -m lora_studio": RANKS,
    "torchrun --nproc_per_node 2 -m lora_studio": RANKS,
    'python -m pip install "acestep-bridge[cluster]"': WHEEL,
    "export RAY_AUTH_MODE=token": CLUSTER,
    "ray start": CLUSTER,
    "acestep serve --cluster": CLUSTER,
    "sudo apt install": SYSTEM,
}
# Printed for eight minutes of training; here it gets the fewest that there are.
SHORTENED = {
    "lora_studio train MyStems/ --name my-sound": "lora_studio train MyStems/ --name my-sound --minutes 2",
    "minutes=8": "minutes=2",
}
# Begin of a block → a daemon serves already, as the text around it says.
DAEMON_SERVES = (
    "oscsend",
    "from plugin_bridge import Bridge",
    "plugin-bridge doctor",
    "plugin-bridge uninstall",
)
PAGE_SERVES = ("from gradio_client",)  # the page as well
ANSWERS = {"lora_studio remove theirs": "y"}  # what is asked for at the terminal
QUICK = ("acestep words", "# config.toml")
HOSTS = ("sudo apt install",)  # blocks that build the plugin
TRAINED = "lora_studio train"


def begin(block: Block) -> str:
    return block.text.removeprefix("$ ").splitlines()[0]


def marked(block: Block) -> object:
    marks = [] if begin(block).startswith(QUICK) else [pytest.mark.heavy]
    if begin(block).startswith(HOSTS):
        marks += [pytest.mark.hosts]
    return pytest.param(block, id=str(block), marks=[*marks, pytest.mark.timeout(1200)])


def reason_not_to(line: str) -> str:
    return next((why for listed, why in NOT_RUN.items() if line.startswith(listed)), "")


def distinct(*languages: str) -> list[Block]:
    """Blocks in these languages, each text once."""
    return list({block.text: block for block in BLOCKS if block.language in languages}.values())


def shell_blocks() -> list[Block]:
    found = [
        block for block in distinct("sh", "bash", "console") if not all(map(reason_not_to, block.commands))
    ]
    trained = [block for block in found if needs_adapter(block)]
    return [block for block in found if block not in trained]


def needs_adapter(block: Block) -> bool:
    return "my-sound" in block.text


@pytest.fixture
def musician(tmp_path: Path) -> Musician:
    made = Musician(tmp_path, ACESTEP_GRPC_PORT="0", ACESTEP_OSC_PORT="0")
    with made:
        yield made


def run(block: Block, musician: Musician) -> str:
    """Types the block's lines; all that they printed."""
    musician.bring_music(block.text)
    if "compose" in block.text:
        musician.bring_checkpoints()
    if begin(block).startswith(DAEMON_SERVES):
        musician.type("acestep serve")
    folder = ROOT if begin(block).startswith(HOSTS) else None
    told = []
    for line in block.commands:
        if reason_not_to(line):
            continue
        for printed, shorter in SHORTENED.items():
            line = line.replace(printed, shorter)
        answer = next((said for asked, said in ANSWERS.items() if line.startswith(asked)), "")
        told.append(musician.type(line, folder, answer))
    return "\n".join(told)


def test_every_block_says_what_it_is() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []


def test_what_is_listed_as_not_run_is_still_there() -> None:
    lines = [line for block in BLOCKS for line in block.commands]
    assert [listed for listed in NOT_RUN if not any(line.startswith(listed) for line in lines)] == []
    text = "\n".join(block.text for block in BLOCKS)
    assert [printed for printed in SHORTENED if printed not in text] == []


def test_what_ci_runs_instead_is_what_is_printed() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert all(f"\n{line}\n" in script for line, why in NOT_RUN.items() if why == IN_CI)
    hosts = (ROOT / ".ci" / "install_hosts").read_text("utf-8")
    (packages,) = (
        line.split()[3:] for block in BLOCKS for line in block.commands if line.startswith("sudo apt")
    )
    assert [package for package in packages if package not in hosts] == []


def test_the_lines_for_windows_are_those_of_its_workflow() -> None:
    workflow = (ROOT / ".github" / "workflows" / "check.yml").read_text("utf-8")
    (block,) = (block for block in BLOCKS if block.language == "bat")
    lines = [line.replace("\\", "/") for line in block.commands if " pip " in line]
    assert len(lines) == 3
    assert [line for line in lines if line not in workflow] == []


@pytest.mark.parametrize("block", [marked(block) for block in shell_blocks()])
def test_a_block_of_commands_runs(block: Block, tmp_path: Path) -> None:
    ports = {"ACESTEP_GRPC_PORT": "0", "ACESTEP_OSC_PORT": "0"}
    if "9127" in block.text and begin(block).startswith("oscsend"):
        ports["ACESTEP_OSC_PORT"] = needed(socket.SOCK_DGRAM, 9127)
    for port in (7960, 8001):
        if str(port) in block.text:
            needed(socket.SOCK_STREAM, port)
    if "make run" in block.commands[0]:
        installed()
    with Musician(tmp_path, **ports) as musician:
        told = run(block, musician)
        if block.language == "console":
            same_rows(block, told)
        if check := AFTERWARDS.get(begin(block)):
            check(musician)


def needed(kind: int, port: int) -> str:
    """A port that the text names; skips where somebody has it, in CI fails."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"port {port} is taken")
    return str(port)


def installed() -> None:
    """Skips where `make run` would install first, in CI fails."""
    done = subprocess.run(["make", "-q", ".venv/.installed"], cwd=ROOT, check=False, capture_output=True)
    if done.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(".venv is older than its pins: make install")


def same_rows(block: Block, told: str) -> None:
    """What is printed has the rows of the example, in its order; numbers may differ."""
    rows = [line.split()[0] for line in block.text.splitlines() if not line.startswith("$ ")]
    printed = [line.split()[0] for line in told.splitlines() if line.strip()]
    assert [row for row in printed if row in rows][: len(rows)] == rows


def clip_came(musician: Musician) -> None:
    deadline = time.monotonic() + documents.WAIT_S
    while not list(musician.samples.glob("*warm-analog-pad_127.5bpm*.wav")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


AFTERWARDS: dict[str, Callable[[Musician], None]] = {
    "oscsend 127.0.0.1 9127 /acestep/tempo f 127.5": clip_came
}


@pytest.mark.heavy
@pytest.mark.timeout(1200)
def test_an_adapter_is_trained_used_and_looked_after_as_printed(musician: Musician) -> None:
    """All blocks about `my-sound`, in the order in which a musician needs them."""
    found = [block for block in distinct("sh", "bash") if needs_adapter(block)]
    first = [block for block in found if begin(block).startswith(TRAINED)]
    assert len(first) == 1
    run(first[0], musician)
    for block in found:
        if block not in first:
            (musician.place / "theirs.safetensors").unlink(missing_ok=True)
            prepare, listed, show, export, *others = block.commands
            for line in (prepare, listed, show, export):
                musician.type(line)
            (musician.place / "out.safetensors").rename(musician.place / "theirs.safetensors")
            for line in others:
                musician.type(
                    line, None, next((say for ask, say in ANSWERS.items() if line.startswith(ask)), "")
                )
    assert "my-sound" in musician.type("lora_studio list")


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("block", distinct("python"), ids=str)
def test_a_program_runs(block: Block, musician: Musician) -> None:
    musician.bring_music(block.text)
    if begin(block).startswith(DAEMON_SERVES + PAGE_SERVES):
        musician.type("acestep serve")
    if begin(block).startswith(PAGE_SERVES):
        needed(socket.SOCK_STREAM, 7960)
        musician.type("acestep web --no-start")
        musician.environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    text = block.text
    for printed, shorter in SHORTENED.items():
        text = text.replace(printed, shorter)
    musician.python(text)


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("block", distinct("json"), ids=str)
def test_what_an_assistant_is_told_leads_it_to_the_tools(block: Block, musician: Musician) -> None:
    from tests.support.assistant import as_told

    ((name, told),) = json.loads(block.text)["mcpServers"].items()
    assert name == "acestep"
    if "url" in told:
        musician.type("acestep serve")
        musician.type("acestep web --no-start")
        token = (musician.home / "page-token").read_text().strip()
        told = json.loads(json.dumps(told).replace("THE-TOKEN", token))
    assert "generate_clip" in as_told(told, musician.environment)


@pytest.mark.parametrize("block", distinct("toml"), ids=str)
def test_settings_are_read(block: Block, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(block.text, encoding="utf-8")
    made = config.load({"home": tmp_path}, environ={})
    assert (made.osc_port, made.grpc_port) != (9127, 50551)


def test_the_readme_lists_the_words_that_nano_knows_now(capsys: pytest.CaptureFixture[str]) -> None:
    from server.cli.acestep import main

    assert main(["words"]) == 0
    (block,) = (block for block in BLOCKS if block.document == "README.md" and block.language == "console")
    assert block.text == f"$ acestep words\n{capsys.readouterr().out}", "write what `acestep words` prints"


def test_files_and_headings_that_documents_link_to_are_there() -> None:
    missing = []
    for path in documents.documents():
        text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            name, _, heading = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if "://" in link:
                continue
            if not target.exists():
                missing.append(f"{path.relative_to(ROOT)}: {link}")
            elif heading:
                titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
                if heading not in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles}:
                    missing.append(f"{path.relative_to(ROOT)}: {link}")
    assert missing == []


def test_public_names_are_what_they_say_whatever_was_imported_before() -> None:
    script = "import acestep.clips.production\nfrom acestep import produce\nassert callable(produce)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
