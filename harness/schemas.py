"""Columns of every CSV and arrays of every npz that a stage writes for another one.

Writers and readers import them from here, so that a column has one name and one position. Standard
library only.
"""

from __future__ import annotations

import re

RUN_KEY = ("dataset", "features", "variant", "bits", "seed")

# scores/DATASET/FEATURES/VARIANT/metrics.csv: all runs of one variant. k is empty without a cut.
SCORES_CSV = ("bits", "seed", "metric", "k", "value")

# Cuts at which each metric of the first k items is computed.
CUTS = {
    "map@k[found]": (1000, 5000),
    "map@k[min]": (1000, 5000),
    "map@k[R]": (1000, 5000),
    "map@k[hits]": (1000, 5000),
    "precision@k": (1, 10, 50, 100, 500, 1000, 5000),
    "ndcg@k": (100, 1000),
    "ndcg_linear@k": (100, 1000),
    "acg@k": (100, 1000),
    "neighbour_recall@k": (100, 1000),
}

# Rankings of a method besides that by Hamming distance, of the key `rankings` of a configuration:
# their metrics, and the cuts of each.
# - asymmetric: real-valued queries, for a method with `project`.
# - reranked: the first k items by Hamming distance in the order of their features.
RANKINGS: dict[str, dict[str, tuple[int | None, ...]]] = {
    "asymmetric": {
        "map_asymmetric": (None,),
        "map_asymmetric@k[found]": (1000,),
        "map_sigmoid": (None,),
        "map_sigmoid@k[found]": (1000,),
    },
    "reranked": {"map_reranked@k": (1000,)},
}

# Metrics with this prefix are curves over k: a few hundred values a run.
CURVES = "pr_"

# metrics.csv: the scores of all variants. Controls have seed 0, and 0 bits unless they have a value
# for each code length.
METRICS_CSV = ("dataset", "features", "variant", *SCORES_CSV)

# runs.csv: one row per run. RECORD_COLUMNS have the values of the same keys in run.json.
RECORD_COLUMNS = (
    *("fit_seconds", "encode_seconds", "peak_memory_mib", "items", "distinct_codes"),
    *("bit_balance", "saturated", "device", "repeats", "threads", "commit", "dirty", "date"),
    "codes_sha256",
)
# What a row uses: the information tier and the level of fidelity of `harness.plugins`; whether the
# parameters are released, default, tuned or of a trial; how many settings were tried for them, and
# how many labels chose one.
USES = ("tier", "fidelity", "settings", "trials", "labels_used")
RUNS_CSV = (
    *RUN_KEY,
    *("status", "message", "method", "label", "citation", "encoder", "weights", *USES, "keywords"),
    *("fit_seconds", "encode_seconds", "peak_memory_mib", "items", "distinct_codes"),
    *("bit_balance", "saturated", "device", "processor", "repeats", "threads", "versions"),
    *("commit", "dirty", "date", "codes_sha256", "folder"),
)

# statistics.csv: one row per variant and code length. `low` and `high` are the ends of the 95 %
# interval of `map`, over queries and the seeds of this cell alone. `deviation` is over seeds
# (n - 1, empty with one seed).
STATISTICS_CSV = (
    *("dataset", "features", "variant", "bits"),
    *("seeds", "queries", "map", "deviation", "low", "high"),
)

# comparisons.csv: one row per two variants at one code length, the one with the higher mean first.
# - `low` and `high`: ends of the 95 % interval of `difference`, without correction.
# - `p`: two-sided p value of the test, without correction. The report corrects it over its
#   declared families (`harness.families`).
# - `p_holm`, `significant`: after Holm's correction over all rows of the file. They are
#   exploratory: another method in the experiment changes them.
# - `detectable`: smallest true difference that the test detects with power 0.8, at the level 0.05
#   divided by the number of code lengths, as in a table.
COMPARISONS_CSV = (
    *("dataset", "features", "bits", "variant", "other"),
    *("difference", "low", "high", "p", "p_holm", "significant", "detectable"),
)
VERDICTS = {"yes": True, "no": False, "too few seeds": None}  # of the column `significant`

# The tables that `collect` writes.
COLLECTED_TABLES = {
    "metrics.csv": METRICS_CSV,
    "runs.csv": RUNS_CSV,
    "statistics.csv": STATISTICS_CSV,
    "comparisons.csv": COMPARISONS_CSV,
}

# timing.csv: one row per timed run and control. A cell is empty if nothing was computed.
TIMING_CSV = (
    *RUN_KEY,
    *("fit_seconds", "encode_microseconds", "extract_microseconds", "search_microseconds"),
    *("bytes", "database", "device", "processor", "date"),
)

# Arrays of each npz file: dtype and dimensions.
# n: images, Q: evaluated queries, B: bits + 1, the possible distances, S + 1: the possible numbers
# of shared labels, m: inspected queries.
SPLIT_NPZ = {
    "query": ("int64", ("n_query",)),
    "database": ("int64", ("n_database",)),
    "train": ("int64", ("n_train",)),
}
# extras.npz: the arrays of a method, and this one of a method with `project`, in the order of the
# queries of the split.
QUERY_VALUES = "query_values"
EXTRAS_NPZ = {QUERY_VALUES: ("float32", ("n_query", "bits"))}
CODES_NPZ = {"codes": ("uint8", ("n", "ceil(bits / 8)")), "bits": ("int64", ())}

# histograms.npz: these two arrays, and for each run those of SCORED_ARRAYS below "8bit/seed0/".
HISTOGRAMS_NPZ = {
    "query": ("int64", ("Q",)),  # image index of each evaluated query
    "inspected": ("int64", ("m",)),  # image index of each inspected query; not of a control
}
SCORED_ARRAYS = {
    "n": ("int32", ("Q", "B")),  # items at each distance
    "r": ("int32", ("Q", "B")),  # relevant items at each distance
    "g": ("int32", ("Q", "B", "S + 1")),  # items that share s labels; only if items have several
    "ap": ("float64", ("Q",)),  # average precision; the only array of a control
    "first": ("int64", ("m", "10")),  # image index of the first items
    "first_distance": ("int16", ("m", "10")),
    "first_relevant": ("bool", ("m", "10")),
    "first_tied": ("int32", ("m",)),
    "ones": ("float32", ("bits",)),
    "correlation": ("int8", ("min(bits, 64)", "min(bits, 64)")),
    "pairs": ("int64", ("2", "B")),
}

# average_precision.npz of a published folder: examples of the names.
PUBLISHED_ARRAYS = {
    "DATASET/FEATURES/query": ("int64", ("Q",)),
    "DATASET/FEATURES/VARIANT/8bit/seed0": ("float32", ("Q",)),
}


def scored_array(bits: int, seed: int, name: str) -> str:
    """Return the name of an array of one run in histograms.npz, for example ``8bit/seed0/ap``."""
    return f"{run_part(bits, seed)}/{name}"


def run_part(bits: int, seed: int) -> str:
    """Return the part of a run in names and paths below its variant: ``8bit/seed0``."""
    return f"{bits}bit/seed{seed}"


def parsed_array(name: str) -> tuple[int, int, str] | None:
    """Return bits, seed and array of a name in histograms.npz; None if it is of no run."""
    match = re.fullmatch(r"(\d+)bit/seed(\d+)/(\w+)", name)
    return (int(match[1]), int(match[2]), match[3]) if match else None


def published_queries(dataset: str, features: str) -> str:
    """Return the name of the query indices of a place in average_precision.npz."""
    return f"{dataset}/{features}/query"
