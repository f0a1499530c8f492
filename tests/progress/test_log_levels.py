"""Loggers say less for a while, and what they said before afterwards."""

import logging

import pytest

from kronos.progress.log_levels import raise_log_levels


def test_levels_rise_and_come_back() -> None:
    low, high = logging.getLogger("test.low"), logging.getLogger("test.high")
    high.setLevel(logging.CRITICAL)
    with pytest.raises(KeyError), raise_log_levels({low.name: logging.ERROR, high.name: logging.ERROR}):
        assert (low.level, high.level) == (logging.ERROR, logging.CRITICAL)
        raise KeyError
    assert (low.level, high.level) == (logging.NOTSET, logging.CRITICAL)
