from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, CLIPImageProcessorPil, GPT2Config, PreTrainedTokenizerFast, ViTImageProcessorPil

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from tests.trainables.encoded_texts import MODEL, spec, table, tokens
from trainables.data.encoded_split import Cut, EncodedImages, EncodedTokens
from trainables.data.encoders import encoder
from trainables.data.images import ImageEncoder, open_image
from trainables.data.prompts import cut

# --- texts


def test_texts_are_what_the_tokenizer_makes_of_them() -> None:
    texts = ["A short one.", "words " * 50]
    split = encoder(spec(MODEL)).encode(table(text=texts), np.array([1, 0]))
    expected = AutoTokenizer.from_pretrained(MODEL)(texts, truncation=True, max_length=16)
    assert tokens(split) == expected["input_ids"]
    assert [len(row) for row in tokens(split)] == [6, 16]
    batch = split.take(np.array([0, 1]))
    padded = AutoTokenizer.from_pretrained(MODEL)(
        texts, truncation=True, max_length=16, padding="longest", return_tensors="pt"
    )
    assert batch.keys() == {*padded, "labels"}
    for name, tensor in padded.items():
        torch.testing.assert_close(batch[name], tensor)


def test_pairs_are_told_apart_by_their_token_types() -> None:
    pair = encoder(spec(MODEL, text=["a", "b"], max_length=32))
    split = pair.encode(table(a=["one two"], b=["three"]), np.array([0]))
    assert tokens(split, "token_type_ids") == [[0, 0, 0, 0, 1, 1]]
    assert pair.columns == (("data.text", "a"), ("data.text", "b"))


def test_a_long_pair_is_cut_where_it_is_longest() -> None:
    split = encoder(spec(MODEL, text=["a", "b"])).encode(table(a=["word " * 99], b=["three"]), np.array([0]))
    assert sum(tokens(split, "token_type_ids")[0]) == 2
    assert len(tokens(split)[0]) == 16


def test_rows_that_are_cut_are_counted() -> None:
    """Against the tokenizer alone: those with more tokens than their room, not those that just fit."""
    texts = ["word " * count for count in (1, 13, 14, 15, 50)]
    split = encoder(spec(MODEL)).encode(table(text=texts), None)
    lengths = [len(row) for row in AutoTokenizer.from_pretrained(MODEL)(texts)["input_ids"]]
    assert lengths == [3, 15, 16, 17, 52]
    assert split.cut == Cut(rows=2, longest=52)
    pairs = encoder(spec(MODEL, text=["a", "b"])).encode(table(a=texts, b=["x"] * 5), None)
    assert pairs.cut == Cut(rows=4, longest=54)
    assert encoder(spec(MODEL)).encode(table(text=texts[:2]), None).cut == Cut(longest=15)


@pytest.mark.parametrize(("columns", "least"), [(["text"], 3), (["text", "text"], 5)])
def test_a_length_without_room_for_text_is_refused(columns: list[str], least: int) -> None:
    with pytest.raises(RequestError, match=rf"data\.max_length = {least - 1}: no room .*; allowed: at least {least}$"):
        encoder(spec(MODEL, text=columns, max_length=least - 1))
    split = encoder(spec(MODEL, text=columns, max_length=least)).encode(table(text=["one two"]), None)
    assert len(tokens(split)[0]) == least


def test_a_text_of_nothing_that_the_tokenizer_keeps_is_named() -> None:
    with pytest.raises(RequestError, match=r"row 2: .* has no tokens; allowed: text with any"):
        encoder(spec(MODEL)).encode(table(text=["a", "\u200b"]), None)


def test_a_model_without_tokenizer_files_is_refused(tmp_path: Path) -> None:
    shutil.copy(MODEL / "config.json", tmp_path)
    with pytest.raises(RequestError, match="has no tokenizer; allowed: a model with its tokenizer files"):
        encoder(spec(tmp_path))


def test_an_absent_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        encoder(spec(tmp_path / "absent"))
    assert str(error.value).startswith(f"model.path = {tmp_path / 'absent'}: cannot be read (")
    assert str(error.value).endswith("); allowed: a model folder or a hub id")
    assert "\n" not in str(error.value)


def test_more_tokens_than_the_model_has_positions_are_refused() -> None:
    with pytest.raises(RequestError, match=r"data\.max_length = 513: too long for .*; allowed: at most 512"):
        encoder(spec(MODEL, max_length=513))


