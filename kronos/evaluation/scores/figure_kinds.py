"""The direction and unit of each figure of an evaluation; this module does not import NumPy."""

from typing import Literal, NamedTuple

from kronos.evaluation.records import LEVELS


class FigureKind(NamedTuple):
    """The direction and unit of a figure.

    higher_is_better: None if neither is better, as for the coverage and width of a band.
    unit: a share of 1, the unit of the forecast values (price or log return), or a plain number.
    """

    higher_is_better: bool | None
    unit: Literal["share", "price", "number"]


FIGURE_KINDS = {
    **dict.fromkeys(("mae", "rmse", "crps"), FigureKind(False, "price")),
    **dict.fromkeys(("mape", "smape"), FigureKind(False, "share")),
    **dict.fromkeys(("mase", "wql"), FigureKind(False, "number")),
    **dict.fromkeys(("r2", "r2_os", "ic", "rank_ic"), FigureKind(True, "number")),
    "direction": FigureKind(True, "share"),
    "scaled_crps": FigureKind(False, "number"),
    "brier": FigureKind(False, "number"),
    **dict.fromkeys(("auc", "f1"), FigureKind(True, "number")),
    **{f"coverage_{level}": FigureKind(None, "share") for level in LEVELS},
    **{f"width_{level}": FigureKind(None, "price") for level in LEVELS},
}
