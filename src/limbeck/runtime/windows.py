"""Token ids of questions with pieces of their contexts, and the places where answers may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.asked import Asked
from limbeck.data.squad import Question
from limbeck.data.window_cut import ROW, answer_places, cut_into_windows
from limbeck.data.window_rows import cutting_of
from limbeck.runtime.tokens import Tokens, Windowed

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def window_tokens(
    tokenizer: Tokenizer, items: Sequence[Asked], *, max_tokens: int, types: bool
) -> Tokens:
    """The windows' token ids with the places of their answers, the windows of an item together.

    Args:
        tokenizer: Nobody else's: its padding and truncation are changed.
        items: Questions and contexts, all read in the same way.
        max_tokens: Of a window.
        types: Whether the model takes segment ids.
    """
    how = cutting_of(tokenizer, items[0].windowing, max_tokens)
    asked = [Question(str(n), item.question, item.context, None) for n, item in enumerate(items)]
    cut = cut_into_windows(asked, tokenizer, how)
    places, ends = answer_places(cut.about)
    at = np.repeat(cut.offsets[:-1], np.diff(ends)) + places
    return Tokens(
        ids=cut.ids,
        type_ids=cut.types if types else None,
        offsets=cut.offsets,
        places=places,
        words=ends,
        windowed=Windowed(
            offsets=np.searchsorted(cut.about[:, ROW], np.arange(len(items) + 1)),
            spans=cut.spans[at],
        ),
    )
