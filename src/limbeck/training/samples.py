"""On-policy steps: the student writes on, and its teacher says what it should have thought.

A student that only ever sees texts of others meets its own mistakes for the first time when it is
served. In some steps, drawn by the seed, the rows' beginnings are prompts instead: the student
draws tokens behind them, the teacher is asked about just these, and terms compare the two there.

Reference:
    Agarwal et al. On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes
    (GKD), 2024, algorithm 1. https://arxiv.org/abs/2306.13649
    Gu, Dong, Wei, Huang. MiniLLM: Knowledge Distillation of Large Language Models, 2024 (reverse
    KL on samples). https://arxiv.org/abs/2306.08543
    As in GKD no gradient goes through the drawing. Ours: a share of the steps, of equal length; the
    end of a text is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.stages import OnPolicyConfig
from limbeck.data.batches import Batch
from limbeck.data.texts import UNLABELLED

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.knowledge.anew import AskedAnew, Heard


@dataclass(frozen=True)
class Samples:
    """Which steps are the student's own, and who judges them.

    Attributes:
        settings: Share of the steps, lengths and temperature.
        teacher: Asked about what the student wrote.
        seed: Of steps and tokens.
    """

    settings: OnPolicyConfig
    teacher: AskedAnew
    seed: int

    def own(self, number: int) -> bool:
        """Whether step `number` is on the student's own texts."""
        return bool(np.random.default_rng([self.seed, number]).random() < self.settings.share)

    def written(self, model: PreTrainedModel, batch: Batch, number: int) -> Batch:
        """The beginnings of a batch's rows, and what the student writes behind them.

        Args:
            model: The student; it is in training again afterwards if it was before.
            batch: Padded on the right, on the CPU.
            number: The step's.

        Returns:
            Places and tokens are those of the new tokens; nobody labels them.
        """
        import torch

        settings = self.settings
        lengths = batch.attention_mask.sum(1)
        width = min(settings.prompt_tokens, int(lengths.min()))
        prompts = batch.input_ids[:, :width].to(model.device)
        key = [self.seed, number, int(batch.rows[0])]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        ids = _drawn(model, prompts, settings, seed).cpu()
        rows, longest = ids.shape
        places = torch.arange(rows)[:, None] * longest + torch.arange(width - 1, longest - 1)
        tokens = ids[:, width:].flatten()
        return replace(
            batch,
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            token_type_ids=None,
            places=places.flatten(),
            words=torch.arange(len(tokens)),
            tokens=tokens,
            labels=torch.full_like(tokens, UNLABELLED),
            likely=None,
        )

    def judged(
        self, batch: Batch, likely: Callable[[Tensor], Tensor] | None
    ) -> tuple[Batch, Heard]:
        """The batch, asking the student about its teacher's likely tokens, and what that one said.

        Args:
            batch: From `written`.
            likely: The tokens to ask about, of what the teacher said; None for all.
        """
        heard = self.teacher.about(batch)
        if likely is None:
            return batch, heard
        return replace(batch, likely=likely(heard.logits(batch.rows).cpu())), heard


def _drawn(model: PreTrainedModel, prompts: Tensor, settings: OnPolicyConfig, seed: int) -> Tensor:
    """Prompts and tokens drawn behind them: int64 [rows, prompt + new]."""
    import torch

    before = model.training
    model.eval()
    ids, known, new = prompts, None, prompts
    ends = [token for token in (model.config.eos_token_id,) if isinstance(token, int)]
    generator = torch.Generator(prompts.device).manual_seed(seed)
    with torch.no_grad():
        for _ in range(settings.new_tokens):
            said: Any = model(input_ids=new, past_key_values=known, use_cache=True)
            logits = said.logits[:, -1].float() / settings.temperature
            logits[:, ends] = -torch.inf
            new = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            ids, known = torch.cat([ids, new], dim=1), said.past_key_values
    model.train(before)
    return ids
