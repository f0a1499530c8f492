"""The Trainer's methods that ours relies on: the list in trainer.py is complete, and transformers still has each."""

import inspect
import re

from transformers import Trainer

from kronos.training import trainer
from kronos.training.trainer import KronosTrainer


def listed() -> set[str]:
    return set(re.findall(r"^    (\w+) +\S", trainer.__doc__ or "", re.MULTILINE))


def test_each_listed_hook_exists() -> None:
    source = inspect.getsource(Trainer)
    assert len(listed()) > 15
    for name in listed():
        assert hasattr(Trainer, name) or f"self.{name}" in source, name


def test_all_that_is_overridden_or_private_is_listed() -> None:
    own = set(vars(KronosTrainer))
    overridden = {name for name in own if hasattr(Trainer, name) and not name.startswith("__")}
    source = inspect.getsource(KronosTrainer)
    used = {name for name in re.findall(r"self\.(_\w+)", source) if name not in own} & (
        set(dir(Trainer)) | set(re.findall(r"self\.(_\w+)", inspect.getsource(Trainer)))
    )
    assert overridden | used == listed()