# --- prompts and responses


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer that begins texts with a token of its own and has none for padding."""
    folder = tmp_path_factory.mktemp("decoder")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["one two three four"] * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    GPT2Config(vocab_size=len(fast), n_positions=64, n_layer=1, n_head=1, n_embd=8).save_pretrained(folder)
    return folder


def causal(path: Path, max_length: int) -> SearchSpec:
    return spec(path, "causal-lm", max_length, prompt="ask", response="answer")


def test_only_response_and_end_are_learnt(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    split = encoder(causal(decoder, 32)).encode(table(ask=["one two"], answer=[" three"]), None)
    ask = tokenizer("one two", add_special_tokens=False)["input_ids"]
    answer = [*tokenizer(" three", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert tokens(split) == [[tokenizer.bos_token_id, *ask, *answer]]
    assert tokens(split, "labels") == [[-100] * (1 + len(ask)) + answer]
    assert split.take(np.array([0])).keys() == {"input_ids", "attention_mask", "labels"}


def test_padding_is_never_learnt_though_it_is_the_end_token(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    split = encoder(causal(decoder, 32)).encode(table(ask=["a", "a"], answer=["b", "bcdef"]), None)
    batch = split.take(np.array([0, 1]))
    assert batch["input_ids"][0].tolist()[4:] == [tokenizer.eos_token_id] * 4
    assert batch["labels"][0].tolist() == [-100, -100, *batch["input_ids"][0, 2:4].tolist(), *[-100] * 4]
    assert batch["attention_mask"][0].tolist() == [1] * 4 + [0] * 4


def test_a_long_prompt_loses_its_beginning_and_keeps_the_special_token(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    split = encoder(causal(decoder, 8)).encode(table(ask=["abcdefghijkl"], answer=["xy"]), None)
    assert tokenizer.convert_ids_to_tokens(tokens(split)[0]) == ["<s>", "i", "j", "k", "l", "x", "y", "</s>"]


def test_responses_that_lose_their_end_are_counted(decoder: Path) -> None:
    asks = ["abcd", "abcdefghijkl", "a", "abcdefgh"]
    answers = ["xy", "xy", "klmnopqrst", "klmnopqrst"]
    split = encoder(causal(decoder, 10)).encode(table(ask=asks, answer=answers), None)
    end = AutoTokenizer.from_pretrained(decoder).eos_token_id
    assert [row[-1] == end for row in tokens(split)] == [True, True, False, False]
    assert [len(row) for row in tokens(split)] == [8, 10, 10, 10]
    assert split.cut == Cut(rows=3, responses=2, longest=1 + 8 + 10 + 1)


row = st.lists(st.integers(), min_size=1, max_size=12)


@given(prompt=row, response=row, room=st.integers(1, 20))
def test_cut_keeps_the_end_of_the_prompt_and_the_start_of_the_response(
    prompt: list[int], response: list[int], room: int
) -> None:
    before, after = cut(prompt, response, room)
    assert before == prompt[len(prompt) - len(before) :]
    assert after == response[: len(after)]
    assert len(before) + len(after) == min(room, len(prompt) + len(response))
    assert len(after) >= min(len(response), (room + 1) // 2)
    assert len(before) >= min(len(prompt), room // 2)


@pytest.mark.parametrize("column", ["ask", "answer"])
def test_an_empty_prompt_or_response_is_named(decoder: Path, column: str) -> None:
    columns = {"ask": ["a", "b"], "answer": ["c", "d"], column: ["a", " "]}
    with pytest.raises(RequestError, match=f"row 2: column '{column}' is empty; allowed: text"):
        encoder(causal(decoder, 16)).encode(table(**columns), None)


def test_a_tokenizer_without_end_token_cannot_learn_responses() -> None:
    with pytest.raises(RequestError, match=r"its tokenizer has no end token; allowed for causal-lm: one that has$"):
        encoder(causal(MODEL, 16))


def test_a_decoder_that_classifies_pads_with_its_end_token(decoder: Path) -> None:
    split = encoder(spec(decoder)).encode(table(text=["a", "abc"]), np.array([0, 1]))
    assert isinstance(split, EncodedTokens)
    assert split.pad_token_id == AutoTokenizer.from_pretrained(decoder).eos_token_id


# --- images


PROCESSORS = {
    "resized": ViTImageProcessorPil(size={"height": 8, "width": 8}),
    "cropped": CLIPImageProcessorPil(size={"shortest_edge": 10}, crop_size={"height": 8, "width": 8}),
    "raw": ViTImageProcessorPil(size={"height": 8, "width": 8}, do_rescale=False, do_normalize=False),
    "unnormalised": ViTImageProcessorPil(size={"height": 8, "width": 8}, do_normalize=False),
}


class TwiceRescaled(ViTImageProcessorPil):  # type: ignore[misc]
    """A processor whose last step is not the rescaling that its attributes tell."""

    def rescale(self, image: Any, scale: float, **options: Any) -> Any:
        return super().rescale(image, scale, **options) ** 2


def picture(mode: str = "RGB", size: tuple[int, int] = (12, 9), seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def encoded_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def image_spec(folder: Path, processor: Any) -> SearchSpec:
    processor.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
    return spec(folder, "image-classification", image="picture")


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_what_the_processor_makes_of_them(tmp_path: Path, name: str) -> None:
    pictures = [picture(seed=seed) for seed in range(3)]
    images = encoder(image_spec(tmp_path, PROCESSORS[name]))
    split = images.encode(table(picture=[encoded_bytes(one) for one in pictures]), np.array([0, 1, 0]))
    assert isinstance(split, EncodedImages)
    assert split.pixels.dtype == np.uint8
    batch = split.take(np.array([2, 0]))
    expected = PROCESSORS[name](images=[pictures[2], pictures[0]], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(batch["pixel_values"], expected.float(), atol=1e-5, rtol=0)
    assert batch["labels"].tolist() == [0, 0]


def test_pixels_stay_float_when_scaling_is_not_all_that_is_left(tmp_path: Path) -> None:
    processor = TwiceRescaled(size={"height": 8, "width": 8})
    split = ImageEncoder(processor, (("data.image", "picture"),)).encode(
        table(picture=[encoded_bytes(picture())]), np.array([0])
    )
    assert split.pixels.dtype == np.float32
    expected = processor(images=[picture()], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(split.take(np.array([0]))["pixel_values"], expected)


def test_a_cell_may_be_a_path_or_bytes_or_both_in_a_mapping(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    content = encoded_bytes(picture())
    absolute, relative = str(tmp_path / "a.png"), "a.png"
    cells = [relative, absolute, content, {"bytes": content, "path": "absent"}, {"bytes": None, "path": relative}]
    rows = table(tmp_path, picture=cells)
    for position in range(len(cells)):
        assert open_image(rows, "picture", position).tobytes() == picture().tobytes()


def test_of_the_hub_only_its_library_says_where_an_image_lies(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    path = str(tmp_path / "a.png")
    rows = table(None, picture=[{"bytes": None, "path": path}, path])
    assert open_image(rows, "picture", 0).tobytes() == picture().tobytes()
    with pytest.raises(RequestError, match=r"row 2: image .*: elsewhere; allowed: a path within the folder"):
        open_image(rows, "picture", 1)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_8_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tiff" if mode == "CMYK" else "png"
    picture(mode).save(tmp_path / f"a.{suffix}")
    opened = open_image(table(tmp_path, picture=[f"a.{suffix}"]), "picture", 0)
    assert opened.mode == "RGB"
    assert opened.size == (12, 9)


def test_grey_stays_grey(tmp_path: Path) -> None:
    picture("L").save(tmp_path / "a.png")
    values = np.asarray(open_image(table(tmp_path, picture=["a.png"]), "picture", 0))
    np.testing.assert_array_equal(values, np.repeat(np.asarray(picture("L"))[..., None], 3, axis=2))


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the camera was held on its side
    picture().save(tmp_path / "a.png", exif=exif)
    assert open_image(table(tmp_path, picture=["a.png"]), "picture", 0).size == (9, 12)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("absent.png", "row 2: unreadable image ([Errno 2] No such file"),
        ("broken.png", "row 2: unreadable image ("),
        (b"no image", "row 2: unreadable image (cannot identify image"),
        ("deep.png", "row 2: image of mode I;16; allowed: 8 bits a channel"),
        (None, "row 2: column 'picture' has no image; allowed: a path or encoded bytes"),
        ("", "row 2: column 'picture' has no image; allowed: a path or encoded bytes"),
        ({"bytes": None, "path": None}, "row 2: column 'picture' has no image; allowed: a path or encoded bytes"),
        (7, "row 2: column 'picture' has no image; allowed: a path or encoded bytes"),
        ("/etc/hostname", "row 2: image /etc/hostname: elsewhere; allowed: a path within the folder of its file"),
        ("a/../../b.png", "row 2: image a/../../b.png: elsewhere; allowed: a path within the folder of its file"),
        ({"path": "../b.png"}, "row 2: image ../b.png: elsewhere; allowed: a path within the folder of its file"),
    ],
)
def test_a_bad_image_is_named(tmp_path: Path, cell: Any, message: str) -> None:
    (tmp_path / "broken.png").write_bytes(encoded_bytes(picture())[:-60])
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)).save(tmp_path / "deep.png")
    images = encoder(image_spec(tmp_path, PROCESSORS["resized"]))
    with pytest.raises(RequestError) as error:
        images.encode(table(tmp_path, picture=[encoded_bytes(picture()), cell]), np.array([0, 1]))
    assert str(error.value).startswith(f"data.train = x.csv: {message}")


def test_images_that_the_processor_leaves_of_different_sizes_are_refused(tmp_path: Path) -> None:
    images = encoder(image_spec(tmp_path, ViTImageProcessorPil(do_resize=False)))
    cells = [encoded_bytes(picture()), encoded_bytes(picture(size=(10, 9)))]
    with pytest.raises(RequestError, match=r"row 2: image of shape \(3, 9, 10\); allowed: \(3, 9, 12\) as the first"):
        images.encode(table(picture=cells), np.array([0, 1]))


def test_a_model_without_image_processor_is_refused() -> None:
    with pytest.raises(
        RequestError, match=r"no image processor can be loaded \(.*\); allowed: a model with its preprocessor_config"
    ):
        encoder(spec(MODEL, "image-classification", image="picture"))
