"""Python code that loads an export and predicts with it, as its model card shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from spaces.spec.sections import NAMED_CLASSES, WRITING, Task

FOLDER = "PATH/TO/THIS/FOLDER"

NEW_TOKENS = 64
"""The most tokens that a language model writes; with its prompt never more than in training."""

CLASSES = {
    Task.SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.MULTI_LABEL_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.REGRESSION: "AutoModelForSequenceClassification",
    Task.CAUSAL_LM: "AutoModelForCausalLM",
    Task.SEQ2SEQ_LM: "AutoModelForSeq2SeqLM",
    Task.IMAGE_CLASSIFICATION: "AutoModelForImageClassification",
}


@dataclass(frozen=True)
class LoadingCode:
    """The code for one export; `str` of it is the source.

    Attributes:
        task: the task of the model.
        form: peft, merged, lora or stock.
        base: the base to load: a hub id or, with `is_folder`, a name that readers replace by a folder.
        is_folder: the base is a local folder.
        revision: branch, tag or commit of the base on the hub.
        dtype: data type of the base's weights.
        max_length: tokens after which inputs are cut.
        pair: an example has two texts.
        own_tuner: PEFT does not know the tuner until it is registered.
        tells_padding: the config of the base has no padding token.
        begins: prompts of a language model begin with the tokenizer's token for the beginning.
        chats: the tokenizer recognises control tokens of chats in texts, so prompts must be marked as plain text.
        after_spaces: the tokenizer knows words within a text by the space before them.
        answers: the model answers chats, by the tokenizer's chat template.
        stop: the control token that ends an answer, if it is not the tokenizer's end token.
    """

    task: Task
    form: str
    base: str
    is_folder: bool
    revision: str | None
    dtype: str
    max_length: int
    pair: bool = False
    own_tuner: bool = False
    tells_padding: bool = False
    begins: bool = False
    chats: bool = False
    after_spaces: bool = False
    answers: bool = False
    stop: str | None = None

    def __str__(self) -> str:
        return "\n".join([*self._imports(), "", *self._load(), "", *self._predict(), ""])

    @property
    def _adapts(self) -> bool:
        return self.form != "merged"

    @property
    def _images(self) -> bool:
        return self.task is Task.IMAGE_CLASSIFICATION

    def _imports(self) -> list[str]:
        own = self.own_tuner and self.form == "peft"
        of_transformers = [CLASSES[self.task], "AutoImageProcessor" if self._images else "AutoTokenizer"]
        return [
            *(["import json", "from pathlib import Path", ""] if self.task in NAMED_CLASSES else []),
            "import torch",
            *(["from peft import PeftModel"] if self._adapts else []),
            *(["from PIL import Image, ImageOps"] if self._images else []),
            f"from transformers import {', '.join(sorted(of_transformers))}",
            *(["", "from trainables import register_tuners"] if own else []),
            *(["", "register_tuners()  # makes PEFT know the tuners of paretune"] if own else []),
        ]

    def _load(self) -> list[str]:
        lines = [f"folder = {_text(FOLDER)}"]
        if self.task in NAMED_CLASSES:
            lines.append('labels = json.loads((Path(folder) / "labels.json").read_text(encoding="utf-8"))')
        if self._images:
            lines.append('processor = AutoImageProcessor.from_pretrained(folder, backend="pil")')
        else:
            lines.append("tokenizer = AutoTokenizer.from_pretrained(folder)")
        if not self._adapts:
            return [*lines, f"model = {self._from_pretrained(['folder'])}.eval()"]
        place = [_text(f"PATH/TO/{self.base}" if self.is_folder else self.base)]
        settings = [] if self.revision is None else [f"revision={_text(self.revision)}"]
        if self.task not in WRITING:
            count = "1" if self.task is Task.REGRESSION else "len(labels)"
            settings += [f"num_labels={count}", "ignore_mismatched_sizes=True"]
        if self.tells_padding:
            settings.append("pad_token_id=tokenizer.pad_token_id")
        return [
            *lines,
            f"base = {self._from_pretrained(place + settings)}",
            "model = PeftModel.from_pretrained(base, folder).eval()",
        ]

    def _from_pretrained(self, arguments: list[str]) -> str:
        listed = "".join(f"    {one},\n" for one in [*arguments, f"dtype=torch.{self.dtype}"])
        return f"{CLASSES[self.task]}.from_pretrained(\n{listed})"

    def _predict(self) -> list[str]:
        if self.task is Task.CAUSAL_LM:
            return self._answer() if self.answers else self._generate()
        if self.task is Task.SEQ2SEQ_LM:
            return self._rewrite()
        if self.task is Task.TOKEN_CLASSIFICATION:
            return self._tag()
        if self._images:
            named, call = "files", 'processor(images=images, return_tensors="pt")'
            given = [
                'files = ["first.png", "second.jpg"]',
                'images = [ImageOps.exif_transpose(Image.open(file)).convert("RGB") for file in files]',
            ]
        else:
            named, given, read = "texts", ['texts = ["a first text", "a second text"]'], "texts"
            if self.pair:
                given = [
                    'texts = [("a first text", "what it is compared with"), ("a second text", "another one")]',
                    "first, second = zip(*texts)",
                ]
                read = "list(first), list(second)"
            cut = f'truncation=True, max_length={self.max_length}, padding=True, return_tensors="pt"'
            call = f"tokenizer({read}, {cut})"
        if self.task is Task.REGRESSION:
            shown = [f"for one, value in zip({named}, logits.squeeze(1).tolist()):", '    print(f"{value:.4f}: {one}")']
        elif self.task is Task.MULTI_LABEL_CLASSIFICATION:
            shown = [
                f"for one, given in zip({named}, (logits > 0).tolist()):",
                '    print(f"{[label for label, has in zip(labels, given) if has]}: {one}")',
            ]
        else:
            shown = [
                f"for one, best in zip({named}, logits.argmax(dim=1).tolist()):",
                '    print(f"{labels[best]}: {one}")',
            ]
        return [
            *given,
            f"inputs = {call}",
            "with torch.inference_mode():",
            "    logits = model(**inputs).logits",
            *shown,
        ]

    def _tag(self) -> list[str]:
        read = '[[f" {word}" for word in words] for words in texts]' if self.after_spaces else "texts"
        cut = f"truncation=True, max_length={self.max_length}, padding=True"
        return [
            'texts = [["a", "first", "text"], ["a", "second", "one"]]',
            f'inputs = tokenizer({read}, is_split_into_words=True, {cut}, return_tensors="pt")',
            "with torch.inference_mode():",
            "    logits = model(**inputs).logits",
            "for row, words in enumerate(texts):",
            "    places = inputs.word_ids(row)  # the word that each token is of",
            "    firsts = [places.index(place) for place in range(len(words)) if place in places]",
            "    tags = [labels[best] for best in logits[row, firsts].argmax(dim=1).tolist()]",
            '    print(" ".join(f"{word}/{tag}" for word, tag in zip(words, tags)))',
        ]

    def _rewrite(self) -> list[str]:
        cut = f'truncation=True, max_length={self.max_length}, padding=True, return_tensors="pt"'
        return [
            'prompts = ["a first prompt", "a second prompt"]',
            f"inputs = tokenizer(prompts, {cut})",
            "with torch.inference_mode():",
            "    written = model.generate(",
            '        input_ids=inputs["input_ids"],',
            '        attention_mask=inputs["attention_mask"],',
            f"        max_new_tokens={self.max_length},",
            "        num_beams=1,",
            "        do_sample=False,",
            "    )",
            "for prompt, answer in zip(prompts, tokenizer.batch_decode(written, skip_special_tokens=True)):",
            '    print(f"{prompt} {answer}")',
        ]

    def _answer(self) -> list[str]:
        end = "tokenizer.eos_token_id"
        stop = end if self.stop is None else f"[{end}, tokenizer.convert_tokens_to_ids({_text(self.stop)})]"
        return [
            'questions = ["a first question", "a second question"]',
            "for question in questions:",
            '    chat = [{"role": "user", "content": question}]',
            "    inputs = tokenizer.apply_chat_template(",
            '        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True',
            '    )["input_ids"]',
            "    with torch.inference_mode():",
            "        written = model.generate(",
            "            input_ids=inputs,",
            "            attention_mask=torch.ones_like(inputs),",
            f"            max_new_tokens={min(NEW_TOKENS, self.max_length // 2)},",
            "            do_sample=False,",
            f"            eos_token_id={stop},",
            "            pad_token_id=tokenizer.pad_token_id,",
            "        )",
            "    answer = tokenizer.decode(written[0, inputs.shape[1]:], skip_special_tokens=True)",
            '    print(f"{question} {answer}")',
        ]

    def _generate(self) -> list[str]:
        begin = "[tokenizer.bos_token_id] + " if self.begins else ""
        as_text = ", split_special_tokens=True" if self.chats else ""
        written = min(NEW_TOKENS, self.max_length // 2)
        kept = max(1, self.max_length - written - self.begins)
        return [
            'prompts = ["a first prompt", "a second prompt"]',
            "for prompt in prompts:",
            f'    tokens = tokenizer(prompt, add_special_tokens=False{as_text})["input_ids"]',
            f"    inputs = torch.tensor([{begin}tokens[-{kept}:]])",
            "    with torch.inference_mode():",
            "        written = model.generate(",
            "            input_ids=inputs,",
            "            attention_mask=torch.ones_like(inputs),",
            f"            max_new_tokens={written},",
            "            do_sample=False,",
            "            eos_token_id=tokenizer.eos_token_id,",
            "            pad_token_id=tokenizer.pad_token_id,",
            "        )",
            "    answer = tokenizer.decode(written[0, inputs.shape[1]:], skip_special_tokens=True)",
            '    print(f"{prompt} {answer}")',
        ]


def _text(value: str) -> str:
    """Return a text as a Python literal."""
    return json.dumps(value, ensure_ascii=False)
