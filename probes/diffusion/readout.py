"""At which step a linear probe first reads the answer off the states where it will stand."""

import numpy as np
from jaxtyping import Bool, Float, Int

_PENALTY = 1e-2
Read = Bool[np.ndarray, "text layer step"]


def answers_read(
    states: Float[np.ndarray, "text step layer kept d_model"],
    tokens: Int[np.ndarray, "text kept"],
    generator: np.random.Generator | None = None,
) -> Read:
    """Return whether the whole answer is read, of each text by probes of the other half.

    A probe is a ridge fit to the tokens at one answer position and layer, on the states of all
    steps. With a generator the answers of the texts it learns from are shuffled: the control.
    """
    n, steps, layers, kept, _ = states.shape
    halves = np.arange(n) % 2
    read = np.ones((n, layers, steps), dtype=bool)
    for half in (0, 1):
        learn, other = halves != half, halves == half
        told = tokens[learn]
        told = told if generator is None else generator.permutation(told)
        for layer in range(layers):
            for slot in range(kept):
                x = states[:, :, layer, slot].astype(np.float64)
                found = _predicted(x[learn], told[:, slot], x[other])
                read[other, layer] &= found == tokens[other, slot, None]
    return read


def first_read(read: Read) -> Float[np.ndarray, "text layer"]:
    """Return the share of steps before the answer is read for good; 1 where it never is."""
    steps = read.shape[-1]
    lasting = np.flip(np.flip(read, axis=-1).cumprod(axis=-1), axis=-1)
    return np.asarray(1 - lasting.sum(axis=-1) / steps)


def _predicted(
    learn: Float[np.ndarray, "n step d_model"],
    tokens: Int[np.ndarray, " n"],
    other: Float[np.ndarray, "m step d_model"],
) -> Int[np.ndarray, "m step"]:
    classes, label = np.unique(tokens, return_inverse=True)
    x = learn.reshape(-1, learn.shape[-1])
    y = np.eye(len(classes))[np.repeat(label, learn.shape[1])]
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    x = (x - mean) / scale
    gram = x.T @ x + _PENALTY * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - y.mean(axis=0)))
    scores = (other - mean) / scale @ weights + y.mean(axis=0)
    return np.asarray(classes[scores.argmax(axis=-1)])
