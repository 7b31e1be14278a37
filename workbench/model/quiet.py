"""Other libraries' progress bars, off or turned into ours."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.progress import Progress

_LOCK = threading.RLock()


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep transformers and the hub client from drawing bars; warnings still pass."""
    from transformers.utils import logging

    with _LOCK:
        bars = logging.is_progress_bar_enabled()
        if bars:
            logging.disable_progress_bar()
        try:
            yield
        finally:
            if bars:
                logging.enable_progress_bar()


@contextmanager
def dequantising(progress: Progress, label: str) -> Iterator[None]:
    """Report transformers' GGUF loop, which knows no other way of being asked, to `progress`."""
    from transformers import modeling_gguf_pytorch_utils as home

    def counted(items: Iterable[Any], **_: object) -> Iterator[Any]:
        known = list(items)
        for done, item in enumerate(known):
            progress(done, len(known), label)
            yield item
        progress(len(known), len(known), label)

    with _LOCK:
        names = vars(home)
        bar = names["tqdm"]
        names["tqdm"] = counted
        try:
            yield
        finally:
            names["tqdm"] = bar
