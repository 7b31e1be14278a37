"""Loaded models, shared by everything in one process."""

import threading
from collections import OrderedDict

from workbench.model.loading import load_model
from workbench.model.model import Model
from workbench.progress import Progress, silent
from workbench.runs.spec import ModelRef

_KEEP = 2
_models: OrderedDict[ModelRef, Model] = OrderedDict()
_lock = threading.Lock()


def shared_model(ref: ModelRef, progress: Progress = silent) -> Model:
    """Return the model of a spec, loading it the first time; the last two are kept.

    One whose files have changed since is loaded again.
    """
    with _lock:
        ref = ref.pinned()
        if ref not in _models:
            _models[ref] = load_model(
                ref.name,
                backend=ref.backend,
                device=ref.device,
                dtype=ref.dtype,
                attention=ref.attention or None,
                revision=ref.revision or None,
                device_map=ref.device_map or None,
                trust_remote_code=ref.trust_remote_code,
                progress=progress,
            )
        _models.move_to_end(ref)
        while len(_models) > _KEEP:
            _models.popitem(last=False)
        return _models[ref]
