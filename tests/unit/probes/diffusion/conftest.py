"""A small random network that fills in masks, and a masked language model in a folder."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from workbench.model.denoiser import Denoiser
from workbench.model.tiny import fill_randomly
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.training.scratch import ScratchShape, scratch_model


@pytest.fixture(scope="session")
def network():
    model = scratch_model(
        ["0123456789+=;# "], ScratchShape(layers=2, width=32, heads=2), seed=0,
        name="digits", pieces="characters",
    )  # fmt: skip
    model.tokenizer.add_special_tokens({"mask_token": "<unk>"})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.backend.module.parameters():
            fill_randomly(parameter, generator)
    return model


@pytest.fixture(scope="session")
def denoiser(network):
    return Denoiser.of(network)


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "<unk>"})
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("bert")
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
