"""Reads images and runs the base model's image processor on them."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from transformers import AutoImageProcessor

from spaces.errors import one_line
from spaces.spec.spec import SearchSpec
from trainables.allowed_folders import Outside, open_inside
from trainables.base_model.model_files import reading, source_of
from trainables.data.encoded_split import Array, EncodedImages
from trainables.data.tables import Column, Table


def open_image(table: Table, column: str, position: int) -> Image.Image:
    """Open one image in RGB, upright as its EXIF data says.

    The cell holds a path within the folder of its file, encoded bytes, or the {"bytes", "path"} of the `datasets`
    library.

    Raises:
        RequestError: when the file is elsewhere, absent, not an image, damaged, or has more than 8 bits a channel.
    """
    cell = table.columns[column][position]
    of_library = isinstance(cell, dict)
    content = (cell.get("bytes") or cell.get("path")) if of_library else cell
    if not isinstance(content, str | bytes) or not content:
        raise table.problem(position, f"column {column!r} has no image; allowed: a path or encoded bytes")
    source = content if isinstance(content, bytes) else _path(table, position, content, of_library=of_library)
    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else open_inside(source) as file,
            Image.open(file) as image,
        ):
            upright = ImageOps.exif_transpose(image)
    except Outside as error:
        raise table.problem(position, f"image {content!r}: {error}; allowed: one of the data set") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise table.problem(position, f"unreadable image ({one_line(error)})") from None
    # PIL would clip wider integers and floats to 0..255 silently.
    if upright.mode[0] in "IF":
        raise table.problem(position, f"image of mode {upright.mode}; allowed: 8 bits a channel")
    return upright.convert("RGB")


def _path(table: Table, position: int, content: str, *, of_library: bool) -> Path:
    """Return the path of an image. The author of a table must not be able to name any file of this machine."""
    given = table.folders[position]
    if given is None and of_library:
        return Path(content)
    folder = os.path.abspath(given or "")
    path = os.path.normpath(os.path.join(folder, content))
    if given is None or not Path(path).is_relative_to(folder):
        raise table.problem(position, f"image {content}: elsewhere; allowed: a path within the folder of its file")
    return Path(path)


def _affine(processor: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the processor's rescaling and normalisation as one factor and one summand for each channel."""
    rescaled = processor.rescale_factor if processor.do_rescale else 1.0
    mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
    mean, std = (np.broadcast_to(values, 3).reshape(3, 1, 1) for values in (mean, std))
    return (rescaled / std).astype(np.float32), (-mean / std).astype(np.float32)


@dataclass(frozen=True)
class ImageEncoder:
    """Encodes images with the processor; without its rescaling and normalisation, if only those are left to apply."""

    processor: Any
    columns: tuple[Column, ...]

    def encode(self, table: Table, targets: Array | None) -> EncodedImages:
        """Encode the table's images.

        Raises:
            RequestError: when an image is unreadable, or the processor returns images of different sizes.
        """
        column = self.columns[0][1]
        first = open_image(table, column, 0)
        scale, shift = _affine(self.processor)
        options = {"do_rescale": False, "do_normalize": False}
        unscaled, expected = self._process(first, options), self._process(first, {})
        if unscaled.dtype != np.uint8 or not np.allclose(unscaled * scale + shift, expected, atol=1e-5):
            options, scale, shift = {}, np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
        example = self._process(first, options)
        pixels = np.empty((len(table), *example.shape), dtype=example.dtype)
        for position in range(len(table)):
            values = self._process(open_image(table, column, position), options)
            if values.shape != example.shape:
                raise table.problem(position, f"image of shape {values.shape}; allowed: {example.shape} as the first")
            pixels[position] = values
        return EncodedImages(targets, pixels, scale, shift)

    def _process(self, image: Image.Image, options: dict[str, bool]) -> Array:
        values: Array = self.processor(images=image, return_tensors="np", **options)["pixel_values"][0]
        return values


def image_encoder(spec: SearchSpec) -> ImageEncoder:
    """Return the encoder of `data.image`.

    Raises:
        RequestError: when the base model has no image processor.
    """
    model = spec.model
    with reading(model, "no image processor can be loaded", "a model with its preprocessor_config.json"):
        processor = AutoImageProcessor.from_pretrained(
            source_of(model), revision=model.revision, backend="pil", trust_remote_code=False
        )
    return ImageEncoder(processor, (("data.image", spec.data.image or "image"),))
