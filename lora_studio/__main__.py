"""`python -m lora_studio`: the command `lora_studio`, for `torchrun` and `accelerate launch`."""

from lora_studio.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
