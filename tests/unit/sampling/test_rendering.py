"""Messages and texts become ids in one way, with one token that opens a text."""

import pytest
from tokenizers.processors import TemplateProcessing

from workbench.errors import InputError, Unsupported
from workbench.model.model import Model
from workbench.model.tiny_tokenizer import tiny_tokenizer
from workbench.sampling.prompting import prompt_ids
from workbench.sampling.rendering import message_ids, text_ids
from workbench.sampling.task import Problem, open_task

OPENS = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
PROBLEM = Problem(id="p", question="the dog", answer="1")
ANSWERS = "{% if add_generation_prompt %} so{% endif %}"


def _tokenizer(template, *, single="<s> $A"):
    tokenizer = tiny_tokenizer()
    known = [(t, tokenizer.convert_tokens_to_ids(t)) for t in ("<s>", "</s>")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=known
    )
    tokenizer.chat_template = template
    return tokenizer


def _model(loaded, tokenizer):
    return Model(spec=loaded.spec, tokenizer=tokenizer, backend=loaded.backend)


@pytest.mark.parametrize("template", [OPENS + ANSWERS, OPENS.replace("{{ bos_token }}", "")])
def test_the_template_alone_opens_a_message(template, tiny_llama):
    tokenizer = _tokenizer(template)
    assert tokenizer("the dog")["input_ids"][0] == tokenizer.bos_token_id
    ids = message_ids(tokenizer, "the dog", name="some/model")
    assert ids.count(tokenizer.bos_token_id) == ("bos_token" in template)
    turn = [{"role": "user", "content": "the dog"}]
    rendered = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert ids == tokenizer(rendered, add_special_tokens=False)["input_ids"]
    task = open_task("arithmetic?examples=no")
    asked = prompt_ids(_model(tiny_llama, tokenizer), task, PROBLEM)
    assert asked.count(tokenizer.bos_token_id) == ("bos_token" in template)


def test_a_text_to_continue_does_not_end():
    tokenizer = _tokenizer(OPENS, single="<s> $A </s>")
    ids = tokenizer("the dog")["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id
    assert text_ids(tokenizer, "the dog") == ids[:-1]
    assert text_ids(_tokenizer(OPENS), "the dog") == ids[:-1]
    typed = text_ids(_tokenizer(OPENS, single="$A"), "the dog </s>")
    assert typed[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('no such role') }}", "no such role"),
        ("{{ messages[0]['content'] + 1 }}", "TypeError"),
        ("{{ messages[7]['content']['x'] }}", "UndefinedError"),
        ("{% for m in messages %}", "TemplateSyntaxError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ],
)
def test_a_template_that_fails_is_named_with_its_reason(template, reason, tiny_llama):
    tokenizer = _tokenizer(template)
    with pytest.raises(Unsupported, match=r"chat template of some/model fails") as told:
        message_ids(tokenizer, "the dog", name="some/model")
    assert reason in told.value.message
    task = open_task("arithmetic?examples=no")
    with pytest.raises(Unsupported, match="tiny:llama"):
        prompt_ids(_model(tiny_llama, tokenizer), task, PROBLEM)


def test_no_template_and_an_empty_one_are_told():
    with pytest.raises(InputError, match="some/model has no chat template"):
        message_ids(_tokenizer(None), "the dog", name="some/model")
    with pytest.raises(Unsupported, match="makes no tokens"):
        message_ids(_tokenizer("{{ '' }}"), "the dog", name="some/model")
