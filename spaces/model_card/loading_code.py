"""Python code that loads an export and predicts with it, as its model card shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from spaces.spec.sections import NAMED_CLASSES, WRITING, GenerationSection, Task

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
        generation: the settings with which a search wrote answers; its generation config is in the folder.
        chats: the tokenizer recognises control tokens of chats in texts, so prompts must be marked as plain text.
        after_spaces: the tokenizer knows words within a text by the space before them.
        answers: the model answers chats, by the tokenizer's chat template.
        stop: the control token that ends an answer, if it is not the tokenizer's end token.
        quantization: the settings of the base's `BitsAndBytesConfig`, if it is quantised.
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
    generation: GenerationSection | None = None
    after_spaces: bool = False
    answers: bool = False
    stop: str | None = None
    quantization: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join([*self._imports(), "", *self._load(), "", *self._predict(), ""])

    @property
    def _adapts(self) -> bool:
        return self.form != "merged"

    @property
    def _quantised(self) -> bool:
        return self._adapts and bool(self.quantization)

    @property
    def _computing(self) -> str:
        """The context of a forward: layers on quantised ones may give float32 outside of autocast."""
        mixed = ", torch.autocast(model.device.type, torch.bfloat16)"
        return f"torch.inference_mode(){mixed if self._quantised and self.dtype == 'bfloat16' else ''}"

    @property
    def _images(self) -> bool:
        return self.task is Task.IMAGE_CLASSIFICATION

    def _imports(self) -> list[str]:
        own = self.own_tuner and self.form == "peft"
        of_transformers = [CLASSES[self.task], "AutoImageProcessor" if self._images else "AutoTokenizer"]
        of_transformers += ["GenerationConfig"] if self.generation is not None else []
        of_transformers += ["BitsAndBytesConfig"] if self._quantised else []
        finds = self.generation is not None and self.generation.answer is not None
        return [
            *(["import json", "from pathlib import Path", ""] if self.task in NAMED_CLASSES else []),
            *(["import re", ""] if finds else []),
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
        if self._quantised:
            given = [f"    {name}={_literal(value)}," for name, value in self.quantization.items()]
            given += [f"    bnb_4bit_compute_dtype=torch.{self.dtype},"] if "load_in_4bit" in self.quantization else []
            lines += ["quantization = BitsAndBytesConfig(", *given, ")"]
            settings.append("quantization_config=quantization")
        return [
            *lines,
            f"base = {self._from_pretrained(place + settings)}",
            "model = PeftModel.from_pretrained(base, folder).eval()",
        ]

    def _from_pretrained(self, arguments: list[str]) -> str:
        listed = "".join(f"    {one},\n" for one in [*arguments, f"dtype=torch.{self.dtype}"])
        return f"{CLASSES[self.task]}.from_pretrained(\n{listed})"

    def _predict(self) -> list[str]:
        if self.task in WRITING:
            return self._write()
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
            f"with {self._computing}:",
            "    logits = model(**inputs).logits",
            *shown,
        ]

    def _tag(self) -> list[str]:
        read = '[[f" {word}" for word in words] for words in texts]' if self.after_spaces else "texts"
        cut = f"truncation=True, max_length={self.max_length}, padding=True"
        return [
            'texts = [["a", "first", "text"], ["a", "second", "one"]]',
            f'inputs = tokenizer({read}, is_split_into_words=True, {cut}, return_tensors="pt")',
            f"with {self._computing}:",
            "    logits = model(**inputs).logits",
            "for row, words in enumerate(texts):",
            "    places = inputs.word_ids(row)  # the word that each token is of",
            "    known = [place for place in range(len(words)) if place in places]",
            "    firsts = [places.index(place) for place in known]",
            "    tags = [labels[best] for best in logits[row, firsts].argmax(dim=1).tolist()]",
            '    print(" ".join(f"{words[place]}/{tag}" for place, tag in zip(known, tags)))',
        ]

    def _write(self) -> list[str]:
        """Return code that writes after prompts, as the search did if it had answers written."""
        settings, given = self._settings()
        generation = self.generation
        shown = "answer.strip()" if generation is not None else "answer"
        found = []
        if generation is not None and generation.answer is not None:
            found = [f"    found = re.search({_text(generation.answer)}, answer)"]
            shown = "found[1].strip() if found and found[1] else None"
        written = "written[0]" if self.task is Task.SEQ2SEQ_LM else "written[0, inputs.shape[1]:]"
        return [
            *settings,
            'prompts = ["a first prompt", "a second prompt"]',
            "for prompt in prompts:",
            *self._read_prompt(),
            f"    with {self._computing}:",
            "        written = model.generate(",
            *(f"            {one}," for one in ("input_ids=inputs", "attention_mask=torch.ones_like(inputs)", *given)),
            "        )",
            f"    answer = tokenizer.decode({written}, skip_special_tokens=True)",
            *(["    for stop in stops:", "        answer = answer.split(stop)[0]"] if generation is not None else []),
            *found,
            f'    print(f"{{prompt}} {{{shown}}}")',
        ]

    def _settings(self) -> tuple[list[str], list[str]]:
        """Return lines before the prompts, and arguments, both of which say how a model writes."""
        if self.generation is not None:
            return [
                "settings = GenerationConfig.from_pretrained(folder)",
                "stops, settings.stop_strings = settings.stop_strings or [], None",
                "model.generation_config = settings  # a base may come with sampling",
            ], []
        length = self.max_length if self.task is Task.SEQ2SEQ_LM else self._new_tokens
        greedy = [f"max_new_tokens={length}", "num_beams=1", "do_sample=False"]
        if self.task is Task.SEQ2SEQ_LM:
            return [], greedy
        end = "tokenizer.eos_token_id"
        ends = end if self.stop is None else f"[{end}, tokenizer.convert_tokens_to_ids({_text(self.stop)})]"
        return [], [*greedy, f"eos_token_id={ends}", "pad_token_id=tokenizer.pad_token_id"]

    @property
    def _new_tokens(self) -> int:
        """The tokens to write that share the room of `max_length` with the prompt; those of a search do not."""
        return 0 if self.generation is not None else min(NEW_TOKENS, self.max_length // 2)

    def _read_prompt(self) -> list[str]:
        """Return code of a loop that makes `inputs`, shape (1, tokens), of a `prompt`."""
        if self.task is Task.SEQ2SEQ_LM:
            cut = f"truncation=True, max_length={self.max_length}"
            return [f'    inputs = tokenizer(prompt, {cut}, return_tensors="pt")["input_ids"]']
        if self.answers:
            return [
                '    chat = [{"role": "user", "content": prompt}]',
                "    inputs = tokenizer.apply_chat_template(",
                '        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True',
                f'    )["input_ids"][:, -{max(1, self.max_length - self._new_tokens)}:]',
            ]
        begin = "[tokenizer.bos_token_id] + " if self.begins else ""
        as_text = ", split_special_tokens=True" if self.chats else ""
        kept = max(1, self.max_length - self._new_tokens - self.begins)
        return [
            f'    tokens = tokenizer(prompt, add_special_tokens=False{as_text})["input_ids"]',
            f"    inputs = torch.tensor([{begin}tokens[-{kept}:]])",
        ]


def _literal(value: object) -> str:
    return str(value) if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


def _text(value: str) -> str:
    """Return a text as a Python literal."""
    return json.dumps(value, ensure_ascii=False)
