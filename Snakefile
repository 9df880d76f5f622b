# images -> features -> codes -> histograms and metrics -> tables and report. What is run is decided in experiments.py.
import os
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, validate

min_version("9.27")
sys.path.insert(0, workflow.basedir)

import errors
import experiments
import plugins
import preflight
import provenance
import storage
from experiments import DATASET, FEATURES, LOG, RUN, SCORES, BenchmarkError
from harness import identity


configfile: "config/config.yaml"
configfile: "config/variants.yaml"
configfile: "config/tuned.json"


try:
    config = experiments.with_numbers(config)
    validate(config, "config/schema.yaml")
    config = experiments.with_trials(config)
    experiments.runs(config)
    experiments.check_citations(config)
    provenance.check_arrays(experiments.grid(config))
    given = {"configfiles": [os.path.relpath(path) for path in workflow.overwrite_configfiles]}
    PLAN = storage.kept(experiments.plan_text(config | given))  # a file, as it would fill a screen wherever a command is shown
except (WorkflowError, BenchmarkError) as error:
    sys.exit(f"config: {errors.explain(error)}")

os.environ |= experiments.job_environment(config, workflow.cores)


def gpu(floor, name):
    """What a job asks for: 1 where its method or extractor uses a GPU and there is one, here or, where jobs go to a cluster, there."""
    return (not workflow.local_exec or provenance.gpu_present()) * experiments.uses_gpu(floor, name, config)


wildcard_constraints:
    dataset="[^/]+",
    features="[^/]+",
    variant="[^/]+",
    bits="[0-9]+",
    seed="[0-9]+",


# A limit on jobs a second makes Snakemake look at all jobs again a second after it last did, in one more chain for each job that ends.
onstart:
    if missing := preflight.missing_files(config):
        sys.exit(missing)
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onerror:
    shell('python -m evaluation partial --plan "$(< {PLAN})" && python -m report --partial')


# All that the report rests on is asked for by name: a file in between that is gone, as after a failure, Snakemake would pass over.
rule all:
    input:
        experiments.outcomes(config),
        "results/experiment.json",
        "results/timing.csv" if config["timed"] else [],
        "results/report/index.html",


rule dataset:
    input:
        lambda w: experiments.variant_sources("datasets", w.dataset, config),
    output:
        f"{DATASET}/images.npy",
        f"{DATASET}/labels.npy",
        f"{DATASET}/split.npz",
        f"{DATASET}/names.json",
        f"{DATASET}/dataset.json",
    log:
        "logs/datasets/{dataset}.log",
    priority: 2
    conda:
        "environment.yaml"
    threads: workflow.cores
    params:
        settings=lambda w: experiments.settings_text("datasets", w.dataset, config),
        files=lambda w: provenance.fingerprints(experiments.user_files("datasets", w.dataset, config)),
    shell:
        "python -m datasets {wildcards.dataset} --settings {params.settings:q} --threads {threads} > {log:q} 2>&1"


# More than four threads of a network would not stay within 2 GiB.
rule features:
    input:
        lambda w: experiments.variant_sources("features", w.features, config),
        f"{DATASET}/images.npy",
        f"{DATASET}/names.json",
    output:
        f"{FEATURES}/features.npy",
        f"{FEATURES}/features.json",
    log:
        "logs/features/{dataset}/{features}.log",
    priority: 2
    conda:
        "environment.yaml"
    threads: lambda w: 4 if experiments.uses_gpu("features", w.features, config) else 1
    resources:
        gpu=lambda w: gpu("features", w.features),
    params:
        settings=lambda w: experiments.settings_text("features", w.features, config),
        files=lambda w: provenance.fingerprints(experiments.user_files("features", w.features, config)),
    shell:
        "python -m features extract {wildcards.dataset} {wildcards.features} --settings {params.settings:q}"
        " --threads {threads} > {log:q} 2>&1"


rule neighbours:
    input:
        "features/_neighbours.py",
        f"{FEATURES}/features.npy",
        f"{FEATURES}/features.json",
        f"{DATASET}/split.npz",
    output:
        f"{FEATURES}/neighbours.npy",
        f"{FEATURES}/neighbours.json",
    log:
        "logs/features/{dataset}/{features}.neighbours.log",
    priority: 2
    conda:
        "environment.yaml"
    threads: workflow.cores
    params:
        metric=lambda w: experiments.variant("features", w.features, config).neighbours,
    shell:
        "python -m features neighbours {wildcards.dataset} {wildcards.features} --metric {params.metric}"
        " --threads {threads} > {log:q} 2>&1"


