"""`kronos evaluate`: forecasts of a run, or of any model, and of baselines on candles that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.output.ending import print_evaluation
from kronos.cli.session import (
    LanguageOption,
    Process,
    VerboseOption,
    announce,
    load_session_config,
    loading_libraries,
    start_session,
)
from kronos.cli.start import format_command_line
from kronos.config import Config
from kronos.config.changes import (
    FIXED,
    FOR_EVALUATION,
    FOR_MODELS,
    FOR_READING,
    NO_EFFECT_ON_MODELS,
    OTHER_CANDLES,
    check_changes,
)
from kronos.config.load import list_keys
from kronos.config.schema import Language
from kronos.errors import ConfigError
from kronos.names import Message, Template
from kronos.run_folder import lock_run_folder
from kronos.urls import CandleSource, parse_source

if TYPE_CHECKING:
    from kronos.run import FinishedRun

TIME_FORMATS = ["%Y-%m-%d", *(f"%Y-%m-%d{gap}%H:%M{end}" for gap in " T" for end in ("", ":%S"))]
HINT: Template = ", and the candles with --data"
READING_HINT = Message(
    ", and the candles with --data; then also {keys}",
    keys=", ".join(key + "*" * key.endswith(".") for key in FOR_READING),
)

RunOption = Annotated[
    Path | None, typer.Option("--run", help="The run's folder, {base_path}/{exp_name}.", show_default=False)
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Instead of a run: any model: a folder, a hub name or nano.", show_default=False),
]
TokenizerOption = Annotated[
    str | None,
    typer.Option("--tokenizer", help="With --model: its tokenizer.", show_default="the one that belongs to the model"),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="With --model: a YAML file with settings.", show_default=False)
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Candles other than the run's own, or those for --model: a file, a folder, a glob or a URL.",
        show_default=False,
    ),
]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        formats=TIME_FORMATS,
        metavar="TIME",
        help='Forecast only candles after this local time, "2024-09-02 09:35" or 2024-09-02.',
        show_default="all the run has not seen",
    ),
]
BaselinesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rivals",
        "--baselines",
        help="Compare with this baseline; repeat for more.",
        show_default="evaluation.rivals",
    ),
]
AllOption = Annotated[bool, typer.Option("--all-origins", help="Forecast from every origin, however long it takes.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Override settings, e.g. evaluation.stride=12"),
]


def evaluate_command(
    overrides: Overrides = None,
    run: RunOption = None,
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    since: SinceOption = None,
    baselines: BaselinesOption = None,
    all_origins: AllOption = False,
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Measure whether a run helped, or whether any model has skill: against naive forecasts, an LSTM or other runs."""
    advice = "finished forecasts are kept; run the same command to resume"
    with start_session(advice, language, distributed=True, verbose=verbose) as process:
        given, source = [*(overrides or [])], None if data is None else parse_source(data)
        given += [f"evaluation.rivals=[{', '.join(map(repr, baselines))}]"] if baselines else []
        given += ["evaluation.budget_minutes=null"] if all_origins else []
        if run is not None and model is None:
            _check_run_options(tokenizer, config, data, since)
            settings, finished = _evaluate_run(run, given, source, since, language, process)
        elif model is not None and run is None:
            settings, finished = _evaluate_model(model, tokenizer, config, given, source, since, language, process)
        else:
            raise ConfigError(
                "give either --run (the folder of a run) or --model (a model folder, a hub name or nano); see --help."
            )
        if process.rank == 0:
            print_evaluation(settings, finished)


def _evaluate_run(
    run: Path,
    given: Sequence[str],
    data: CandleSource | None,
    since: datetime | None,
    language: Language | None,
    process: Process,
) -> tuple[Config, FinishedRun]:
    from kronos.saved_run import load_run_config

    others = data is not None
    allowed = (*FOR_EVALUATION, *FOR_READING) if others else FOR_EVALUATION
    check_changes(list_keys(given), allowed, FIXED, HINT if others else READING_HINT)
    given = [*(f"{key}=null" for key in OTHER_CANDLES if others), *given]
    config = load_session_config(lambda given: load_run_config(run, given), given, process, language)
    announce(config, "evaluate" if data is not None else "evaluate_own", model=run, candles=data)
    with lock_run_folder(config.model_paths.run_folder, process.rank):
        with loading_libraries():
            from kronos.run import run_evaluation

        return config, run_evaluation(config, data, since, process.world_size, format_command_line())


def _evaluate_model(
    model: str,
    tokenizer: str | None,
    file: Path | None,
    given: Sequence[str],
    data: CandleSource | None,
    since: datetime | None,
    language: Language | None,
    process: Process,
) -> tuple[Config, FinishedRun]:
    with loading_libraries():
        from kronos.evaluation.model_without_run import build_model_config, load_judged_models
        from kronos.run import run_model_evaluation

    check_changes(list_keys(given), FOR_MODELS, NO_EFFECT_ON_MODELS, HINT)
    config = load_session_config(
        lambda given: build_model_config(model, tokenizer, data, file, given), given, process, language
    )
    announce(config, "evaluate", model=model)
    models = load_judged_models(config)  # before the folder is made
    with lock_run_folder(config.model_paths.run_folder, process.rank):
        return config, run_model_evaluation(config, models, since, process.world_size, format_command_line())


def _check_run_options(tokenizer: str | None, config: Path | None, data: str | None, since: datetime | None) -> None:
    """Check that no option is given that a run does not need."""
    for name, value in {"--tokenizer": tokenizer, "--config": config}.items():
        if value is not None:
            raise ConfigError("{name} needs --model. A run has its own tokenizer and settings.", name=name)
    if since is not None and data is None:
        raise ConfigError("--since needs --data. A run is evaluated on the test split of its own candles.")
