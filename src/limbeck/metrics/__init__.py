"""Scores of models' answers in NumPy: what each row adds, and what all rows' parts amount to."""

from limbeck.metrics.correlation import drawn_pearson, drawn_spearman, pearson, spearman
from limbeck.metrics.counts import f1, macro_f1, micro_f1, precision, recall
from limbeck.metrics.detection import (
    auroc,
    average_precision,
    drawn_auroc,
    drawn_average_precision,
)
from limbeck.metrics.drawn import Statistic, mean_of_rows, of_rows, of_sums
from limbeck.metrics.entities import entities, entity_counts
from limbeck.metrics.language_modeling import (
    agreement_counts,
    likelihood_sums,
    perplexity,
    share,
)
from limbeck.metrics.multi_label import (
    drawn_mean_average_precision,
    label_counts,
    mean_average_precision,
)
from limbeck.metrics.question_answering import exact_match, normalized_answer, token_f1
from limbeck.metrics.retrieval import (
    Ranking,
    ndcg,
    rank_by_ids,
    rank_by_scores,
    recall_at,
    reciprocal_rank,
    swapped_pairs,
)

__all__ = [
    "Ranking",
    "Statistic",
    "agreement_counts",
    "auroc",
    "average_precision",
    "drawn_auroc",
    "drawn_average_precision",
    "drawn_mean_average_precision",
    "drawn_pearson",
    "drawn_spearman",
    "entities",
    "entity_counts",
    "exact_match",
    "f1",
    "label_counts",
    "likelihood_sums",
    "macro_f1",
    "mean_average_precision",
    "mean_of_rows",
    "micro_f1",
    "ndcg",
    "normalized_answer",
    "of_rows",
    "of_sums",
    "pearson",
    "perplexity",
    "precision",
    "rank_by_ids",
    "rank_by_scores",
    "recall",
    "recall_at",
    "reciprocal_rank",
    "share",
    "spearman",
    "swapped_pairs",
    "token_f1",
]
