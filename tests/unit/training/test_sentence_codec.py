"""Lines, the codec and the latent model: one pass equals many, gradients go where they should."""

import pytest
import torch

from tests.networks import spread_network
from workbench.errors import BadOption, ModelError, Unsupported
from workbench.model.policy import Sampling
from workbench.model.tiny import tiny_model
from workbench.training.adapter import LoraShape
from workbench.training.codec import Known, SentenceCodec
from workbench.training.latent import LatentHeads, LatentModel
from workbench.training.lines import Lines, Worked, block, common_start
from workbench.training.network import CachedRun, FullTuning, Network, put, tuning
from workbench.training.scratch import ScratchShape, scratch_model, scratch_tokenizer
from workbench.training.writing import Drawing, write

PROBLEMS = [
    Worked(question="A on B, B on table", sentences=("<<Move A to table>>", "The answer is: 1")),
    Worked(
        question="B on A, A on C, C on table; goal A on B",
        sentences=("<<Move B to table>>", "<<Move A to B>>", "The answer is: 2"),
    ),
    Worked(question="A on table", sentences=("The answer is: 0",)),
]
TEXTS = [line for w in PROBLEMS for line in (w.question, *w.sentences)]


@pytest.fixture(scope="module")
def model():
    return spread_network(TEXTS, seed=3, weights=0)


@pytest.fixture
def network(model):
    return Network(model.backend.module)


@pytest.fixture
def codec(model, network):
    return SentenceCodec(network, model.tokenizer, "ctx-b")


def test_words_joined_are_the_text_again():
    tokenizer = scratch_tokenizer([*TEXTS, "\n"])
    text = "A on B, B on table\n<<Move A to table>>\nThe answer is: 1\n"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id not in ids
    assert tokenizer("zebra")["input_ids"] == [tokenizer.unk_token_id]
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "A on B"}], add_generation_prompt=True, return_dict=True
    )
    assert chat["input_ids"] == Lines(tokenizer).question("A on B")


def test_scratch_weights_depend_on_the_seed_alone():
    shape = ScratchShape(layers=1, width=16, heads=2)
    state = torch.random.get_rng_state()
    a, b, c = (scratch_model(TEXTS, shape, seed=s, name="x").spec.weights_hash for s in (0, 0, 1))
    assert a == b != c
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(BadOption):
        ScratchShape(width=20, heads=4)


def test_sentences_end_in_one_line_break_whatever_is_written():
    lines = Lines(scratch_tokenizer([*TEXTS, "\n"]))
    ids = lines.sentence("The answer\n is: 1")
    assert ids == lines.sentence("The answer is: 1")
    assert ids[-1] == lines.newline
    assert lines.newline not in ids[:-1]
    for written in (ids, ids[:-1], [*ids[:-1], lines.end], [*ids, lines.newline]):
        assert lines.closed(written) == ids
        assert lines.text(written) == "The answer is: 1"
    assert lines.prefix("A", ["B on A"]) == lines.question("A") + lines.sentence("B on A")
    assert common_start([[1, 2, 3], [1, 2], [1, 2, 4]]) == [1, 2]


def test_line_breaks_are_tokens_of_their_own_in_the_embedded_model(default_model):
    lines = Lines(default_model.tokenizer)
    ids = lines.prefix("One. Two.", ["Three.", "Four."])
    assert ids.count(lines.newline) == 3
    assert default_model.decode(ids) == "One. Two.\nThree.\nFour.\n"


def test_a_tokenizer_without_line_breaks_is_refused():
    with pytest.raises(Unsupported, match="line break"):
        Lines(tiny_model("llama").tokenizer)


def test_contextual_vectors_of_one_pass_are_those_of_one_pass_each(codec):
    together = codec.problem_vectors(PROBLEMS)
    for worked, found in zip(PROBLEMS, together, strict=True):
        context = [[worked.question, *worked.sentences[:i]] for i in range(len(worked.sentences))]
        alone = codec.encode(list(worked.sentences), context=context)
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)
        # The sentence itself is not looked at.
        other = codec.encode(["B"] * len(context), context=context)
        torch.testing.assert_close(other, alone)
    with pytest.raises(BadOption, match="what stands before it"):
        codec.encode(["A"])