# Labels are no input here: that is what makes every method unsupervised. The longest jobs go first, so that none is left alone at the end.
rule encode:
    input:
        lambda w: experiments.variant_sources("methods", w.variant, config),
        lambda w: experiments.consumed(w.dataset, w.features, w.variant, config),
    output:
        f"{RUN}/codes.npz",
        f"{RUN}/run.json",
    log:
        f"{LOG}.log",
    priority: lambda w: experiments.uses_gpu("methods", w.variant, config)
    group:
        lambda w: None if workflow.local_exec else experiments.submission(w.dataset, w.features, w.variant, config)
    conda:
        "environment.yaml"
    resources:
        gpu=lambda w: gpu("methods", w.variant),
        runtime=lambda w, attempt: attempt * (720 if experiments.uses_gpu("methods", w.variant, config) else 15),
    params:
        settings=lambda w: experiments.settings_text("methods", w.variant, config),
        files=lambda w: provenance.fingerprints(experiments.user_files("methods", w.variant, config, w.bits, w.seed)),
    shell:
        "python -m methods {wildcards.dataset} {wildcards.features} {wildcards.variant} {wildcards.bits} {wildcards.seed}"
        " --settings {params.settings:q} --traceback {log:q}.traceback > {log:q} 2>&1"


rule score:
    input:
        plugins.relative(identity.sources("evaluation", "scoring")),
        lambda w: experiments.scored_inputs(w.dataset, w.features, w.variant, config),
        f"{DATASET}/labels.npy",
        f"{DATASET}/split.npz",
    output:
        f"{SCORES}/metrics.csv",
        f"{SCORES}/score.json",
        f"{SCORES}/histograms.npz",
    log:
        "logs/scores/{dataset}/{features}/{variant}.log",
    group:
        lambda w: None if workflow.local_exec else experiments.submission(w.dataset, w.features, w.variant, config)
    conda:
        "environment.yaml"
    params:
        runs=lambda w: [f"{bits}:{seed}" for bits, seed in experiments.bits_and_seeds(w.variant, config)],
    shell:
        "python -m evaluation score {wildcards.dataset} {wildcards.features} {wildcards.variant} --runs {params.runs}"
        " --threads {threads} > {log:q} 2>&1"


rule collect:
    input:
        plugins.relative(identity.sources("evaluation", "collecting")),
        experiments.outcomes(config),
    output:
        "results/metrics.csv",
        report("results/runs.csv", caption="report/templates/runs.rst", category="Data"),
        report("results/statistics.csv", caption="report/templates/statistics.rst", category="Data"),
        report("results/comparisons.csv", caption="report/templates/comparisons.rst", category="Data"),
        "results/experiment.json",
    log:
        "logs/collect.log",
    conda:
        "environment.yaml"
    params:
        plan=PLAN,
    shell:
        'python -m evaluation collect --plan "$(< {params.plan})" > {log:q} 2>&1'


# Once nothing else is at work: it waits for all runs, and asks for every core.
rule timing:
    input:
        plugins.relative(identity.sources("evaluation", "timing")),
        rules.collect.output,
    output:
        "results/timing.csv",
    log:
        "logs/timing.log",
    conda:
        "environment.yaml"
    threads: workflow.cores
    resources:
        gpu=lambda w: max(gpu(floor, name) for floor in ("features", "methods") for name in config[floor]),
        runtime=lambda w, attempt: attempt * 720,
    params:
        plan=PLAN,
    shell:
        'python -m evaluation timing --plan "$(< {params.plan})" > {log:q} 2>&1'


rule report:
    input:
        plugins.floor_sources("report"),
        rules.collect.output,
        rules.timing.output if config["timed"] else [],
    output:
        report("results/report/index.html", caption="report/templates/page.rst", category="Page"),
        report(
            directory("results/report/tables"),
            patterns=["{table}.csv"],
            caption="report/templates/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        report(
            directory("results/report/figures"),
            patterns=["{figure}.svg"],
            caption="report/templates/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/report.log",
    conda:
        "environment.yaml"
    threads: workflow.cores
    shell:
        "python -m report --threads {threads} > {log:q} 2>&1"


# At any time, beside a command that runs as well: snakemake --nolock partial
rule partial:
    log:
        "logs/partial.log",
    conda:
        "environment.yaml"
    params:
        plan=PLAN,
    shell:
        '(python -m evaluation partial --running --plan "$(< {params.plan})" && python -m report --partial) > {log:q} 2>&1'
