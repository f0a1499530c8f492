"""Lines that fit the terminal."""

import pytest
from rich.cells import cell_len

from kronos.cli.output.text import wrap

PATH = "/home/somebody/projects/kronos/finetuned/a_run_with_a_long_name/report/index.html"


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize(
    "line",
    [
        "  val    576 candles, 96 windows (24 independent, each of several words); left out: 457 to the cap",
        "微调有效（CRPS 比预训练模型低 21.3%，95% 区间 14.9% 到 27.0%）。模型有能力：它比简单预测更清楚价格会怎么走、走多远。",
        "",
    ],
)
def test_lines_fit_and_lose_nothing(line: str, width: int) -> None:
    wrapped = wrap(line, width, "  ").split("\n")
    assert all(cell_len(each) <= width and each == each.rstrip() for each in wrapped)
    assert "".join("".join(wrapped).split()) == "".join(line.split())
    indent = line[: len(line) - len(line.lstrip())]
    assert all(each.startswith(f"{indent}  ") for each in wrapped[1:])
    assert len(wrapped) == 1 or cell_len(line) > width


def test_a_path_stays_whole() -> None:
    assert wrap(f"report     {PATH}", 80).split("\n") == ["report", PATH]
    assert wrap(PATH, 40) == PATH
    assert PATH in wrap(f"没有这个文件，报告在这里：{PATH}，请看。", 40).split("\n")[1]


def test_no_line_begins_with_punctuation() -> None:
    for width in range(20, 60):
        lines = wrap(
            "微调有效（CRPS 低 21.3%，95% 区间 14.9% 到 27.0%）。模型“有能力”：它更清楚价格会怎么走……走多远。", width
        ).split("\n")
        assert not [line for line in lines if line[:1] in "，。：）”…"], lines


@pytest.mark.parametrize("program", ["kronos", "kline", "python -m kronos", "python train_sequential.py"])
def test_a_command_stays_on_one_line_so_that_it_can_be_copied(program: str) -> None:
    command = f"  {program} evaluate --run finetuned/demo --data new.csv --since '2024-06-17 14:00'"
    assert wrap(command, 40) == command
