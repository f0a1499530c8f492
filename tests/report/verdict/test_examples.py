"""How good an example forecast is, in words."""

import pytest

from kronos.evaluation.results import Example
from kronos.report.verdict.examples import format_figure
from kronos.report.words.catalogue import Words

EXAMPLE = Example(kind="best", symbol="600977", origin="2024-06-01 10:35", row=100, figure=0.10399)


@pytest.mark.parametrize(("metric", "name"), [("crps", "CRPS"), ("mae", "MAE"), ("direction", "CRPS")])
def test_the_figure_of_an_example_is_a_loss_in_units_of_volatility(metric: str, name: str) -> None:
    assert format_figure(EXAMPLE, metric, Words("en")) == f"{name} 0.104 (in units of volatility)"
    assert format_figure(EXAMPLE, metric, Words("zh")) == f"{name} 0.104（以波动率为单位）"
