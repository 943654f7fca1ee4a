"""Generates the Python modules of the wire schema; `--check` fails when the committed ones are stale.

Run from anywhere: `python -m protos.generate [--check]`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = Path("protos/acestep/v1/acestep.proto")
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")


def generate(out: Path) -> list[Path]:
    """Writes the modules below `out`; returns their paths relative to it. RuntimeError on a bad schema."""
    from grpc_tools import protoc

    flags = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{ROOT}", *flags, str(ROOT / SCHEMA)]) != 0:
        raise RuntimeError(f"protoc refused {SCHEMA}: see its message above")
    return [SCHEMA.with_name(SCHEMA.stem + suffix) for suffix in SUFFIXES]


def stale_modules() -> list[Path]:
    """The committed modules that differ from what the schema gives."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            path
            for path in generate(Path(folder))
            if not (ROOT / path).is_file() or (ROOT / path).read_bytes() != (Path(folder) / path).read_bytes()
        ]


def main(argv: list[str] | None = None) -> int:
    """0 when written or fresh, 1 when `--check` finds stale modules."""
    parser = argparse.ArgumentParser(prog="python -m protos.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a module is stale")
    if not parser.parse_args(argv).check:
        generate(ROOT)
        return 0
    stale = stale_modules()
    for path in stale:
        print(f"{path} is stale: run `make protos` and commit it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
