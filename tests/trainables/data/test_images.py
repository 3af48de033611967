"""Images become the pixels that the processor makes of them, and are read from nowhere but their folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, ViTImageProcessorPil

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from tests.trainables.encoded_texts import MODEL, spec, table
from trainables.data.encoded_split import EncodedImages
from trainables.data.encoders import encoder
from trainables.data.images import ImageEncoder, open_image

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
