"""What a model is, without its weights."""

from dataclasses import dataclass

ARRAY = "array"  # the architecture of a stand-in for vectors that came without a model


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The sizes and identity of a loaded model.

    `weights_hash` identifies the weights (sha256 of the files, or of the tensors for models
    built in memory) and the adapter on them, which `adapter` describes; `files_hash` all that was
    read with them, configuration and tokenizer included. So a stored number can be traced to what
    produced it.
    """

    name: str
    architecture: str
    n_layers: int
    n_heads: int
    n_key_value_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_parameters: int
    max_positions: int
    backend: str
    device: str
    dtype: str
    attention: str
    weights_hash: str
    adapter: str = ""
    files_hash: str = ""
