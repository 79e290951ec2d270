"""Families of metrics that are measured by several rules of decision."""

OVERALL_AND_PER_CLASS = ("OP", "OR", "OF1", "CP", "CR", "CF1")
SAMPLE_MEANS = ("sample_precision", "sample_recall", "sample_F1")  # AAM's tables: CP, CR, CF1
F1_AVERAGES = ("micro_F1", "macro_F1", "sample_F1")
TUNED = tuple(dict.fromkeys(OVERALL_AND_PER_CLASS + SAMPLE_MEANS + F1_AVERAGES))

# The fixed probabilities that the captions + images study compares (its Table 3).
PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5)

# Key -> kind of average precision (mlrepro.metrics.average_precision).
MEAN_AVERAGE_PRECISIONS = {
    "mAP": "exact",
    "mAP_interpolated": "interpolated",
    "mAP_11point": "11-point",
}
