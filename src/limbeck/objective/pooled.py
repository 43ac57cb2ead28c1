"""How far the student's vectors of whole texts are from the teacher's."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limbeck.objective.directions import unit_vectors
from limbeck.objective.refusals import refuse_unmatched


def pooled_mse(
    student_vectors: Float[Tensor, "batch hidden"],
    teacher_vectors: Float[Tensor, "batch hidden"],
) -> Float[Tensor, ""]:
    """Mean over the batch and hidden units of (student - teacher)^2.

    `hidden_mse` for one vector a text: [CLS], a pooler's output, a sentence embedding. Where
    vectors will be compared by their cosine, as embeddings are, use `pooled_cosine`. Where
    widths differ, put a `Projection` on the student first, or compare relations instead
    (`similarity_preserving`).

    Args:
        student_vectors: One a row; gradients flow into these only.
        teacher_vectors: Of the same texts; treated as constants.

    Returns:
        Scalar >= 0, in squared units of the vectors. Zero exactly when they agree.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch hidden] (padded tokens would enter the mean) or are
            empty (the mean is NaN).

    Reference:
        Reimers, Gurevych. Making Monolingual Sentence Embeddings Multilingual using Knowledge
        Distillation, 2020, section 2. https://arxiv.org/abs/2004.09813
    """
    student, teacher = _vectors(student_vectors, teacher_vectors, where="pooled_mse")
    return (student - teacher).square().mean()


def pooled_cosine(
    student_vectors: Float[Tensor, "batch hidden"],
    teacher_vectors: Float[Tensor, "batch hidden"],
) -> Float[Tensor, ""]:
    """Mean over the batch of 1 - cos(student, teacher).

    `hidden_cosine` for one vector a text. Leaves the scale free, which suits embeddings.

    Args:
        student_vectors: One a row; gradients flow into these only.
        teacher_vectors: Of the same texts; treated as constants.

    Returns:
        Scalar from 0 to 2, dimensionless; rounding in float32 may put it outside by some 1e-7.
        Zero when all directions agree. A row with a zero vector, which has no direction, counts
        as 1.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch hidden] (padded tokens would enter the mean) or are
            empty (the mean is NaN).

    Reference:
        Sanh, Debut, Chaumond, Wolf. DistilBERT, a distilled version of BERT, 2019, section 2,
        L_cos, there of every token. https://arxiv.org/abs/1910.01108
    """
    student, teacher = _vectors(student_vectors, teacher_vectors, where="pooled_cosine")
    return 1 - functional.cosine_similarity(student, teacher, dim=-1).mean()


def pooled_normalized_mse(
    student_vectors: Float[Tensor, "batch hidden"],
    teacher_vectors: Float[Tensor, "batch hidden"],
) -> Float[Tensor, ""]:
    """Mean over the batch of |student / |student| - teacher / |teacher||^2.

    What Patient Knowledge Distillation asks of the [CLS] vector of each matched layer. Twice
    `pooled_cosine`, under the name by which the paper reports it.

    Args:
        student_vectors: One a row; gradients flow into these only.
        teacher_vectors: Of the same texts; treated as constants.

    Returns:
        Scalar from 0 to 4, dimensionless; summed over hidden units, averaged over rows. Zero
        when all directions agree. A zero vector, which has no direction, stays zero: a row with
        one counts as 1, with two as 0.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch hidden] (padded tokens would enter the mean) or are
            empty (the mean is NaN).

    Reference:
        Sun, Cheng, Gan, Liu. Patient Knowledge Distillation for BERT Model Compression, 2019,
        section 3, L_PT. https://arxiv.org/abs/1908.09355
        The paper sums over texts and layers; we average over texts.
    """
    student, teacher = _vectors(student_vectors, teacher_vectors, where="pooled_normalized_mse")
    return (unit_vectors(student) - unit_vectors(teacher)).square().sum(dim=-1).mean()


def _vectors(
    student_vectors: Float[Tensor, "batch hidden"],
    teacher_vectors: Float[Tensor, "batch hidden"],
    *,
    where: str,
) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]:
    """Both in float32, the teacher's cut off from the gradient."""
    refuse_unmatched(
        student_vectors,
        teacher_vectors,
        where=where,
        what="vectors",
        dimensions=("batch", "hidden"),
    )
    return student_vectors.float(), teacher_vectors.detach().float()
