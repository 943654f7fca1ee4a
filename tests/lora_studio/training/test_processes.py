"""Training from outside: kill -9, full and read-only disks, and several processes at once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acestep.model.cascade import Cascade
from lora_studio.training import checkpoints
from tests.support.closeness import assert_close
from tests.support.lora_material import assert_same, pulse, tiny_base, tiny_loops, write

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_loops(tmp_path_factory.mktemp("loops"))


def as_a_plain_user() -> list[str]:
    """What to put before a command so that permissions count for it, as they do for everybody but root."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv to give that up")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


def studio(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """`lora_studio` as a process of its own, with a plain user's permissions."""
    code = "from lora_studio.cli import main; raise SystemExit(main())"
    command = [*as_a_plain_user(), sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=ENVIRONMENT, check=False)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    script = """
import resource, signal, sys, torch
from pathlib import Path
from acestep.errors import StorageError
from lora_studio.training.checkpoints import RunState, save
folder = Path(sys.argv[1])
save(folder, RunState("a", step=1, tensors={"weights": {"x": torch.ones(1000)}}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save(folder, RunState("a", step=2, tensors={"weights": {"x": torch.ones(100_000)}}))
except StorageError as error:
    print("told:", error)
"""
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "told:" in found.stdout
    assert "cannot be written" in found.stdout
    state = checkpoints.load(tmp_path, "a")
    assert state is not None
    assert state.step == 1
    assert len(list(tmp_path.iterdir())) == 1  # no half file is left behind


@pytest.mark.heavy
def test_kill_9_at_any_moment_ends_with_the_same_bits(base: Path, loops: Path, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from accelerate import Accelerator
from acestep.model.cascade import Cascade
from lora_studio.config import TrainConfig
from lora_studio.data.examples import ExampleSet
from lora_studio.training.planning import NoiseLevels
from lora_studio.data.preparing import prepare
from lora_studio.training.stage_run import TrainingPlan, StageRun
base, loops, folder, cache = sys.argv[1:]
library = ExampleSet(Cascade.load(base, device="cpu"), prepare(Path(loops)), Path(cache))
library.fill()
settings = TrainConfig(data=loops, name="t", rank=2, steps=40, validate_every=7, validation_pairs=4,
                       save_every_s=0.0, patience=None)
plan = TrainingPlan(NoiseLevels("logit_normal"), 0.15, 2, False, None, None, 40, identity="x")
run = StageRun(library.cascade.stages["l"], library, settings, plan, Path(folder), Accelerator(cpu=True))
run.train(on_tick=lambda tick: print(tick.step, flush=True))
"""
    command = [sys.executable, "-c", script, str(base), str(loops)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(folder: Path, kill_at: int | None) -> None:
        process = subprocess.Popen(
            [*command, str(folder), str(tmp_path / "cache")],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if kill_at is not None and int(line) >= kill_at:
                time.sleep(0.003 * kill_at % 0.02)  # somewhere inside a step, a validation or a save
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        process.wait(timeout=120)

    run(tmp_path / "straight", None)
    for kill_at in (3, 13, 14, 28):
        run(tmp_path / "killed", kill_at)
    run(tmp_path / "killed", None)
    straight, killed = (checkpoints.load(tmp_path / name, "x") for name in ("straight", "killed"))
    assert straight is not None
    assert killed is not None
    assert killed.step == 40
    assert_same(straight, killed)


def test_a_read_only_folder_is_a_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    write(folder / "a_100bpm.wav", pulse(100, 2))
    folder.chmod(0o500)
    try:
        found = studio("prepare", folder)
    finally:
        folder.chmod(0o700)
    assert found.returncode != 0
    assert "cannot be written" in found.stderr
    assert "permissions" in found.stderr
    assert "Traceback" not in found.stderr
    assert [path.name for path in folder.iterdir()] == ["a_100bpm.wav"]


def test_a_read_only_home_is_said_before_any_work(loops: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    found = studio("train", loops, "--name", "test", "--base", "no such cascade", "--home", home)
    assert found.returncode != 0
    assert "cannot be written" in found.stderr  # and nothing about the base, which comes later
    assert "no such cascade" not in found.stderr
    assert not list(home.iterdir())


SAME_CURVE = 1e-5
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.numeric
def test_two_processes_learn_what_one_does_that_adds_twice_as_many_batches_up(
    base: Path, loops: Path, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text("""
import json, os, sys
from lora_studio import TrainConfig, train
base, loops, home, accumulate = sys.argv[1:]
ticks = []
result = train(TrainConfig(data=loops, name="both", base=base, home=home, stages=("l", "s"), rank=2, steps=12,
                           batch_size=2, validation_pairs=4, previews=0, device="cpu", tensorboard=False,
                           learning_rate=0.01, patience=None, dropout=0.1, strength=1.0,
                           accumulate=int(accumulate)),
               on_tick=ticks.append)
curve = [(tick.loss, tick.grad_norm, tick.validation or 0.0) for tick in ticks]
with open(os.path.join(home, "rank" + os.environ.get("RANK", "0")), "w") as file:
    json.dump({"stages": result.summary["stages"], "curve": curve}, file)
""")
    found: dict[str, list[dict[str, Any]]] = {}
    for home, launch, accumulate in (("alone", (), "4"), ("together", TWO, "2")):
        words = [str(script), str(base), str(loops), str(tmp_path / home), accumulate]
        told = subprocess.run(
            [sys.executable, *launch, *words],
            capture_output=True, text=True, timeout=420, env=ENVIRONMENT, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        found[home] = [json.loads(path.read_text()) for path in sorted((tmp_path / home).glob("rank*"))]
    (alone,), (first, second) = found["alone"], found["together"]
    assert len(alone["curve"]) == 12  # six steps of each stage
    assert first["curve"] == second["curve"]
    for ours, theirs in zip(np.array(first["curve"]).T, np.array(alone["curve"]).T, strict=True):
        assert_close(ours, theirs, SAME_CURVE)
    for stage in ("l", "s"):
        for value in ("steps", "base_loss", "loss", "effect", "audio_seconds"):  # of the weights each one has
            assert first["stages"][stage][value] == second["stages"][stage][value]
        assert first["stages"][stage]["loss"] < first["stages"][stage]["base_loss"]
        assert first["stages"][stage]["audio_seconds"] == pytest.approx(
            alone["stages"][stage]["audio_seconds"]
        )
    layouts = [
        {str(path.relative_to(folder)) for path in folder.rglob("*")}
        for folder in (tmp_path / "alone" / "adapters" / "both", tmp_path / "together" / "adapters" / "both")
    ]
    assert layouts[0] == layouts[1]
    cascade = Cascade.load(base, device="cpu")
    cascade.load_adapter(tmp_path / "together" / "adapters" / "both")
    assert cascade.adapters.loaded["both"] == ("l", "s")


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("launch", "processes"),
    [
        (TWO, 2),
        # on a CPU without MPI accelerate's launcher starts one process only; on GPUs it runs torchrun
        (("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"), 1),
    ],
    ids=["torchrun", "accelerate launch"],
)
def test_the_command_runs_under_a_launcher_and_says_once_what_memory_each_process_takes(
    base: Path, loops: Path, tmp_path: Path, launch: tuple[str, ...], processes: int
) -> None:
    settings = tmp_path / "settings.json"
    values = {"base": str(base), "stages": ["s"], "rank": 2, "steps": 2, "validation_pairs": 2, "previews": 0,
              "device": "cpu", "strength": 1, "min_effect": 0, "tensorboard": False}  # fmt: skip
    settings.write_text(json.dumps(values))
    words = ["-m", "lora_studio", "train", str(loops), "--name", "launched", "--config", str(settings)]
    told = subprocess.run(
        [sys.executable, *launch, *words, "--home", str(tmp_path)],
        capture_output=True, text=True, timeout=420, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    (needs,) = (line for line in told.stdout.splitlines() if " GB a process" in line)
    assert needs.startswith("stage s, batches of ")
    assert needs.endswith(" are free on cpu")
    assert ("for 2 processes" in needs) == (processes == 2)
    assert told.stdout.count("adapter launched, made in") == 1
    assert (tmp_path / "adapters" / "launched").is_dir()
