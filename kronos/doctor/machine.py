"""What the machine offers: device, precision, threads, memory, disk, and a font for Chinese."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
from huggingface_hub import constants

from kronos.config.load import build_reading_config
from kronos.doctor.diagnoses import Diagnosis
from kronos.errors import first_line
from kronos.report.fonts import can_draw
from kronos.report.words.numbers import format_bytes
from kronos.training.fit.precision import choose_precision

LITTLE_MEMORY, LITTLE_DISK = 2 << 30, 2 << 30
CHINESE = "收盘价预测"


def check_machine() -> Iterator[Diagnosis]:
    """Find the device, its memory, and the space on the disks that a run and the models need."""
    try:
        yield from _check_device()
    except RuntimeError as error:  # of a driver
        reason = first_line(error)
        yield Diagnosis("device", "gpu_unusable", "broken", {"error": reason})
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    yield Diagnosis("threads", "threads", values={"n": torch.get_num_threads(), "cores": cores})
    memory = psutil.virtual_memory()
    values = {"free": format_bytes(memory.available), "total": format_bytes(memory.total)}
    yield Diagnosis("memory", "memory", "warning" if memory.available < LITTLE_MEMORY else "ok", values)
    for code, folder in (("disk_here", Path.cwd()), ("disk_cache", Path(constants.HF_HUB_CACHE))):
        yield from _check_disk(code, folder)
    has_font = can_draw(CHINESE)
    yield Diagnosis("font", "font" if has_font else "font_missing", "ok" if has_font else "note")


def _check_device() -> Iterator[Diagnosis]:
    precision = choose_precision(build_reading_config([]))
    if torch.cuda.is_available():
        for n in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(n)
            values = {"name": torch.cuda.get_device_name(n), "free": format_bytes(free), "total": format_bytes(total)}
            yield Diagnosis("device", "gpu", values=values | {"n": n, "precision": precision})
    elif torch.backends.mps.is_available():
        yield Diagnosis("device", "mps", values={"precision": precision})
    else:
        built = torch.version.cuda or torch.version.hip
        yield Diagnosis(
            "device", "cpu_gpu_build" if built else "cpu", "note", {"precision": precision, "build": built or ""}
        )


def _check_disk(code: str, folder: Path) -> Iterator[Diagnosis]:
    """Find the free space for a folder, which need not exist yet."""
    try:
        there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
        free = shutil.disk_usage(there).free
    except OSError as error:
        reason = error.strerror or str(error)
        yield Diagnosis("disk", "disk_missing", "warning", {"folder": str(folder), "reason": reason})
        return
    values = {"folder": str(folder), "free": format_bytes(free)}
    yield Diagnosis("disk", code, "warning" if free < LITTLE_DISK else "ok", values)
    if not os.access(there, os.W_OK):
        yield Diagnosis("disk", "not_writable", "warning", {"folder": str(there)})
