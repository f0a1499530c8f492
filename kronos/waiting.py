"""How PyTorch's CPU threads wait for each other. OpenMP reads this from the environment when PyTorch is loaded."""

import os

SPIN_COUNT = "3000"  # turns of the loop in which a thread waits, after which it sleeps


def limit_thread_spinning() -> None:
    """Let waiting threads sleep soon, unless the user has set how they wait. Call this before PyTorch is imported.

    By default they spin for up to 20 ms. Beside another busy program that slows a small model down many times
    (benchmarks/busy_machine.py). `import kronos` calls this, the only thing that happens on import.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def is_number_given() -> bool:
    """Whether the user, or torchrun, has set the number of threads."""
    return bool(os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS"))
