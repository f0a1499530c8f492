"""A step of fixed shape, captured as a CUDA graph and replayed."""

import logging
from collections.abc import Callable

import torch

logger = logging.getLogger(__name__)

WARM_UP = 2  # plain steps before the capture, which load kernels and allocate their workspaces
REPAYS = 8  # the steps that must be left to make up for the capture


class StepGraph:
    """A step that does the same work each time: it reads and writes tensors that stay where they are.

    On a CUDA device it is captured once enough plain steps have run, and replayed from then on. Elsewhere, and where the
    capture fails, every step is plain.
    """

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self._step = step
        self._device = device
        self._can_capture = device.type == "cuda"
        self._n_plain = 0
        self._replay: Callable[[], None] | None = None

    def run(self, n_left: int) -> None:
        """Run the step once; this call runs it n_left times more, this time included."""
        if self._replay is None and self._can_capture and self._n_plain >= WARM_UP and n_left >= REPAYS:
            self._capture()
        if self._replay is not None:
            self._replay()
            return
        self._step()
        self._n_plain += 1

    def _capture(self) -> None:
        try:
            self._replay = capture_graph(self._step, self._device)
        except RuntimeError as error:
            self._can_capture = False
            logger.warning(
                "The decoding step cannot be captured as a CUDA graph (%s). Forecasts work, but more slowly.",
                str(error).splitlines()[0],
            )


def capture_graph(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Capture a step without running it, and return what replays it.

    Raises:
        RuntimeError: the step does something that no graph can hold.
    """
    graph = torch.cuda.CUDAGraph()
    # Other threads may use the GPU meanwhile, for example those that load batches.
    with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    return graph.replay
