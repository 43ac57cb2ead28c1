"""How far the student relates tokens to each other otherwise than the teacher."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from limbeck.objective.attention import attention_kl, attention_scores, split_heads
from limbeck.objective.padding import real_tokens
from limbeck.objective.refusals import refuse_unpaired


def relation_kl(
    student_vectors: Float[Tensor, "batch tokens student_hidden"],
    teacher_vectors: Float[Tensor, "batch tokens teacher_hidden"],
    *,
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    heads: int,
) -> Float[Tensor, ""]:
    """Mean over relation heads and real tokens of KL(softmax(T T' / c) || softmax(S S' / d)).

    S and T are the student's and the teacher's vectors of one head; c and d are the square roots
    of their widths. Asks the student to relate its tokens as the teacher relates its own, and
    leaves all else free: widths, numbers of attention heads and the space itself may differ, and
    nothing has to be learned to compare them. The first choice between models of unlike shape;
    one layer is enough. Where the student is a cut of the teacher, `hidden_mse` asks for more.

    Args:
        student_vectors: Queries, keys or values of one layer, as the layer's linear map gives
            them, before they are split into heads; gradients flow into these only.
        teacher_vectors: The same kind of vectors of the matching layer, for the same tokens;
            treated as constants.
        attention_mask: 1 for a real token, 0 for padding. Every real token counts the same,
            whatever the length of its row.
        heads: Number of relation heads. The models' own number of attention heads relates
            vectors as attention does; more of them, finer parts.

    Returns:
        Scalar >= 0 in nats; rounding in float32 may put it below by some 1e-7. Zero when both
        relate every real token alike.

    Raises:
        ValueError: If batch or tokens differ (other tokens would be compared), a side is not
            [batch tokens hidden] or empty, heads does not divide both widths (a head would mix
            units), the mask is not [batch tokens] or holds anything but 0 and 1, or no token is
            real (the mean is NaN).

    Reference:
        Wang et al. MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing
        Pretrained Transformers, 2021, section 3.1. https://arxiv.org/abs/2012.15828
        The value relation of MiniLM, 2020, section 3.2, https://arxiv.org/abs/2002.10957, is this
        on values with the models' own number of heads.
        The papers average within each text and then over texts, we over all real tokens.
    """
    where = "relation_kl"
    refuse_unpaired(
        student_vectors,
        teacher_vectors,
        where=where,
        what="vectors",
        dimensions=("batch", "tokens", "hidden"),
        free=("hidden",),
    )
    widths = student_vectors.shape[-1], teacher_vectors.shape[-1]
    if heads < 1 or any(width % heads for width in widths):
        raise ValueError(
            f"{where}: heads is {heads}, student_vectors and teacher_vectors have widths "
            f"{widths[0]} and {widths[1]}. Heads must divide both. "
            f"Use the greatest common divisor of both models' numbers of attention heads, or "
            f"another divisor of both widths."
        )
    batch, tokens, _ = student_vectors.shape
    real = real_tokens(
        attention_mask,
        batch=batch,
        tokens=tokens,
        where=where,
        beside=f"student_vectors has shape {tuple(student_vectors.shape)}",
    )
    student, teacher = (
        # Chosen here and not only among the scores: a NaN in padding would reach every token's
        # gradient through the product.
        split_heads(vectors.where(real[..., None], 0.0), heads)
        for vectors in (student_vectors, teacher_vectors.detach())
    )
    return attention_kl(
        attention_scores(student, student),
        attention_scores(teacher, teacher),
        attention_mask=attention_mask,
    )
