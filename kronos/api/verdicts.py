"""A verdict as Python and notebooks show it."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kronos.config.schema import Language
from kronos.evaluation.results import Evaluation
from kronos.evaluation.skill import find_skill
from kronos.report.words.answers import find_pretrained, write_headline
from kronos.report.words.catalogue import Words
from kronos.report.words.verdict_text import write_verdict


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether fine-tuning helped, and whether the model has skill, on held-out candles.

    evaluation: all values. page: the report, index.html. language: of the texts, that of the report.
    """

    evaluation: Evaluation
    page: Path
    language: Language = "en"

    @property
    def fine_tuning(self) -> str | None:
        """Against the pretrained model: helped, hurt, no difference, or too little data to tell; None: not compared."""
        found = find_pretrained(self.evaluation)
        return found.outcome if found else None

    @property
    def has_skill(self) -> bool:
        """Whether the model is shown to be better than the simple forecasts."""
        return find_skill(self.evaluation).kind in ("level", "width")

    @property
    def headline(self) -> str:
        """The verdict in a few sentences."""
        return write_headline(self.evaluation, Words(self.language))

    def write(self, language: Language | None = None) -> str:
        """Return the verdict as `kronos evaluate` prints it."""
        return write_verdict(self.evaluation, Words(language or self.language))

    def to_frame(self) -> pd.DataFrame:
        """Return the comparisons: a row for each baseline and metric, with the skill, its interval, p-values and outcome."""
        columns = ("skill", "low", "high", "p_value", "p_adjusted", "n_origins", "n_independent", "outcome")
        rows: list[dict[str, Any]] = [
            {"baseline": each.baseline, "metric": each.metric} | {name: getattr(each, name) for name in columns}
            for each in self.evaluation.comparisons
        ]
        return pd.DataFrame(rows, columns=["baseline", "metric", *columns]).set_index(["baseline", "metric"])

    def __repr__(self) -> str:
        frame = self._select()
        table = "" if frame.empty else f"{frame.to_string()}\n\n"
        return f"{self.headline}\n\n{table}report: {self.page}"

    def _repr_html_(self) -> str:
        frame, page = self._select(), html.escape(str(self.page))
        table = "" if frame.empty else frame.to_html()
        return f"<p>{html.escape(self.headline)}</p>{table}<p>report: {page}</p>"

    def _select(self) -> pd.DataFrame:
        """Return the comparisons by the verdict's metric in a few columns."""
        frame = self.to_frame().reset_index("metric").query("metric == @self.evaluation.metric")
        shown = pd.DataFrame({"outcome": frame["outcome"]})
        for name in ("skill", "low", "high"):
            shown.insert(shown.shape[1] - 1, name, frame[name].map("{:+.1%}".format))
        return shown