def test_semantic_vectors_are_those_of_the_sentence_alone(model, network):
    semantic = SentenceCodec(network, model.tokenizer, "semantic")
    together = torch.cat(semantic.problem_vectors(PROBLEMS))
    alone = torch.cat([semantic.encode([s]) for w in PROBLEMS for s in w.sentences])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_token_losses_are_the_log_probabilities_of_the_decoder(codec):
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(5))
    decoded = codec.decode(vectors, limit=6)
    losses, mask = codec.token_losses(vectors, [one.ids for one in decoded])
    assert mask.sum(dim=1).tolist() == [len(one.ids) for one in decoded]
    mean = -(losses.sum(dim=1) / mask.sum(dim=1))
    torch.testing.assert_close(
        mean, torch.tensor([one.logprob for one in decoded]), atol=1e-5, rtol=1e-4
    )
    alone = [codec.decode(v[None], limit=6)[0] for v in vectors]
    assert [one.ids for one in alone] == [one.ids for one in decoded]
    assert codec.decode(vectors[:0]) == []


def test_a_codec_can_learn_to_write_what_it_read(model):
    grown = FullTuning(model)
    codec = SentenceCodec(Network(grown.module), model.tokenizer, "semantic")
    optimiser = torch.optim.AdamW(grown.parameters().values(), lr=5e-3)
    sentences = sorted({s for w in PROBLEMS for s in w.sentences})
    targets = [codec.lines.sentence(s) for s in sentences]
    for _ in range(150):
        optimiser.zero_grad()
        vectors = torch.cat(
            codec.problem_vectors([Worked(question="", sentences=tuple(sentences))])
        )
        codec.token_losses(vectors, targets)[0].sum().backward()
        optimiser.step()
    vectors = codec.encode(sentences)
    assert [one.text for one in codec.decode(vectors)] == sentences
    # A random vector of the same length is written too, and its sentence is less likely.
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    noise = noise / noise.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)
    known = [one.logprob for one in codec.decode(vectors)]
    assert min(known) > max(one.logprob for one in codec.decode(noise))


def test_nearest_known_sentences(model, network):
    known = Known(texts=("a", "b", "c"), vectors=torch.eye(3, 32))
    codec = SentenceCodec(network, model.tokenizer, "ctx-b", known)
    (found,) = codec.known.nearest(torch.eye(3, 32)[1:2] * 5 + 0.1 * torch.eye(3, 32)[2:3], 2)
    assert [text for text, _ in found] == ["b", "c"]
    assert found[0][1] == pytest.approx(1, abs=1e-3)
    assert codec.known.nearest(torch.zeros(2, 32), 0) == [(), ()]


def test_gradients_pass_a_frozen_decoder_into_the_vectors(model):
    grown = FullTuning(model)
    codec = SentenceCodec(Network(grown.module).freeze(), model.tokenizer, "ctx-b")
    vector = torch.randn(1, 32, requires_grad=True, generator=torch.Generator().manual_seed(0))
    codec.token_losses(vector, [codec.lines.sentence("The answer is: 1")])[0].sum().backward()
    assert vector.grad is not None
    assert float(vector.grad.norm()) > 0
    assert all(p.grad is None for p in grown.parameters().values())


def test_a_cached_run_with_holes_is_one_pass(network):
    ids, mask = block([[5, 6, 7, 8], [9, 10]], 0)
    more, mask2 = block([[11], [12, 13, 14]], 0)
    run = CachedRun(network, 2)
    run.append(network.embed(ids), mask)
    found = run.append(network.embed(more), mask2)
    for row, whole in zip(found, ([5, 6, 7, 8, 11], [9, 10, 12, 13, 14]), strict=True):
        alone = network.states(
            network.embed(torch.tensor([whole])), torch.ones(1, 5, dtype=torch.bool)
        )
        torch.testing.assert_close(row, alone[0, -1], atol=1e-5, rtol=1e-4)
    run.keep([1])
    after = run.append(network.embed(torch.tensor([[15]])))
    whole = torch.tensor([[9, 10, 12, 13, 14, 15]])
    alone = network.states(network.embed(whole), torch.ones(1, 6, dtype=torch.bool))
    torch.testing.assert_close(after[0], alone[0, -1], atol=1e-5, rtol=1e-4)


