"""Control tokens, such as `</s>`, whose names occur in texts: they are encoded as ordinary text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from tokenizers import Regex, pre_tokenizers

from trainables.data.encoded_split import end_to_end, offsets_of
from trainables.data.tables import Table


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the tokens that control a model and are not text, such as the end token, with their ids.

    Single characters are not among them: a tokenizer that pads with `!` rightly reads a text's own `!` as that token.
    """
    flagged = {str(token): place for place, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return {name: place for name, place in {**flagged, **dict(named)}.items() if len(name) > 1}


def read_as_text(tokenizer: Any) -> None:
    """Make the tokenizer read the names of control tokens as text. Those that it adds itself stay.

    `split_special_tokens` alone is not enough for every vocabulary: a unigram model such as T5's has `</s>` among its
    pieces, and WordPiece or word-level ones may find it as a word. For these a pre-tokenizer cuts such names.
    """
    # In transformers' own Python tokenizers the option turns off added words as well; `encode` cuts their texts.
    tokenizer.split_special_tokens = tokenizer.is_fast
    if not tokenizer.is_fast:
        return
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    found = [backend.model.id_to_token(place) for place in _found_in_texts(tokenizer)]
    if found:
        cut = pre_tokenizers.Split(Regex(_first_characters(found)), behavior="merged_with_previous")
        own = backend.pre_tokenizer
        backend.pre_tokenizer = cut if own is None else pre_tokenizers.Sequence([own, cut])


def encode(tokenizer: Any, *texts: Sequence[str], written: bool = False, **options: Any) -> Any:
    """Encode texts, or pairs of texts, with the names of control tokens as text.

    `written`: as a decoder writes them, for which some translators have a vocabulary of their own.
    """
    given: Sequence[Any] = texts
    if not tokenizer.is_fast:
        places = re.compile(places_within(control_tokens(tokenizer)))
        given = [[places.split(text) for text in column] for column in texts]
        options["is_split_into_words"] = True
    if written:
        return tokenizer(text_target=given[0], verbose=False, **options)
    return tokenizer(*given, verbose=False, **options)


def control_notes(tokenizer: Any, *columns: Sequence[str]) -> tuple[str, ...]:
    """Return a note about rows with such names, if there are any: in a hand-written template the tokens are meant."""
    names = sorted(control_tokens(tokenizer), key=len, reverse=True)
    named = re.compile("|".join(map(re.escape, names)) or r"(?!)")
    found = [next(filter(None, map(named.search, texts)), None) for texts in zip(*columns, strict=True)]
    rows = [match[0] for match in found if match]
    if not rows:
        return ()
    return (f"rows with the name of a control token, such as {rows[0]}, which is read as text: {len(rows):,}",)


def check_control_tokens(tokenizer: Any, table: Table, rows: Sequence[Sequence[int]], own: int) -> None:
    """Check that encoded rows hold no control tokens but the `own` ones that the tokenizer adds to each.

    Raises:
        RequestError: when a row does: training would take its text for a command.
    """
    names = {place: name for name, place in control_tokens(tokenizer).items() if place != tokenizer.unk_token_id}
    controls = np.isin(end_to_end(rows), list(names))
    offsets = offsets_of(rows)
    counts = np.diff(np.concatenate([[0], np.cumsum(controls)])[offsets])
    if counts.size and counts.max() > own:
        position = int(np.argmax(counts > own))
        held = ", ".join(dict.fromkeys(names[token] for token in rows[position] if token in names))
        raise table.problem(
            position, f"its tokenizer reads a part of the text as one of {held}; allowed: text without them"
        )


def _found_in_texts(tokenizer: Any) -> list[int]:
    """Return the ids of control tokens that are still found when their names occur alone, between or within words."""
    named = control_tokens(tokenizer)
    forms = ("{}", "a {} b", "a{}b")
    texts = [form.format(name) for name in named for form in forms]
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    asked = [place for place in named.values() for _ in forms]
    return list(dict.fromkeys(place for place, row in zip(asked, ids, strict=True) if place in row))


def _first_characters(names: Iterable[str]) -> str:
    """Return an expression that matches the first character of each of the `names`."""
    return "|".join(
        f"{re.escape(first)}(?={'|'.join(re.escape(name[1:]) for name in group)})"
        for first, group in groupby(sorted(names), key=lambda name: name[0])
    )


def places_within(names: Iterable[str]) -> str:
    """Return an expression that matches the places after the first character of each of the `names`."""
    return "|".join(f"(?<={re.escape(name[0])})(?={re.escape(name[1:])})" for name in names) or r"(?!)"
