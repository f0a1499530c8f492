"""Forecasts of an exported model with onnxruntime and NumPy alone.

`kronos export --onnx OUT` copies this file into OUT; it uses nothing else of the package.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = np.ndarray[Any, Any]

EPSILON = 1e-5  # added to the standard deviation of what is normalised
PRICE_FLOOR = 0.01  # as a share of the lowest known price
COLDEST, HOTTEST = 1e-6, 1e6  # temperatures below the first are greedy
ORIGIN_WEEKDAY = 3  # of 1970-01-01, a Thursday; Monday is 0


class OnnxForecaster:
    """Samples futures of one series with the graphs of a folder.

    settings: those of kronos.json: max_context, clip, lookback, horizon, temperature, top_p, …
    """

    def __init__(self, folder: str | Path, int8: bool = False, n_threads: int = 0) -> None:
        """Load the graphs. int8: those of the base model in int8. n_threads: 0 for all processors."""
        self.settings: dict[str, Any] = json.loads((Path(folder) / "kronos.json").read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        small = ".int8" if int8 else ""
        if int8 and not (Path(folder) / "step.int8.onnx").is_file():
            raise ValueError(f"{folder}: no int8 graphs. Run kronos export --int8, or leave int8 out.")
        names = {"encode": "", "decode": "", "prefill": small, "step": small, "fine": small}
        self._sessions = {
            name: onnxruntime.InferenceSession(
                str(Path(folder) / f"{name}{ending}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for name, ending in names.items()
        }

    def forecast(
        self,
        candles: Array,
        times: Sequence[Any] | Array,
        future: Sequence[Any] | Array,
        n_paths: int = 30,
        seed: int = 0,
        symbol: str = "",
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float | None = None,
    ) -> Array:
        """Sample futures as `KronosPredictor.forecast` does with the same seed, and the symbol as name.

        Args:
            candles: (L, 6), the known open, high, low, close, volume, amount, all finite; the latest max_context count.
            times: their L local times, of datetime64. future: the local times to forecast, fewer than max_context.
            temperature, top_k, top_p: by default those of the run; a temperature of 0 is greedy.

        Returns:
            (n_paths, len(future), 6) float64, in the units of the candles.

        Raises:
            ValueError: an argument is malformed.
        """
        window = int(self.settings["max_context"])
        temperature = self.settings["temperature"] if temperature is None else temperature
        how = temperature, top_k, self.settings["top_p"] if top_p is None else top_p
        known, at, ahead = np.asarray(candles, np.float64), to_times(times), to_times(future)
        check(known, at, ahead, window)
        check_draws(n_paths, seed, *how)
        known, stamp, coming = known[-window:], compute_calendar(at[-window:]), compute_calendar(ahead)
        mean, scale = measure(known)
        normalised = np.clip((known - mean) / scale, -self.settings["clip"], self.settings["clip"])
        uniforms = draw_uniforms(seed, at[-1], n_paths, len(coming), symbol)
        decoded = self._sample(normalised.astype(np.float32)[None], stamp[None], coming, uniforms, window, how)
        return repair(decoded.astype(np.float64) * scale + mean, known)

    def _sample(
        self,
        normalised: Array,
        stamp: Array,
        coming: Array,
        uniforms: Array,
        window: int,
        how: tuple[float, int, float],
    ) -> Array:
        """Return (P, H, 6) normalised candles. All paths continue the same context."""
        n_paths, horizon = uniforms.shape[:2]
        s1, s2 = self._run("encode", normalised)
        hidden, s1_logits, keys, values, *of_s2 = self._run("prefill", s1, s2, stamp)
        hidden, s1_logits = (np.repeat(each, n_paths, axis=0) for each in (hidden, s1_logits))
        keys, values = (np.repeat(each, n_paths, axis=1) for each in (keys, values))
        of_s2 = [np.repeat(each, n_paths, axis=0) for each in of_s2]
        own: list[Array] = []
        for step in range(horizon):
            position = np.array([s1.shape[1] - 1 + step])
            first = choose(s1_logits, uniforms[:, step, 0], *how)[:, None]
            (s2_logits,) = self._run("fine", hidden, first, position, *of_s2)
            second = choose(s2_logits, uniforms[:, step, 1], *how)[:, None]
            own.append(np.stack([first, second]))
            if step + 1 < horizon:
                row = np.broadcast_to(coming[step], (n_paths, 1, coming.shape[-1]))
                seen = slice(-(window - 1), None)  # the oldest entries make room
                keys, values = keys[..., seen, :], values[..., seen, :]
                of_s2 = [each[..., seen, :] for each in of_s2]
                read = self._run("step", first, second, row, position + 1, keys, values, *of_s2)
                hidden, s1_logits, keys, values, *of_s2 = read
        context = np.stack([s1, s2])[:, :, -(window - horizon) :]
        tokens = np.concatenate([np.repeat(context, n_paths, axis=1), *own], axis=2)
        (decoded,) = self._run("decode", *tokens)
        return decoded[:, -horizon:]

    def _run(self, name: str, *inputs: Array) -> list[Array]:
        session = self._sessions[name]
        named = {each.name: np.ascontiguousarray(given) for each, given in zip(session.get_inputs(), inputs)}
        outputs: list[Array] = session.run(None, named)
        return outputs


def to_times(times: Sequence[Any] | Array) -> Array:
    """Return local times (T,) of datetime64; those with a zone are refused, because NumPy would turn them into UTC."""
    given = np.asarray(times)
    if given.dtype == object and any(getattr(each, "tzinfo", None) is not None for each in given.flat):
        raise ValueError(
            "the times have a time zone. Give the market's local times without one: times.tz_localize(None)."
        )
    return given.astype("datetime64[us]")


def check(known: Array, times: Array, future: Array, window: int) -> None:
    """Check candles (L, 6), their times (L,) and the times to forecast, fewer than the window."""
    if known.ndim != 2 or known.shape[1] != 6 or len(known) < 2 or not np.isfinite(known).all():
        raise ValueError(
            f"expected two or more candles (L, 6), all finite: open, high, low, close, volume, amount; got {known.shape}."
        )
    if times.shape != (len(known),) or future.ndim != 1 or not 0 < len(future) < window:
        raise ValueError(
            f"expected a time for each of {len(known)} candles and 1 to {window - 1} future times; got {times.shape} and "
            f"{future.shape}."
        )
    if (
        not (np.diff(np.concatenate([times[-1:], future])) > np.timedelta64(0)).all()
        or not (times[:-1] < times[1:]).all()
    ):
        raise ValueError("the times must ascend, and the future ones follow the last candle.")


def check_draws(n_paths: int, seed: int, temperature: float, top_k: int, top_p: float) -> None:
    """Check how paths are drawn."""
    if n_paths < 1 or seed < 0 or not 0 <= temperature <= HOTTEST or top_k < 0 or not 0 < top_p <= 1:
        raise ValueError(
            f"expected n_paths >= 1, seed >= 0, a temperature from 0 to {HOTTEST:g}, top_k >= 0 and top_p above 0, at most 1."
        )


def compute_calendar(times: Array) -> Array:
    """Return minute, hour, weekday (Monday 0), day and month of local times (T,), as (T, 5) float32."""
    minutes = times.astype("datetime64[m]")
    days = minutes.astype("datetime64[D]")
    of_day = (minutes - days).astype(np.int64)
    weekday = (days.astype(np.int64) + ORIGIN_WEEKDAY) % 7
    months = days.astype("datetime64[M]")
    day, month = (days - months).astype(np.int64) + 1, months.astype(np.int64) % 12 + 1
    return np.stack([of_day % 60, of_day // 60, weekday, day, month], axis=-1).astype(np.float32)


def measure(known: Array) -> tuple[Array, Array]:
    """Return the mean and the scale (1, 6) that candles are normalised by."""
    mean = known.mean(axis=0, keepdims=True)
    std = np.sqrt(np.square(known - mean).mean(axis=0, keepdims=True))
    epsilon = EPSILON * np.where(mean == 0, 1.0, np.minimum(np.abs(mean), 1.0))
    return mean, np.maximum(std + epsilon, np.finfo(np.float64).tiny)


def draw_uniforms(seed: int, origin: Any, n_paths: int, horizon: int, symbol: str = "") -> Array:
    """Return the random numbers (P, H, 2) in [0, 1) for s1 and s2; they depend on the origin, the symbol and the path."""
    number = int(np.datetime64(origin, "us").astype(np.int64)) % 2**64
    end = [int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "big")] if symbol else []
    generators = (np.random.default_rng([seed, number, path, *end]) for path in range(n_paths))
    return np.stack([each.random((horizon, 2), dtype=np.float32) for each in generators])


def choose(logits: Array, uniforms: Array, temperature: float, top_k: int, top_p: float) -> Array:
    """Return tokens (B,) drawn from logits (B, V) with uniforms (B,); greedily at a temperature of 0."""
    if temperature < COLDEST:
        greedy: Array = logits.argmax(-1)
        return greedy
    logits = logits.astype(np.float32) / np.float32(temperature)
    if 0 < top_k < logits.shape[-1]:
        logits = np.where(logits < np.sort(logits, axis=-1)[:, -top_k, None], -np.inf, logits)
    if top_p < 1:
        order = np.argsort(-logits, axis=-1, kind="stable")
        before = np.cumsum(_softmax(np.take_along_axis(logits, order, -1)), axis=-1)
        dropped = np.concatenate([np.zeros_like(before[:, :1], bool), before[:, :-1] >= top_p], axis=-1)
        excluded = np.zeros_like(dropped)
        np.put_along_axis(excluded, order, dropped, -1)
        logits = np.where(excluded, -np.inf, logits)
    cumulative = np.cumsum(_softmax(logits), axis=-1)
    cumulative /= cumulative[:, -1:]
    tokens: Array = np.minimum((cumulative <= uniforms[:, None]).sum(-1), logits.shape[-1] - 1)
    return tokens


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Array = raised / raised.sum(-1, keepdims=True)
    return probabilities


def repair(candles: Array, known: Array) -> Array:
    """Return candles (…, 6) with low ≤ open, close ≤ high, prices above 0 if all known ones are, and no negative volume."""
    prices, known_prices = candles[..., :4], known[:, :4]
    if (known_prices >= 0).all() and (known_prices > 0).any():
        floor = PRICE_FLOOR * known_prices[known_prices > 0].min()
        prices = np.where(prices <= 0, floor, prices)
    high, low = prices.max(-1), prices.min(-1)
    repaired = np.stack([prices[..., 0], high, low, prices[..., 3]], axis=-1)
    return np.concatenate([repaired, np.maximum(candles[..., 4:], 0)], axis=-1)
