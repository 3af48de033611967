"""The template that renders chats: the tokenizer's own, or that of a file, which must be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.errors import RequestError
from tests.trainables.chat_tokenizers import CHATML, chat_model, chat_tokenizer, trl_template
from tests.trainables.encoded_texts import spec
from trainables.data.causal_lm.chat_template import ChatTemplate, TemplateFails, chat_template
from trainables.data.tokenizer import load_tokenizer

CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def loaded(model: Path, file: Path | None = None) -> ChatTemplate:
    named = {} if file is None else {"chat_template": str(file)}
    search = spec(model, "causal-lm", messages="chat", **named)
    return chat_template(search, load_tokenizer(search))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("bare"), template=None)


def test_a_chat_is_rendered_as_the_tokenizer_does(tmp_path: Path) -> None:
    template = loaded(chat_model(tmp_path))
    assert template.render(CHAT) == template.tokenizer.apply_chat_template(CHAT, tokenize=False)
    assert template.render(CHAT[:1], asks=True) == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    assert not template.marks_turns


def test_a_file_takes_the_place_of_the_tokenizers_own(tmp_path: Path) -> None:
    file = tmp_path / "llama.jinja"
    file.write_text(trl_template("llama3_training"))
    template = loaded(chat_model(tmp_path / "model"), file)
    assert template.marks_turns
    text, turns = template.marked(CHAT)
    assert [text[start:end] for start, end in turns] == ["b<|eot_id|>"]


def test_the_date_is_the_same_on_every_day() -> None:
    rendered = ChatTemplate(chat_tokenizer(), trl_template("llama3_2")).render(CHAT)
    assert "Today Date: 26 Jul 2024" in rendered


def test_a_template_that_refuses_gives_its_reason() -> None:
    template = ChatTemplate(chat_tokenizer(), trl_template("gemma"))
    chat = [{"role": "system", "content": "s"}, *CHAT]
    with pytest.raises(TemplateFails, match=r"^System role not supported$"):
        template.render(chat)
    broken = ChatTemplate(chat_tokenizer(), "{{ messages[0].content + 1 }}{% generation %}{% endgeneration %}")
    for render in (broken.render, broken.marked):
        with pytest.raises(TemplateFails, match="str"):
            render(CHAT)


def test_a_tokenizer_without_a_template_is_refused_with_the_remedy(bare: Path) -> None:
    with pytest.raises(RequestError) as error:
        loaded(bare)
    assert str(error.value) == (
        f"model.path = {bare}: its tokenizer has no chat template; "
        "allowed for data.messages: data.chat_template: FILE, a template in Jinja"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file; allowed: a file with a chat template in Jinja"),
        (b" \n", "is empty; allowed: a file with a chat template in Jinja"),
        (b"\xff", "cannot be read ("),
        (b"{% for m in messages %}\n{{ m.content }", "line 2: unexpected '}'; allowed: a chat template in Jinja"),
        (b"{{ 'a' }}\n{% if %}{% endif %}", "line 2: "),
    ],
)
def test_a_file_that_is_no_template_is_one_line(
    bare: Path, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    file = tmp_path / "chat.jinja"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RequestError) as error:
        loaded(bare, file)
    assert str(error.value).startswith(f"data.chat_template = {file}: {problem}")
    assert "\n" not in str(error.value)


def test_a_template_may_refuse_a_chat_that_is_not_of_the_data(bare: Path, tmp_path: Path) -> None:
    """Some ask for a system message, for one."""
    file = tmp_path / "chat.jinja"
    file.write_text("{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML)
    assert loaded(bare, file).render([{"role": "system", "content": "s"}, *CHAT]).startswith("<|im_start|>system")
