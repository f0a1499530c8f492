"""Levels of loggers that say less for a while."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def raise_log_levels(levels: Mapping[str, int]) -> Iterator[None]:
    """Log nothing below these levels during the block, by the names of loggers; a higher level of theirs stays."""
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(max(level, before[name]))
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
