import json
from pathlib import Path

import pytest

from kronos.report.charts.learning import MAX_POINTS, read_learning_curves
from tests.report.made_evaluation import make_run


def test_losses_of_both_stages_and_the_model_kept(tmp_path: Path) -> None:
    run_dir, config = make_run(tmp_path)
    tokenizer, base_model = read_learning_curves(run_dir, config)
    assert (tokenizer.name, base_model.name) == ("tokenizer", "basemodel")
    assert len(base_model.train) == 40 and [step for step, _ in base_model.validation] == list(range(0, 401, 50))
    assert base_model.kept == (min(base_model.validation, key=lambda point: point[1]),)


def test_the_record_says_which_model_was_kept(tmp_path: Path) -> None:
    """Where forecasts choose it, it need not have the least loss."""
    run_dir, config = make_run(tmp_path)
    record = {"stage": "basemodel", "best_step": 100, "best_by": "crps", "settings": {"windows a step": 1}}
    (run_dir / "basemodel" / "stage.json").write_text(json.dumps(record))
    (run_dir / "tokenizer" / "stage.json").write_text("{")
    tokenizer, base_model = read_learning_curves(run_dir, config)
    assert [step for step, _ in base_model.kept] == [100] and len(tokenizer.kept) == 1


def test_what_is_damaged_or_missing_is_left_out(tmp_path: Path) -> None:
    run_dir, config = make_run(tmp_path)
    (run_dir / "tokenizer" / "metrics.jsonl").unlink()
    lines = ['{"step": 1, "loss": 2.0}', "[1]", "\udcff", '{"step": "2", "loss": 1}', '{"step": 3, "loss": NaN}', "{"]
    (run_dir / "basemodel" / "metrics.jsonl").write_text("\n".join(lines), errors="surrogateescape")
    (curves,) = read_learning_curves(run_dir, config)
    assert curves.train == ((1.0, 2.0),) and curves.validation == curves.kept == ()


def test_long_curves_are_thinned(tmp_path: Path) -> None:
    run_dir, config = make_run(tmp_path)
    lines = [json.dumps({"step": step, "loss": 1.0 + step % 2}) for step in range(1, 20_001)]
    (run_dir / "basemodel" / "metrics.jsonl").write_text("\n".join(lines))
    curves = read_learning_curves(run_dir, config)[1]
    assert len(curves.train) == MAX_POINTS and curves.train[-1] == pytest.approx((20_000, 1.5))
