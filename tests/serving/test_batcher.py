"""Batches: what arrives together is computed together, and nothing is lost or mixed up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from kronos.serving.batcher import Batcher


def run_with(compute: Callable, use: Callable[[Batcher], Awaitable], size: int = 4, wait: float = 0.01) -> None:
    async def run() -> None:
        batcher = Batcher(compute, size, wait)
        task = asyncio.create_task(batcher.run())
        try:
            await asyncio.wait_for(use(batcher), 20)
            assert not len(batcher)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_items_of_a_kind_are_computed_together_in_their_order() -> None:
    batches: list[tuple[str, int]] = []

    def compute(kind: str, items: Sequence[int]) -> list[str]:
        batches.append((kind, len(items)))
        return [f"{kind}{each}" for each in items]

    async def use(batcher: Batcher) -> None:
        asked = [("ab"[n % 2], n) for n in range(200)]
        answers = await asyncio.gather(*(batcher.submit(kind, [n, -n]) for kind, n in asked))
        assert answers == [[f"{kind}{n}", f"{kind}{-n}"] for kind, n in asked]

    run_with(compute, use)
    assert sum(n for _, n in batches) == 400 and max(n for _, n in batches) == 4
    assert len(batches) <= 102


def test_an_item_that_fails_spoils_no_other() -> None:
    def compute(kind: str, items: Sequence[int]) -> list[float]:
        return [1 / each for each in items]

    async def use(batcher: Batcher) -> None:
        answers = await asyncio.gather(*(batcher.submit("a", [n]) for n in (1, 0, 2)), return_exceptions=True)
        assert answers[0] == [1.0] and answers[2] == [0.5] and isinstance(answers[1], ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            await batcher.submit("a", [4, 0])
        assert await batcher.submit("a", [4]) == [0.25]

    run_with(compute, use)


def test_what_nobody_waits_for_is_not_computed() -> None:
    computed: list[int] = []

    def compute(kind: str, items: Sequence[int]) -> list[int]:
        computed.extend(items)
        return list(items)

    async def use(batcher: Batcher) -> None:
        left = asyncio.create_task(batcher.submit("a", [1, 2]))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        assert await batcher.submit("a", [3, 4, 5, 6]) == [3, 4, 5, 6]

    run_with(compute, use, wait=30)
    assert computed == [3, 4, 5, 6]
