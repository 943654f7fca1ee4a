"""A run's curves for TensorBoard, where it is installed."""

from collections.abc import Callable
from pathlib import Path

from lora_studio.training.stage_run import Tick

OnTick = Callable[[Tick], None]


def on_board(folder: Path, on_tick: OnTick | None) -> OnTick | None:
    """`on_tick`, which also writes loss, rate, gradient norm and held-out loss into `folder`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return on_tick
    writer = SummaryWriter(str(folder))

    def tell(tick: Tick) -> None:
        values = {"loss": tick.loss, "learning_rate": tick.learning_rate, "grad_norm": tick.grad_norm}
        if tick.validation is not None:
            values["held_out_loss"] = tick.validation
        for name, value in values.items():
            writer.add_scalar(f"{tick.stage}/{name}", value, tick.step)
        if tick.validation is not None:
            writer.flush()
        if on_tick:
            on_tick(tick)

    return tell
