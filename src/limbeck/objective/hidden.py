"""How far the student's hidden states are from the teacher's, on real tokens."""

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from limbeck.objective.directions import unit_vectors
from limbeck.objective.padding import real_tokens
from limbeck.objective.refusals import refuse_unmatched


def hidden_mse(
    student_hidden: Float[Tensor, "batch tokens hidden"],
    teacher_hidden: Float[Tensor, "batch tokens hidden"],
    *,
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
) -> Float[Tensor, ""]:
    """Mean over real tokens and hidden units of (student - teacher)^2.

    Asks the student for the teacher's very numbers, scale included, as one needs when later
    layers or the head are the teacher's. Where only directions matter, use `hidden_cosine`.
    Where the widths differ, put a `Projection` on the student first.

    Args:
        student_hidden: States of one layer; gradients flow into these only.
        teacher_hidden: States of the matching layer, for the same tokens; treated as constants.
        attention_mask: 1 for a real token, 0 for padding. Every real token counts the same,
            whatever the length of its row.

    Returns:
        Scalar >= 0, in squared units of the states. Zero when they agree on every real token.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch tokens hidden] or are empty, the mask is not
            [batch tokens] or holds anything but 0 and 1 (an additive mask, 0 for real, would
            train on padding alone), or no token is real (the mean is NaN).

    Reference:
        Jiao et al. TinyBERT: Distilling BERT for Natural Language Understanding, 2020,
        equation 8. https://arxiv.org/abs/1909.10351
        Romero et al. FitNets: Hints for Thin Deep Nets, 2015, equation 3.
        https://arxiv.org/abs/1412.6550
        We average where FitNets sums and halves, and leave padding out.
    """
    student, teacher, real = _real_tokens(
        student_hidden, teacher_hidden, attention_mask, where="hidden_mse"
    )
    return (student - teacher).square().sum() / (real.sum() * student.shape[-1])


def hidden_cosine(
    student_hidden: Float[Tensor, "batch tokens hidden"],
    teacher_hidden: Float[Tensor, "batch tokens hidden"],
    *,
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
) -> Float[Tensor, ""]:
    """Mean over real tokens of 1 - cos(student, teacher).

    Asks for the teacher's directions and leaves the scale free, which suits states that will be
    normalized anyway: embeddings, or a layer before a LayerNorm. Where later layers are the
    teacher's, use `hidden_mse`.

    Args:
        student_hidden: States of one layer; gradients flow into these only.
        teacher_hidden: States of the matching layer, for the same tokens; treated as constants.
        attention_mask: 1 for a real token, 0 for padding. Every real token counts the same,
            whatever the length of its row.

    Returns:
        Scalar from 0 to 2, dimensionless; rounding in float32 may put it outside by some 1e-7.
        Zero when all directions agree. A token whose student or teacher state is the zero
        vector, which has no direction, counts as 1.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch tokens hidden] or are empty, the mask is not
            [batch tokens] or holds anything but 0 and 1 (an additive mask, 0 for real, would
            train on padding alone), or no token is real (the mean is NaN).

    Reference:
        Sanh, Debut, Chaumond, Wolf. DistilBERT, a distilled version of BERT, 2019, section 2,
        L_cos. https://arxiv.org/abs/1910.01108
    """
    student, teacher, real = _real_tokens(
        student_hidden, teacher_hidden, attention_mask, where="hidden_cosine"
    )
    # Padding is zero on both sides here, and the cosine of that is 0: it adds nothing.
    return 1 - functional.cosine_similarity(student, teacher, dim=-1).sum() / real.sum()


def hidden_normalized_mse(
    student_hidden: Float[Tensor, "batch tokens hidden"],
    teacher_hidden: Float[Tensor, "batch tokens hidden"],
    *,
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
) -> Float[Tensor, ""]:
    """Mean over real tokens of |student / |student| - teacher / |teacher||^2.

    Twice `hidden_cosine`, as |u - v|^2 is 2 - 2 cos for u and v of length one, under the name by
    which Patient Knowledge Distillation reports it. For the [CLS] vectors that the paper
    compares, use `pooled_normalized_mse`.

    Args:
        student_hidden: States of one layer; gradients flow into these only.
        teacher_hidden: States of the matching layer, for the same tokens; treated as constants.
        attention_mask: 1 for a real token, 0 for padding. Every real token counts the same,
            whatever the length of its row.

    Returns:
        Scalar from 0 to 4, dimensionless; summed over hidden units, averaged over tokens. Zero
        when all directions agree. A zero vector, which has no direction, stays zero: a token
        with one counts as 1, with two as 0.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch tokens hidden] or are empty, the mask is not
            [batch tokens] or holds anything but 0 and 1 (an additive mask, 0 for real, would
            train on padding alone), or no token is real (the mean is NaN).

    Reference:
        Sun, Cheng, Gan, Liu. Patient Knowledge Distillation for BERT Model Compression, 2019,
        section 3, L_PT. https://arxiv.org/abs/1908.09355
        The paper sums over texts and layers and takes [CLS] alone; we average over real tokens.
    """
    student, teacher, real = _real_tokens(
        student_hidden, teacher_hidden, attention_mask, where="hidden_normalized_mse"
    )
    return (unit_vectors(student) - unit_vectors(teacher)).square().sum() / real.sum()


def _real_tokens(
    student_hidden: Float[Tensor, "batch tokens hidden"],
    teacher_hidden: Float[Tensor, "batch tokens hidden"],
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    *,
    where: str,
) -> tuple[
    Float[Tensor, "batch tokens hidden"],
    Float[Tensor, "batch tokens hidden"],
    Bool[Tensor, "batch tokens"],
]:
    """The states of student and teacher in float32, zero at padding, and which tokens are real.

    Chosen and not multiplied by the mask: 0 * NaN is NaN, and padding may hold one. Picking the
    real ones out would make an accelerator wait until it has counted them.
    """
    refuse_unmatched(
        student_hidden,
        teacher_hidden,
        where=where,
        what="hidden",
        dimensions=("batch", "tokens", "hidden"),
    )
    batch, tokens, _ = student_hidden.shape
    real = real_tokens(
        attention_mask,
        batch=batch,
        tokens=tokens,
        where=where,
        beside=f"student_hidden has shape {tuple(student_hidden.shape)}",
    )
    chosen = real[..., None]
    return (
        student_hidden.float().where(chosen, 0.0),
        teacher_hidden.detach().float().where(chosen, 0.0),
        real,
    )
