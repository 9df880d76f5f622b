# images -> features -> codes -> histograms and metrics -> tables and report. What is run is decided in experiments.py.
import os
import sys
import time

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, validate

min_version("9.8")
sys.path.insert(0, workflow.basedir)

import experiments
import provenance
from experiments import DATASET, FEATURES, LOG, RUN, SCORES, BenchmarkError


configfile: "config/config.yaml"
configfile: "config/variants.yaml"


try:
    validate(config, "config/schema.yaml")
    experiments.runs(config)
except (WorkflowError, BenchmarkError) as error:
    sys.exit(f"config: {experiments.explain(error)}")

PLAN = experiments.plan_text(config)
DATA = experiments.data_folder(config).as_posix()

# For jobs: `python` is the one that runs this file, the floors win over installed packages of their names, and the command's start.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
os.environ["PYTHONPATH"] = os.pathsep.join([workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("BGAN_BENCH_STARTED", str(time.time()))
os.environ.setdefault("BGAN_BENCH_CORES", str(workflow.cores or 1))


wildcard_constraints:
    dataset="[^/]+",
    features="[^/]+",
    variant="[^/]+",
    bits="[0-9]+",
    seed="[0-9]+",


onerror:
    shell("python -m evaluation partial --plan {PLAN:q} && python -m report --partial"),


rule all:
    input:
        "results/report/index.html",


rule dataset:
    input:
        lambda w: experiments.variant_sources("datasets", w.dataset, config),
    output:
        f"{DATASET}/images.npy",
        f"{DATASET}/labels.npy",
        f"{DATASET}/split.npz",
        f"{DATASET}/dataset.json",
    params:
        settings=lambda w: experiments.settings_text("datasets", w.dataset, config),
        data=DATA,
    log:
        "logs/datasets/{dataset}.log",
    conda:
        "environment.yaml"
    shell:
        "python -m datasets {wildcards.dataset} --settings {params.settings:q} --data {params.data:q}"
        " --output $(dirname {output[0]:q}) > {log:q} 2>&1"


rule features:
    input:
        lambda w: experiments.variant_sources("features", w.features, config),
        images=f"{DATASET}/images.npy",
    output:
        f"{FEATURES}/features.npy",
        f"{FEATURES}/features.json",
    params:
        settings=lambda w: experiments.settings_text("features", w.features, config),
        data=DATA,
    log:
        "logs/features/{dataset}/{features}.log",
    conda:
        "environment.yaml"
    shell:
        "python -m features extract {wildcards.features} --settings {params.settings:q} --data {params.data:q}"
        " --dataset $(dirname {input.images:q}) --output $(dirname {output[0]:q}) > {log:q} 2>&1"


rule neighbours:
    input:
        "features/_neighbours.py",
        features=f"{FEATURES}/features.npy",
        split=f"{DATASET}/split.npz",
    output:
        f"{FEATURES}/neighbours.npy",
    log:
        "logs/features/{dataset}/{features}.neighbours.log",
    threads: workflow.cores
    conda:
        "environment.yaml"
    shell:
        "python -m features neighbours --dataset $(dirname {input.split:q}) --threads {threads}"
        " --output $(dirname {output:q}) > {log:q} 2>&1"


# Labels are no input here: that is what makes every method unsupervised.
rule encode:
    input:
        lambda w: experiments.variant_sources("methods", w.variant, config),
        f"{DATASET}/images.npy",
        f"{FEATURES}/features.npy",
        f"{FEATURES}/neighbours.npy",
        split=f"{DATASET}/split.npz",
        described=f"{FEATURES}/features.json",
    output:
        f"{RUN}/codes.npz",
        f"{RUN}/run.json",
    params:
        settings=lambda w: experiments.settings_text("methods", w.variant, config),
    log:
        f"{LOG}.log",
    resources:
        gpu=lambda w: experiments.gpus(w.variant, config, provenance.gpu_present()),
    conda:
        "environment.yaml"
    shell:
        "python -m methods $(dirname {output[0]:q}) --settings {params.settings:q} --dataset $(dirname {input.split:q})"
        " --features $(dirname {input.described:q}) --traceback {log:q}.traceback > {log:q} 2>&1"


rule score:
    input:
        experiments.floor_sources("evaluation"),
        lambda w: experiments.scored_inputs(w.dataset, w.features, w.variant, config),
        labels=f"{DATASET}/labels.npy",
        split=f"{DATASET}/split.npz",
    output:
        f"{SCORES}/metrics.csv",
        f"{SCORES}/score.json",
        f"{SCORES}/histograms.npz",
    params:
        runs=lambda w: [f"{bits}:{seed}" for bits, seed in experiments.bits_and_seeds(w.variant, config)],
    log:
        "logs/scores/{dataset}/{features}/{variant}.log",
    conda:
        "environment.yaml"
    shell:
        "python -m evaluation score {wildcards.dataset} {wildcards.features} {wildcards.variant} --runs {params.runs}"
        " --threads {threads} > {log:q} 2>&1"


rule collect:
    input:
        experiments.floor_sources("evaluation"),
        experiments.outcomes(config),
    output:
        "results/metrics.csv",
        "results/runs.csv",
        "results/experiment.json",
    params:
        plan=PLAN,
    log:
        "logs/collect.log",
    conda:
        "environment.yaml"
    shell:
        "python -m evaluation collect --plan {params.plan:q} > {log:q} 2>&1"


rule report:
    input:
        experiments.floor_sources("report"),
        rules.collect.output,
    output:
        "results/report/index.html",
    log:
        "logs/report.log",
    conda:
        "environment.yaml"
    shell:
        "python -m report > {log:q} 2>&1"
