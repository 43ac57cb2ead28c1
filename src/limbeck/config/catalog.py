"""The one place that lists the methods: a name for settings of a recipe, and when to choose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """Named settings, with what they need, what they cost and when they pay.

    Attributes:
        name: What `method` is set to.
        summary: One line.
        needs: Of the teacher, the texts and the disk.
        cost: Beside the training of the student itself.
        choose_when: In one sentence.
        paper: Authors, year and address; empty where there is none.
        settings: Dotted recipe keys and their values; the user's own come first.
    """

    name: str
    summary: str
    needs: str
    cost: str
    choose_when: str
    settings: Mapping[str, Any]
    paper: str = ""


_SOFT = [{"kind": "hard", "weight": 0.1}, {"kind": "logits", "weight": 0.9}]
_HALF_SOFT = [
    {"kind": "hard", "weight": 0.5},
    {"kind": "logits", "weight": 0.5, "temperature": 1.0},
]
_SAME_TOKENS = "the same token ids in teacher and student"
_STATES = "hidden states on disk (2 bytes a number; 768 bytes a token and layer at 384 wide)"


def _soft(divergence: str) -> list[dict[str, Any]]:
    return [{"kind": "hard", "weight": 0.1}, {"kind": "logits", "divergence": divergence}]


METHODS: tuple[Method, ...] = (
    Method(
        name="logits",
        summary="Soft labels: KL to the teacher's tempered classes, plus the hard labels.",
        needs="the teacher's logits (4 bytes a class and text on disk)",
        cost="one pass of the teacher over the texts; then as fast as training on labels",
        choose_when="first, always; with unlabelled texts of your domain it gains most",
        settings={"objective.terms": _SOFT},
        paper="Hinton et al. 2015, arXiv 1503.02531",
    ),
    Method(
        name="labels",
        summary="No teacher: cross-entropy to the labels alone. The control arm.",
        needs="labels",
        cost="training alone",
        choose_when="to see what the student would be without a teacher",
        settings={"objective.terms": [{"kind": "hard", "weight": 1.0}]},
    ),
    Method(
        name="hidden",
        summary="Soft labels and the hidden states of matched layers (MSE, projected).",
        needs=f"{_STATES}, {_SAME_TOKENS}",
        cost="that disk, and reading it in every step",
        choose_when="the student is narrower than the teacher or starts from new weights; compare "
        "it with logits on your data",
        settings={"objective.terms": [*_SOFT, {"kind": "hidden", "weight": 1.0}]},
        paper="Romero et al. 2015, arXiv 1412.6550",
    ),
    Method(
        name="distilbert",
        summary="A DistilBERT: half the layers, no token types, no pooler; pre-trained on plain "
        "text if there is some (soft cross-entropy, masked LM, cosine), then soft labels.",
        needs="a BERT teacher; for pre-training data.plain and a teacher with a masked-LM head",
        cost="pre-training asks the teacher anew for every mask",
        choose_when="others must load the student as DistilBertFor…, or there is plain text to "
        "pre-train on",
        settings={
            "student.architecture": "distilbert",
            "pretraining.terms": [
                {"kind": "logits", "weight": 5.0, "divergence": "cross_entropy"},
                {"kind": "hard", "weight": 2.0},
                {"kind": "hidden", "weight": 1.0, "distance": "cosine", "layer_map": "last_alone"},
            ],
            "objective.terms": _SOFT,
        },
        paper="Sanh et al. 2019, arXiv 1910.01108",
    ),
    Method(
        name="distilbert_layers",
        summary="distilbert, and every layer's hidden states (MSE at 1/M a layer of M).",
        needs=f"as distilbert, and {_STATES}",
        cost="that disk, and reading it in every step",
        choose_when="distilbert alone loses too much",
        settings={
            "student.architecture": "distilbert",
            "objective.terms": [*_SOFT, {"kind": "hidden", "weight": 1.0}],
        },
        paper="Sanh et al. 2019, with the layer loss of Jiao et al. 2020",
    ),
    Method(
        name="tinybert",
        summary="Embeddings, hidden states and attention scores first, then the classes; general "
        "distillation before that where there is plain text.",
        needs=f"{_STATES}, queries and keys too, {_SAME_TOKENS}; for the paper's altered copies a "
        "masked LM (data.augment: {by: masked_lm, masked_lm: …, copies: 20})",
        cost="three times the disk of hidden, a training in two stages",
        choose_when="the student is far narrower than the teacher",
        settings={
            "pretraining.terms": [
                {"kind": "hidden", "weight": 1.0, "layer_map": "uniform_and_embeddings"},
                {"kind": "attention", "weight": 1.0, "distance": "score_mse"},
            ],
            "stages": [
                {
                    "name": "intermediate",
                    "terms": [
                        {"kind": "hidden", "weight": 1.0, "layer_map": "uniform_and_embeddings"},
                        {"kind": "attention", "weight": 1.0, "distance": "score_mse"},
                    ],
                }
            ],
            "objective.terms": [
                {
                    "kind": "logits",
                    "weight": 1.0,
                    "divergence": "cross_entropy",
                    "temperature": 1.0,
                }
            ],
        },
        paper="Jiao et al. 2020, arXiv 1909.10351",
    ),
    Method(
        name="mobilebert",
        summary="A MobileBERT: bottlenecks and stacked feed-forwards, feature maps and attention "
        "carried over layer by layer, then the classes.",
        needs=f"{_STATES}, queries and keys too, {_SAME_TOKENS}",
        cost="a training stage a layer",
        choose_when="a deep and thin student that loads as MobileBertFor… is wanted",
        settings={
            "student.architecture": "mobilebert",
            "pretraining.terms": [
                {"kind": "hidden", "weight": 1.0},
                {"kind": "attention", "weight": 1.0, "distance": "kl", "heads": "mean"},
            ],
            "pretraining.layer_by_layer": True,
            "stages": [
                {
                    "name": "transfer",
                    "layer_by_layer": True,
                    "terms": [
                        {"kind": "hidden", "weight": 1.0},
                        {"kind": "attention", "weight": 1.0, "distance": "kl", "heads": "mean"},
                    ],
                }
            ],
            "objective.terms": _SOFT,
        },
        paper="Sun et al. 2020, arXiv 2004.02984",
    ),
    Method(
        name="albert",
        summary="An ALBERT: one layer's weights shared by all, factorized embeddings; hidden "
        "states and soft labels.",
        needs=f"{_STATES}, {_SAME_TOKENS}",
        cost="that disk; the student is small on disk and no faster than its layers",
        choose_when="size counts and time does not",
        settings={
            "student.architecture": "albert",
            "objective.terms": [*_SOFT, {"kind": "hidden", "weight": 1.0}],
        },
        paper="Lan et al. 2020, arXiv 1909.11942",
    ),
    Method(
        name="minilm",
        summary="The last layer's attention and value relations, then soft labels.",
        needs=f"queries, keys and values of one layer on disk, {_SAME_TOKENS}",
        cost="that disk, a training in two stages",
        choose_when="the student is narrower than the teacher, and layers should not be mapped",
        settings={
            "pretraining.terms": [
                {"kind": "attention", "weight": 1.0, "distance": "kl", "layer_map": "last_alone"},
                {"kind": "relations", "weight": 1.0, "of": ["values"]},
            ],
            "stages": [
                {
                    "name": "relations",
                    "terms": [
                        {
                            "kind": "attention",
                            "weight": 1.0,
                            "distance": "kl",
                            "layer_map": "last_alone",
                        },
                        {"kind": "relations", "weight": 1.0, "of": ["values"]},
                    ],
                }
            ],
            "objective.terms": _SOFT,
        },
        paper="Wang et al. 2020, arXiv 2002.10957",
    ),
    Method(
        name="minilm2",
        summary="Query, key and value relations of one layer, head counts free, then soft labels.",
        needs=f"queries, keys and values of one layer on disk, {_SAME_TOKENS}",
        cost="that disk, a training in two stages",
        choose_when="as minilm; heads may differ",
        settings={
            "pretraining.terms": [{"kind": "relations", "weight": 1.0}],
            "stages": [{"name": "relations", "terms": [{"kind": "relations", "weight": 1.0}]}],
            "objective.terms": _SOFT,
        },
        paper="Wang et al. 2021, arXiv 2012.15828",
    ),
    Method(
        name="patient",
        summary="Patient KD: soft labels, and [CLS] of every matched layer but the last, at "
        "length 1.",
        needs=f"{_STATES}, {_SAME_TOKENS}",
        cost="that disk, and reading it in every step",
        choose_when="to compare with the paper",
        settings={
            "objective.terms": [
                {"kind": "hard", "weight": 0.5},
                {"kind": "logits", "weight": 0.5, "temperature": 5.0},
                {
                    "kind": "hidden",
                    "weight": 10.0,
                    "distance": "normalized_mse",
                    "tokens": "first",
                    "layer_map": "skip",
                },
            ]
        },
        paper="Sun et al. 2019, arXiv 1908.09355",
    ),
    Method(
        name="theseus",
        summary="Module replacing: student layers stand in for teacher layers at random, more and "
        "more often; labels alone, then fine-tuning.",
        needs="labels; teacher and student equally wide",
        cost="passes through the teacher's layers in training; nothing on disk",
        choose_when="no extra loss is wanted, and labels are plenty",
        settings={
            "stages": [
                {
                    "name": "replacing",
                    "replacing": {"shape": "linear", "start": 0.5, "stop": 1.0},
                    "terms": [{"kind": "hard", "weight": 1.0}],
                }
            ],
            "objective.terms": [{"kind": "hard", "weight": 1.0}],
        },
        paper="Xu et al. 2020, arXiv 2002.02925",
    ),
    Method(
        name="mutual",
        summary="Deep mutual learning: teacher and student learn from labels and from each other "
        "in turn.",
        needs="labels; memory for both in training",
        cost="the teacher is trained too: several times slower",
        choose_when="the teacher itself is not finished, or overfits",
        settings={"knowledge.source": "mutual", "objective.terms": _HALF_SOFT},
        paper="Zhang et al. 2018, arXiv 1706.00384",
    ),
    Method(
        name="feedback",
        summary="The teacher is trained along, by what its answers did to the student's loss on "
        "labelled rows of train that are kept apart.",
        needs="labels, a tenth of which the student does not learn from; memory for both in "
        "training",
        cost="the teacher is trained too, the student takes a quiz and is asked twice more a step",
        choose_when="to compare with the paper; the teacher must be changed for the student's sake",
        settings={"knowledge.source": "feedback", "objective.terms": _SOFT},
        paper="Pham et al. 2021, arXiv 2003.10580; Zhou et al. 2022, arXiv 2106.04570",
    ),
    Method(
        name="exits",
        summary="Self-distillation: the last layer teaches classifiers on the earlier layers, "
        "beside soft labels.",
        needs="the teacher's logits",
        cost="one small classifier a layer, in training alone",
        choose_when="the student is deep, or to compare with the paper",
        settings={"objective.terms": [*_SOFT, {"kind": "exits", "weight": 0.5}]},
        paper="Zhang et al. 2019, arXiv 1905.08094",
    ),
    Method(
        name="born_again",
        summary="Students as large as their teacher, generation after generation, then the small "
        "one.",
        needs="the teacher's logits; one training a generation",
        cost="each generation is trained at the teacher's size",
        choose_when="the teacher was trained on few labels",
        settings={"assistants": [{"layers": "all"}], "objective.terms": _SOFT},
        paper="Furlanello et al. 2018, arXiv 1805.04770",
    ),
    Method(
        name="assistant",
        summary="A chain: teacher, assistants of sizes between, student.",
        needs="the teacher's logits; one training an assistant",
        cost="each assistant is trained and asked about all texts",
        choose_when="teacher and student are far apart in size",
        settings={"assistants": [{"layers": "between"}], "objective.terms": _SOFT},
        paper="Mirzadeh et al. 2020, arXiv 1902.03393",
    ),
    Method(
        name="dynamic",
        summary="Soft labels with adaptive temperature, rows weighted by the student's doubt, "
        "the hard labels fading in.",
        needs="the teacher's logits",
        cost="none",
        choose_when="logits has been tried",
        settings={
            "objective.terms": [
                {
                    "kind": "hard",
                    "weight": {"shape": "linear", "start": 0.0, "stop": 0.3},
                },
                {
                    "kind": "logits",
                    "weight": {"shape": "linear", "start": 1.0, "stop": 0.7},
                    "temperature": {"shape": "adaptive"},
                    "examples": "student_entropy",
                },
            ]
        },
        paper="Wen et al. 2019, arXiv 1911.07471",
    ),
    Method(
        name="decoupled",
        summary="Decoupled KD: the target class and the others apart, plus the hard labels.",
        needs="the teacher's logits; gains nothing with two classes",
        cost="none",
        choose_when="there are many classes and the teacher is sure of itself",
        settings={"objective.terms": _soft("decoupled")},
        paper="Zhao et al. 2022, arXiv 2203.08679",
    ),
    Method(
        name="dist",
        summary="DIST: correlation with the teacher by row and by class, plus the hard labels.",
        needs="the teacher's logits",
        cost="none",
        choose_when="the teacher is much stronger than the student",
        settings={"objective.terms": _soft("correlation")},
        paper="Huang et al. 2022, arXiv 2205.10536",
    ),
    Method(
        name="skewed",
        summary="Skewed KL, plus the hard labels.",
        needs="the teacher's logits",
        cost="none",
        choose_when="the teacher is sure of itself and the student far from it",
        settings={"objective.terms": _soft("skewed_kl")},
        paper="Ko et al. 2024, arXiv 2402.03898",
    ),
    Method(
        name="similarity",
        summary="Soft labels, and rows as alike as the teacher finds them (Gram matrices).",
        needs="the teacher's last hidden states on disk",
        cost="that disk, and reading it in every step",
        choose_when="widths differ, and logits say little",
        settings={"objective.terms": [*_SOFT, {"kind": "similarity", "weight": 1.0}]},
        paper="Tung and Mori 2019, arXiv 1907.09682",
    ),
    Method(
        name="relational",
        summary="Soft labels, and the distances and angles between rows (RKD).",
        needs="the teacher's last hidden states on disk",
        cost="that disk; angles cost the cube of the rows",
        choose_when="as similarity",
        settings={
            "objective.terms": [
                *_SOFT,
                {"kind": "similarity", "weight": 1.0, "of": "distance"},
                {"kind": "similarity", "weight": 2.0, "of": "angle"},
            ]
        },
        paper="Park et al. 2019, arXiv 1904.05068",
    ),
    Method(
        name="contrastive",
        summary="Soft labels, and each row nearest to its own teacher vector (InfoNCE).",
        needs="the teacher's last hidden states on disk",
        cost="that disk, and reading it in every step",
        choose_when="as similarity; the student's vectors are to be searched",
        settings={
            "objective.terms": [*_SOFT, {"kind": "similarity", "weight": 0.5, "of": "contrastive"}]
        },
        paper="Tian et al. 2020, arXiv 1910.10699",
    ),
)
