"""Token ids of running text in blocks, and the places at which its tokens are foretold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.blocks import cut_into_blocks, framing_of
from limbeck.data.prose import Prose
from limbeck.runtime.tokens import Tokens, Windowed

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def block_tokens(
    tokenizer: Tokenizer, items: Sequence[Prose], *, max_tokens: int, types: bool
) -> Tokens:
    """The blocks' token ids with the places that foretell, the blocks of an item together.

    Args:
        tokenizer: Nobody else's: its padding and truncation are changed.
        items: Texts, all read in the same way.
        max_tokens: Of a block.
        types: Whether the model takes segment ids.
    """
    framing = framing_of(tokenizer, max_tokens)
    texts = [item.text for item in items]
    cut = cut_into_blocks(texts, tokenizer, framing, items[0].reading)
    return Tokens(
        ids=cut.ids,
        type_ids=np.zeros(len(cut.ids), dtype=np.uint8) if types else None,
        offsets=cut.offsets,
        places=cut.places,
        words=cut.place_offsets,
        windowed=Windowed(cut.groups),
        foretold=cut.tokens,
    )
