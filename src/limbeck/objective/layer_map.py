"""Which layer of the teacher each layer of the student learns from."""

import torch


def even_layer_map(student_layers: int, teacher_layers: int) -> dict[int, int]:
    """Student layer i to teacher layer i * teacher_layers / student_layers, halves rounded up.

    Every student layer stands for an equally long stretch of the teacher and learns from the
    stretch's end. The default for terms on hidden states, and for choosing the layers that a
    student is cut from.

    Args:
        student_layers: Number of the student's layers, the embeddings not counted.
        teacher_layers: Number of the teacher's layers, the embeddings not counted.

    Returns:
        One entry per student layer, layers counted from 1. No teacher layer appears twice, they
        rise, and the last goes to the last. The identity when both have equally many.

    Raises:
        ValueError: If the student has no layer, or more than the teacher (two of them would
            learn the same states).

    Reference:
        Sun, Cheng, Gan, Liu. Patient Knowledge Distillation for BERT Model Compression, 2019,
        section 3, PKD-Skip. https://arxiv.org/abs/1908.09355
        The paper leaves the last layer to the loss on logits: its map is ours without the last
        entry. It does not say what to do where the division leaves a remainder: we round.
    """
    _refuse_depths(student_layers, teacher_layers, where="even_layer_map")
    return {
        # Whole numbers throughout: round() would send some halves down.
        layer: (2 * layer * teacher_layers + student_layers) // (2 * student_layers)
        for layer in range(1, student_layers + 1)
    }


def first_layer_map(student_layers: int, teacher_layers: int) -> dict[int, int]:
    """Student layer i to teacher layer i.

    For a student that stands for the teacher's lower part: where the task is one of words rather
    than of texts, or the student is followed by layers of its own. Elsewhere `even_layer_map`.

    Args:
        student_layers: Number of the student's layers, the embeddings not counted.
        teacher_layers: Number of the teacher's layers, the embeddings not counted.

    Returns:
        One entry per student layer, layers counted from 1.

    Raises:
        ValueError: If the student has no layer, or more than the teacher (two of them would
            learn the same states).

    Reference:
        Sajjad, Dalvi, Durrani, Nakov. On the Effect of Dropping Layers of Pre-trained
        Transformer Models, 2023, top-layer dropping.
        https://arxiv.org/abs/2004.03844
        There for cutting a student out; the map is the same.
    """
    _refuse_depths(student_layers, teacher_layers, where="first_layer_map")
    return {layer: layer for layer in range(1, student_layers + 1)}


def last_layer_map(student_layers: int, teacher_layers: int) -> dict[int, int]:
    """Student layer i to teacher layer teacher_layers - student_layers + i.

    Asks for the teacher's topmost states, which are closest to its answers. A shallow student
    must do in its first layer what took the teacher many; `even_layer_map` is the safer choice.

    Args:
        student_layers: Number of the student's layers, the embeddings not counted.
        teacher_layers: Number of the teacher's layers, the embeddings not counted.

    Returns:
        One entry per student layer, layers counted from 1. The last goes to the last.

    Raises:
        ValueError: If the student has no layer, or more than the teacher (two of them would
            learn the same states).

    Reference:
        Sun, Cheng, Gan, Liu. Patient Knowledge Distillation for BERT Model Compression, 2019,
        section 3, PKD-Last. https://arxiv.org/abs/1908.09355
        The paper leaves the last layer to the loss on logits: its map is ours without the last
        entry.
    """
    _refuse_depths(student_layers, teacher_layers, where="last_layer_map")
    skipped = teacher_layers - student_layers
    return {layer: layer + skipped for layer in range(1, student_layers + 1)}


def random_layer_map(
    student_layers: int, teacher_layers: int, *, generator: torch.Generator
) -> dict[int, int]:
    """The student's layers to as many teacher layers drawn at random, in rising order.

    Drawn anew each step or epoch, it lets the student hear every layer of the teacher, at the
    price of only as many at a time, and keeps it from fitting any one map. All layers of the
    teacher must then be recorded.

    Args:
        student_layers: Number of the student's layers, the embeddings not counted.
        teacher_layers: Number of the teacher's layers, the embeddings not counted.
        generator: Source of the draw, on the CPU. The same state gives the same map, and torch's
            global generator is left alone.

    Returns:
        One entry per student layer, layers counted from 1. No teacher layer appears twice, they
        rise, and every choice is equally likely.

    Raises:
        ValueError: If the student has no layer, or more than the teacher (two of them would
            learn the same states).

    Reference:
        Haidar et al. RAIL-KD: RAndom Intermediate Layer Mapping for Knowledge Distillation,
        2022. https://arxiv.org/abs/2109.10164
        The paper maps intermediate layers alone; for that, draw with one layer less on either
        side.
    """
    _refuse_depths(student_layers, teacher_layers, where="random_layer_map")
    drawn = torch.randperm(teacher_layers, generator=generator)[:student_layers]
    rising = enumerate(sorted(drawn.tolist()), start=1)
    return {layer: taught_by + 1 for layer, taught_by in rising}


def _refuse_depths(student_layers: int, teacher_layers: int, *, where: str) -> None:
    if not 1 <= student_layers <= teacher_layers:
        raise ValueError(
            f"{where}: student_layers is {student_layers}, teacher_layers is "
            f"{teacher_layers}. The student must have at least 1 layer and no more than the "
            f"teacher. Use a shallower student or a deeper teacher, or write the layer map out."
        )
