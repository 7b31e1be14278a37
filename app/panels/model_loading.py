"""Models and plugins loaded in the background, so that no page waits for them in silence."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs.run import Failure
from workbench.runs.spec import ModelRef

_KEEP = 4


@dataclass(kw_only=True, eq=False)
class Loading:
    """One piece of loading: what is being loaded, since when, and how it ended."""

    what: str
    began: float = field(default_factory=time.monotonic)
    finished: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    failure: Failure | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or badly."""
        return self.finished.is_set()

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self.began


class Loader:
    """What this server has loaded, shared by all its browser sessions."""

    def __init__(self) -> None:
        """Start with nothing loaded."""
        self._lock = threading.Lock()
        self._known: dict[Hashable, Loading] = {}

    def plugins(self) -> Loading:
        """Begin to import the plugins, and torch with them, unless that was begun already."""
        return self._get("plugins", "the probes", _import_plugins)

    def model(self, ref: ModelRef) -> Loading:
        """Begin to load a model unless that was begun already; its value is the Model."""
        plugins = self.plugins()

        def load() -> Any:
            plugins.finished.wait()
            from workbench.runs.models import shared_model

            return shared_model(ref)

        return self._get(ref, ref.name, load)

    def backends(self, ref: ModelRef) -> Loading:
        """Begin to reach inside a model in every way there is; its value is name to model."""
        model = self.model(ref)

        def load() -> Any:
            model.finished.wait()
            from workbench.model.backends import BACKENDS
            from workbench.model.wrap import wrap_model

            if model.value is None:
                return {}
            spec, tokenizer = model.value.spec, model.value.tokenizer
            known = {"name": spec.name, "weights_hash": spec.weights_hash}
            module = model.value.backend.plain
            return {b: wrap_model(module, tokenizer, backend=b, **known) for b in BACKENDS}

        return self._get(("backends", ref), f"the backends of {ref.name}", load)

    def forget(self, ref: ModelRef) -> None:
        """Let a model that could not be loaded be tried again."""
        with self._lock:
            self._known.pop(ref, None)

    def _get(self, key: Hashable, what: str, load: Callable[[], Any]) -> Loading:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                return known
            loading = self._known[key] = Loading(what=what)
            for old in [k for k in self._known if k != "plugins"][:-_KEEP]:
                del self._known[old]
        name = f"load {what}"
        threading.Thread(target=_load, args=(loading, load), name=name, daemon=True).start()
        return loading


def _load(loading: Loading, load: Callable[[], Any]) -> None:
    try:
        loading.value = load()
    except WorkbenchError as error:
        loading.failure = Failure.of(error)
    except Exception as error:  # the front-end door: shown on the page, never lost in a thread
        loading.failure = Failure.of(error)
    finally:
        loading.finished.set()


def _import_plugins() -> None:
    from workbench.methods.registry import import_plugins

    import_plugins()


LOADER = Loader()
