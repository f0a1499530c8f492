"""Requests that arrive together are computed together, in the order of their arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Waiting(Generic[Kind, Item, Result]):
    kind: Kind
    item: Item
    since: float
    answer: asyncio.Future[Result]


@dataclass(eq=False)
class Batcher(Generic[Kind, Item, Result]):
    """Computes items of the same kind in batches, one batch at a time, in a thread of its own.

    compute: takes a kind and at most max_batch_size items, and returns a result for each.
    max_batch_size: items of one batch. batch_wait_timeout: seconds that the oldest item waits for company at most; while a
    batch is being computed, the next one gathers anyway.
    on_batch: called with the number of items and the seconds of each batch that was computed.
    """

    compute: Callable[[Kind, Sequence[Item]], Sequence[Result]]
    max_batch_size: int
    batch_wait_timeout: float
    on_batch: Callable[[int, float], object] = lambda n, seconds: None
    _waiting: list[_Waiting[Kind, Item, Result]] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "kronos-forecast"))

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(self, kind: Kind, items: Sequence[Item]) -> list[Result]:
        """Return the results of items. If the caller is cancelled, those that have not begun are dropped."""
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(kind, item, loop.time(), loop.create_future()) for item in items]
        self._waiting += waiting
        self._arrived.set()
        try:
            return list(await asyncio.gather(*(each.answer for each in waiting)))
        finally:
            for each in waiting:
                each.answer.cancel()
            self._waiting = [each for each in self._waiting if not each.answer.done()]

    async def run(self) -> None:
        """Compute what arrives, until cancelled."""
        try:
            while True:
                await self._gather()
                if self._waiting:
                    await self._compute(self._take())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _gather(self) -> None:
        """Wait for an item, then for its company."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        loop, oldest = asyncio.get_running_loop(), self._waiting[0]
        while len(self._list(oldest.kind)) < self.max_batch_size and self._waiting[:1] == [oldest]:
            left = oldest.since + self.batch_wait_timeout - loop.time()
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), max(left, 0))
            except TimeoutError:
                return

    def _list(self, kind: Kind) -> list[_Waiting[Kind, Item, Result]]:
        return [each for each in self._waiting if each.kind == kind]

    def _take(self) -> list[_Waiting[Kind, Item, Result]]:
        batch = self._list(self._waiting[0].kind)[: self.max_batch_size]
        taken = set(map(id, batch))
        self._waiting = [each for each in self._waiting if id(each) not in taken]
        return batch

    async def _compute(self, batch: Sequence[_Waiting[Kind, Item, Result]]) -> None:
        """Compute a batch and deliver. If it fails, each item is computed alone: one must not spoil the others."""
        loop, items = asyncio.get_running_loop(), [each.item for each in batch]
        start = loop.time()
        try:
            results = await loop.run_in_executor(self._thread, self.compute, batch[0].kind, items)
        except Exception as error:  # whatever it is, the next batch must be computed
            if len(batch) > 1:
                for each in batch:
                    await self._compute([each])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        self.on_batch(len(batch), loop.time() - start)
        for each, result in zip(batch, results):
            if not each.answer.done():
                each.answer.set_result(result)
