"""The assistant's turns of chats, token by token, by the templates of Llama, Qwen, Gemma, Phi and others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainables.chat_tokenizers import CHATML, chat_tokenizer, trl_template, trl_templates
from trainables.data.causal_lm.assistant_turns import Unclear, assistant_turns, turn_end
from trainables.data.causal_lm.chat_template import ChatTemplate
from trainables.data.causal_lm.chat_tokens import ChatTokenizer, Rendered
from trainables.data.causal_lm.messages import Chat

ASK, ANSWER, MORE, LAST = "What is 2 + 2?", "Four.", "And 3?", "It is three."
TWO_TURNS = Chat(
    (
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": MORE},
        {"role": "assistant", "content": LAST},
    ),
    (1, 3),
)
LLAMA = "<|start_header_id|>{}<|end_header_id|>\n\n"
DATED = "<|begin_of_text|>" + LLAMA.format("system") + (
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
)  # fmt: skip
QWEN = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"


def turns_of(
    begin: str, user: str, end: str, assistant: str, finish: str, last: str = "", close: str = ""
) -> list[str]:
    """Texts that are not learnt and learnt in turns: of makers whose templates differ in their marks alone."""
    return [
        f"{begin}{user}{ASK}{end}{assistant}",
        f"{ANSWER}{finish}",
        f"{user}{MORE}{end}{assistant}",
        f"{last}{LAST}{finish}{close}",
    ]


def of_llama(begin: str) -> list[str]:
    return turns_of(begin, LLAMA.format("user"), "<|eot_id|>", LLAMA.format("assistant"), "<|eot_id|>")


def of_chatml(begin: str = "", last: str = "") -> list[str]:
    end = "<|im_end|>\n"
    return turns_of(begin, "<|im_start|>user\n", end, "<|im_start|>assistant\n", end, last)


def of_gemma() -> list[str]:
    end = "<end_of_turn>\n"
    return turns_of("<|begin_of_text|>", "<start_of_turn>user\n", end, "<start_of_turn>model\n", end)


def of_phi() -> list[str]:
    return turns_of("", "<|user|>\n", "<|end|>\n", "<|assistant|>\n", "<|end|>\n", close="<|endoftext|>")


BY_HAND = {
    "chatml": of_chatml(),
    "llama3": of_llama("<|begin_of_text|>"),
    "llama3_training": of_llama("<|begin_of_text|>"),
    "llama3_1": of_llama(DATED),
    "llama3_2": of_llama(DATED),
    "qwen2_5": of_chatml(QWEN),
    "qwen2_5_vl_training": of_chatml("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"),
    "qwen3": of_chatml(last="<think>\n\n</think>\n\n"),
    "qwen3_instruct_2507": of_chatml(),
    "qwen3_instruct_2507_training": of_chatml(),
    "gemma": of_gemma(),
    "gemma_training": of_gemma(),
    "gemma3": of_gemma(),
    "gemma3_training": of_gemma(),
    "phi3": of_phi(),
    "phi3_training": of_phi(),
    "phi3_5": of_phi(),
    "phi3_5_training": of_phi(),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return chat_tokenizer()


def template(tokenizer: Any, name: str) -> ChatTemplate:
    return ChatTemplate(tokenizer, CHATML if name == "chatml" else trl_template(name))


def found(tokenizer: Any, template: ChatTemplate, chat: Chat) -> tuple[list[int], list[bool]]:
    text, turns = assistant_turns(template, chat)
    (tokens,) = ChatTokenizer(tokenizer).tokens([Rendered(text, turns)])
    return tokens.ids, tokens.learnt.tolist()


@pytest.mark.parametrize("name", BY_HAND)
def test_every_token_is_told_as_by_hand(tokenizer: Any, name: str) -> None:
    ids: list[int] = []
    learnt: list[bool] = []
    for place, text in enumerate(BY_HAND[name]):
        piece = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += piece
        learnt += [place % 2 == 1] * len(piece)
    assert tokenizer.decode(found(tokenizer, template(tokenizer, name), TWO_TURNS)[0]) == "".join(BY_HAND[name])
    assert found(tokenizer, template(tokenizer, name), TWO_TURNS) == (ids, learnt)


@pytest.mark.parametrize("name", [one for one in BY_HAND if one.endswith("_training")])
def test_marks_are_read_as_transformers_reads_them(tokenizer: Any, name: str) -> None:
    theirs = tokenizer.apply_chat_template(
        list(TWO_TURNS.messages), chat_template=trl_template(name), return_assistant_tokens_mask=True, return_dict=True
    )
    ids, learnt = found(tokenizer, template(tokenizer, name), TWO_TURNS)
    assert (ids, [int(one) for one in learnt]) == (theirs["input_ids"], theirs["assistant_masks"])


AGREE = {"cohere", "cohere2", "diffusion_gemma", "gemma", "gemma3", "lfm2", "lfm2_v2", "llama3", "phi3", "phi3_5"} | {
    "qwen2_5_vl",
    "qwen3_instruct_2507",
    "qwen3_vl",
}
ELSEWHERE = {"muse_glimmer", "qwen2_5", "qwen3_8"}
"""Templates whose twins mark a beginning that the template itself writes when it asks the assistant."""


def test_turns_are_where_trl_marks_them_or_the_template_is_refused(tokenizer: Any) -> None:
    names, agreeing, refused = trl_templates(), set(), set()
    for name in (one for one in names if f"{one}_training" in names):
        try:
            mine = assistant_turns(template(tokenizer, name), TWO_TURNS)
            theirs = assistant_turns(template(tokenizer, f"{name}_training"), TWO_TURNS)
        except Exception:
            refused.add(name)
            continue
        if mine[0] == theirs[0] and name not in ELSEWHERE:
            told = [[place for start, end in turns for place in range(start, end)] for _, turns in (mine, theirs)]
            assert told[0] == told[1], name
            agreeing.add(name)
    assert agreeing == AGREE
    assert {"gptoss", "idefics3", "smolvlm"} <= refused


def test_a_turn_that_begins_in_another_way_is_refused(tokenizer: Any) -> None:
    source = "{% for m in messages %}[{{ m.role }}{{ messages|length }}]{{ m.content }}{% endfor %}"
    with pytest.raises(
        Unclear, match=r"^renders what comes before message 2 in another way once that follows; allowed:"
    ):
        assistant_turns(ChatTemplate(tokenizer, source), TWO_TURNS)


@pytest.mark.parametrize(
    "after",
    [
        "{% if not loop.last %} Good!{% elif add_generation_prompt %} Go on!{% else %} Goodbye!{% endif %}",
        "{% if not loop.last %}<|end|>{% else %}<|endoftext|>{% endif %}",
    ],
)
def test_an_end_that_only_looks_common_is_refused(tokenizer: Any, after: str) -> None:
    source = "{% for m in messages %}{{ '\\n' + m.content }}" + after + "{% endfor %}"
    with pytest.raises(Unclear, match=r"^(does not tell where message 2 ends|renders what comes before)"):
        assistant_turns(ChatTemplate(tokenizer, source), TWO_TURNS)


def test_a_template_that_leaves_the_answer_out_is_refused(tokenizer: Any) -> None:
    source = CHATML.replace("message.content", "(message.content if message.role == 'user' else '…')")
    with pytest.raises(Unclear, match="does not write the content of message 2 into the assistant's turn"):
        assistant_turns(ChatTemplate(tokenizer, source), TWO_TURNS)


@pytest.mark.parametrize("name", ["chatml", "qwen3", "phi3", "llama3_training"])
def test_turns_of_a_prompt_are_not_learnt(tokenizer: Any, name: str) -> None:
    text, turns = assistant_turns(template(tokenizer, name), Chat(TWO_TURNS.messages, (3,)))
    learnt = "".join(text[start:end] for start, end in turns)
    assert learnt == BY_HAND[name][3]


@pytest.mark.parametrize(
    ("name", "end"),
    [("chatml", "<|im_end|>"), ("llama3_1", "<|eot_id|>"), ("gemma3", "<end_of_turn>"), ("phi3", "<|end|>")],
)
def test_an_answer_ends_with_the_first_control_token_after_it(tokenizer: Any, name: str, end: str) -> None:
    assert turn_end(template(tokenizer, name)) == end


def test_the_end_token_and_no_end_need_not_be_told(tokenizer: Any) -> None:
    for after in (tokenizer.eos_token, ""):
        assert turn_end(ChatTemplate(tokenizer, CHATML.replace("<|im_end|>", after))) is None


def test_content_that_looks_like_the_template_moves_no_end(tokenizer: Any) -> None:
    """A naive search for the content or for the next header would end the turn too early."""
    tricky = Chat(
        (
            {"role": "user", "content": "think"},
            {"role": "assistant", "content": "think\n<|user|>\nthink"},
            {"role": "user", "content": "think"},
            {"role": "assistant", "content": "think"},
        ),
        (1, 3),
    )
    for name, end in (("qwen3", "<|im_end|>\n"), ("phi3", "<|end|>\n"), ("llama3", "<|eot_id|>")):
        text, turns = assistant_turns(template(tokenizer, name), tricky)
        assert text[slice(*turns[0])] == f"think\n<|user|>\nthink{end}"
