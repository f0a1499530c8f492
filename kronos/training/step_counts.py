"""How many windows a step takes, and how many steps an epoch and a stage have."""

from accelerate import PartialState

from kronos.config import Config
from kronos.config.training import ModelName
from kronos.data import WindowDataset
from kronos.data.windows.splits import count_epoch_windows
from kronos.errors import DataError
from kronos.names import Message


def count_steps_an_epoch(config: Config, train: WindowDataset) -> int:
    """Return the optimizer steps of an epoch."""
    a_step = count_windows_a_step(config)
    return count_epoch_windows(len(train), config.data, a_step) // a_step


def count_steps(config: Config, stage: ModelName, train: WindowDataset) -> int:
    """Return the optimizer steps of a stage."""
    training = config.training
    return training.max_steps or training.epochs_of(stage) * count_steps_an_epoch(config, train)


def count_windows_a_step(config: Config) -> int:
    """Return the windows of an optimizer step, over all processes."""
    return config.training.batch_size * int(PartialState().num_processes)


def check_batch_fits(config: Config, train: WindowDataset) -> None:
    """Check that an epoch has at least one step.

    Raises:
        DataError: there are fewer train windows than one step takes.
    """
    needed = count_windows_a_step(config)
    if (n_windows := count_epoch_windows(len(train), config.data, needed)) < needed:
        if n_windows < len(train):
            raise DataError(
                "data.windows_per_epoch is {n_windows}, but one step takes {needed} windows. Set it to at least {needed}.",
                n_windows=n_windows,
                needed=needed,
            )
        ranks = PartialState().num_processes
        raise DataError(
            "training.batch_size is {batch_size}{shared}, but there are only {n_windows} train windows. Set "
            "training.batch_size to at most {largest}, provide more candles, or lower data.train_stride.",
            batch_size=config.training.batch_size,
            shared=Message(" on each of {n} processes", n=ranks) if ranks > 1 else "",
            n_windows=n_windows,
            largest=max(n_windows // ranks, 1),
        )
