"""Which layer of the teacher each layer of the student learns from."""


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
    if not 1 <= student_layers <= teacher_layers:
        raise ValueError(
            f"even_layer_map: student_layers is {student_layers}, teacher_layers is "
            f"{teacher_layers}. The student must have at least 1 layer and no more than the "
            f"teacher. Use a shallower student or a deeper teacher, or write the layer map out."
        )
    return {
        # Whole numbers throughout: round() would send some halves down.
        layer: (2 * layer * teacher_layers + student_layers) // (2 * student_layers)
        for layer in range(1, student_layers + 1)
    }