def test_written_tokens_are_those_of_the_model(model, network):
    rows = [[5, 6, 7, 8], [9, 10]]
    ids, mask = block(rows, 0)
    found = write(network, network.embed(ids), mask, stop=(1,), limit=7)
    for row, written in zip(rows, found, strict=True):
        for i in range(len(written.ids)):
            whole = torch.tensor([[*row, *written.ids[:i]]])
            states = network.states(network.embed(whole), torch.ones_like(whole, dtype=torch.bool))
            assert int(network.logits(states[:, -1]).argmax()) == written.ids[i]
    start = network.embed(ids[:1]), mask[:1]
    drawn = []
    for seed in (0, 0, 1):
        generators = [torch.Generator().manual_seed(seed)]
        drawing = Drawing(policy=Sampling(temperature=2.0), generators=generators)
        drawn.append(write(network, *start, stop=(1,), limit=7, drawing=drawing)[0].ids)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_latent_model_steps_as_it_was_trained(network):
    heads = LatentHeads(32, scale=0.5, generator=torch.Generator().manual_seed(1))
    latent = LatentModel(network, heads)
    questions = [[5, 6, 7], [8, 9, 10, 11, 12]]
    with torch.no_grad():
        run, found = latent.start(questions)
        steps, fed = [found], []
        for _ in range(3):
            fed.append(heads.shared(found))
            found = run.append(fed[-1][:, None])
            steps.append(found)
        whole = latent.forward(questions, [torch.stack([f[i] for f in fed]) for i in range(2)])
        first = latent.forward(questions, [torch.zeros(0, 32)] * 2)
    for i, row in enumerate(whole):
        torch.testing.assert_close(row, torch.stack([s[i] for s in steps]), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(first[i], row[:1], atol=1e-5, rtol=1e-4)


def test_whatever_is_fed_has_one_length():
    heads = LatentHeads(32, scale=0.25, generator=torch.Generator().manual_seed(1))
    vectors = torch.randn(4, 32) * torch.tensor([[0.01], [1.0], [30.0], [1000.0]])
    fed = heads.shared(vectors).square().mean(dim=-1).sqrt()
    torch.testing.assert_close(fed[1:], torch.full((3,), 0.25), atol=1e-4, rtol=1e-3)
    back = LatentHeads.restore(heads.state_dict(), 32)
    assert torch.equal(back.stop_logit(vectors), heads.stop_logit(vectors))
    assert not any(p.requires_grad for p in back.parameters())


def test_put_places_vectors_and_lets_gradients_through():
    embeds, vectors = torch.zeros(2, 3, 4, requires_grad=True), torch.ones(2, 4, requires_grad=True)
    found = put(embeds, [(0, 2), (1, 0)], vectors)
    assert found[0, 2].tolist() == found[1, 0].tolist() == [1.0] * 4
    found.sum().backward()
    assert embeds.grad is not None
    assert vectors.grad is not None
    assert (float(embeds.grad.sum()), float(vectors.grad.sum())) == (16, 8)
    assert put(embeds, [], vectors[:0]) is embeds


def test_weights_come_back_and_strangers_are_refused(model):
    for lora in (None, LoraShape(rank=2, part="both")):
        one, two = (
            tuning(model, lora, generator=torch.Generator().manual_seed(s), suffix=f"{s}")
            for s in (0, 1)
        )
        with torch.no_grad():
            for parameter in one.parameters().values():
                parameter.add_(0.1)
        two.load(one.tensors())
        ids = torch.tensor([[5, 6, 7]])
        a, b = (t.module(input_ids=ids).logits for t in (one, two))
        assert torch.equal(a, b)
        assert not torch.equal(a, model.backend.module(input_ids=ids).logits)
        with pytest.raises(ModelError):
            two.load({"nothing": torch.zeros(1)})
