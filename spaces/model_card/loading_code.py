"""Python code that loads an export and predicts with it, as its model card shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from spaces.spec.sections import GenerationSection, Task

FOLDER = "PATH/TO/THIS/FOLDER"

NEW_TOKENS = 64
"""The most tokens that a language model writes; with its prompt never more than in training."""

CLASSES = {
    Task.SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.REGRESSION: "AutoModelForSequenceClassification",
    Task.CAUSAL_LM: "AutoModelForCausalLM",
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
        of_transformers += ["GenerationConfig"] if self.generation is not None else []
        classes = self.task in (Task.SEQUENCE_CLASSIFICATION, Task.IMAGE_CLASSIFICATION)
        finds = self.generation is not None and self.generation.answer is not None
        return [
            *(["import json", "from pathlib import Path", ""] if classes else []),
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
        if self.task in (Task.SEQUENCE_CLASSIFICATION, Task.IMAGE_CLASSIFICATION):
            lines.append('labels = json.loads((Path(folder) / "labels.json").read_text(encoding="utf-8"))')
        if self._images:
            lines.append('processor = AutoImageProcessor.from_pretrained(folder, backend="pil")')
        else:
            lines.append("tokenizer = AutoTokenizer.from_pretrained(folder)")
        if not self._adapts:
            return [*lines, f"model = {self._from_pretrained(['folder'])}.eval()"]
        place = [_text(f"PATH/TO/{self.base}" if self.is_folder else self.base)]
        settings = [] if self.revision is None else [f"revision={_text(self.revision)}"]
        if self.task is not Task.CAUSAL_LM:
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
            return self._generate()
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

    def _answer(self, generation: GenerationSection) -> list[str]:
        """Return code that writes answers as the search did, and shows what its metric compared."""
        begin = "[tokenizer.bos_token_id] + " if self.begins else ""
        as_text = ", split_special_tokens=True" if self.chats else ""
        kept = max(1, self.max_length - self.begins)
        shown = '    print(f"{prompt} {answer.strip()}")'
        if generation.answer is not None:
            shown = '    print(f"{prompt} {found[1].strip() if found and found[1] else None}")'
        return [
            "settings = GenerationConfig.from_pretrained(folder)",
            "stops, settings.stop_strings = settings.stop_strings or [], None",
            "model.generation_config = settings  # a base may come with sampling",
            'prompts = ["a first prompt", "a second prompt"]',
            "for prompt in prompts:",
            f'    tokens = tokenizer(prompt, add_special_tokens=False{as_text})["input_ids"]',
            f"    inputs = torch.tensor([{begin}tokens[-{kept}:]])",
            "    with torch.inference_mode():",
            "        written = model.generate(input_ids=inputs, attention_mask=torch.ones_like(inputs))",
            "    answer = tokenizer.decode(written[0, inputs.shape[1]:], skip_special_tokens=True)",
            "    for stop in stops:",
            "        answer = answer.split(stop)[0]",
            *([f"    found = re.search({_text(generation.answer)}, answer)"] if generation.answer is not None else []),
            shown,
        ]

    def _generate(self) -> list[str]:
        if self.generation is not None:
            return self._answer(self.generation)
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
