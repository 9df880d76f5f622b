# images -> features -> codes -> histograms and metrics -> tables and report.
# harness/plan.py decides what runs, and harness/stale.py what is out of date.
import functools
import logging
import os
import re
import shutil
import sys

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import Quietness, RerunTrigger
from snakemake.utils import min_version, validate

min_version("9.27")
if not os.path.samefile(os.curdir, workflow.basedir):
    sys.exit(
        f"snakemake: found the folder {os.getcwd()}, expected that of the project. "
        f"Run `cd {workflow.basedir}` and rerun the command"
    )
if set(workflow.basedir) & set("{}"):
    sys.exit(
        f"snakemake: the path {workflow.basedir} has a brace, which Snakemake reads as a wildcard. "
        "Rename the folder"
    )
sys.path.insert(0, workflow.basedir)

from experiments import launching, preflight, resources, search_spaces
from experiments.screen import Filter, Screen
from harness import configuration, errors, provenance
from harness.plan import (
    EXPERIMENT_LIST,
    Job,
    Place,
    Plan,
    Run,
    Score,
    check_citations,
    job_of,
)
from harness.stale import STAMP, State
from harness.user_data import job_environment
from report.tables import table_specs

snakemake_logger = logging.getLogger("snakemake.logging")
quiet = Filter()
if workflow.is_main_process and not (
    workflow.output_settings.dryrun or workflow.output_settings.verbose
):
    for handler in snakemake_logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(quiet)

try:
    for path in ("config/config.yaml", "config/variants.yaml", *workflow.overwrite_configfiles):
        configuration.check(os.path.relpath(path))
except errors.BenchmarkError as error:
    sys.exit(f"config: {error}")


configfile: "config/config.yaml"
configfile: "config/variants.yaml"


try:
    given = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    drawn = search_spaces.with_drawn_trials(config)
    plan = Plan.load(drawn, given, lambda keys: validate(keys, "config/schema.yaml"))
    check_citations(plan)
    table_specs.check(config)
    state = State(plan)
    PLAN = plan.save()
    if workflow.is_main_process:
        state.check()
        preflight.check_memory(state)
        state.settle_times()
        state.write_stamp()
        if not workflow.output_settings.dryrun:
            preflight.refresh_experiment_list()
except (WorkflowError, errors.BenchmarkError) as error:
    sys.exit(f"config: {errors.explain(error)}")

os.environ |= job_environment(plan.data)
silenced = set(workflow.output_settings.quiet or ())
screen = Screen(
    plan,
    snakemake_logger,
    progress=Quietness.PROGRESS not in silenced,
    silent=Quietness.ALL in silenced,
)

# `logged LOG COMMAND` writes what a command prints to its log, and if it fails, its exit status.
# A log on a full disk fails no job, since Snakemake would remove the outputs of one that did.
shell.prefix("""
    set -euo pipefail
    logged() {{
        local log=$1 status
        shift
        exec 2> /dev/null  # where bash reports a command that was killed
        "$@" 2>&1 | {{ cat > "$log" || cat > /dev/null; }} || {{
            status=$?
            echo "exit status $status" >> "$log"
            exit $status
        }}
    }}
    """)

PLACE = Place("{dataset}", "{features}")
RUN = Run("{dataset}", "{features}", "{variant}", "{bits}", "{seed}")
SCORE = Score(plan.root, "{dataset}", "{features}", "{variant}")
REPORT = str(plan.record(Job("report")))

if workflow.is_main_process:
    reasons = state.reasons()
    if len(reasons) > 6:
        reasons = [*reasons[:5], f"other jobs, for {len(reasons) - 5:,} more reasons"]
    for line in reasons:
        print(f"out of date: {line}", file=sys.stderr)
    if advice := state.advice():
        print(advice, file=sys.stderr)
    if plan.omitted:
        print(
            f"omitted: {', '.join(plan.omitted)}: none of their own bits is among "
            f"{', '.join(map(str, plan.bits))}",
            file=sys.stderr,
        )
    if any(word.partition("=")[0] == "--report" for word in sys.argv) and any(
        map(state.problem, plan.jobs())
    ):
        sys.exit(
            "snakemake: the results are missing or out of date, and --report would pack them. "
            "Rerun the command without --report first"
        )


def paths(files):
    return [str(path) for path in files]


@functools.cache
def let_records_decide():
    """Make the records alone decide which jobs run, not Snakemake's own reasons.

    Snakemake does not look at the jobs after one that it runs for a reason of its own: parameters
    or a shell command that differ from those that it remembers, the mark of a killed job, an option
    such as `--forcerun`. Outputs are written atomically, so the mark means nothing. What an option
    forces is out of date here too. The settings of the command are known when jobs are planned.
    """
    settings = workflow.dag_settings
    settings.rerun_triggers = frozenset({RerunTrigger.MTIME})
    workflow.dag.ignore_incomplete = True

    named = set(settings.forcerun) | (set(settings.targets) if settings.forcetargets else set())
    if named or settings.forceall:
        state.force(
            lambda job: settings.forceall
            or not named.isdisjoint({job.rule, *paths(plan.outputs(job))})
        )


def inputs(rule):
    """The input function of a rule: inputs are `ancient` unless the job is out of date.

    Snakemake takes an `ancient` input for older than any output. See `State.write_stamp`.
    """

    def of_job(wildcards):
        let_records_decide()
        job = job_of(rule, wildcards)
        files = [
            (
                str(file.path)
                if file.decides and state.problem(file.producer)
                else ancient(str(file.path))
            )
            for file in plan.inputs(job)
        ]
        return [*files, str(STAMP) if state.problem(job) else ancient(str(STAMP))]

    return of_job


def gpu(variant):
    """1 if a job asks for a GPU: its plugin uses one, and there is one here or on the cluster."""
    return int((not workflow.local_exec or provenance.gpu_present()) and variant.uses_gpu)


def machine():
    """How many jobs run at the same time at most, and where, for the header on the screen."""
    if not workflow.local_exec:
        return workflow.nodes, f"a cluster, up to {workflow.nodes:,} jobs at a time"
    cores = workflow.cores or 1
    device = "GPU" if provenance.gpu_present() else "CPU"
    return cores, f"{cores:,} core{'s' if cores > 1 else ''}, {device}"


def memory(megabytes, grouped=lambda wildcards: False):
    """A resource that grows with the attempts, up to what a node of the cluster has.

    As many runs of a group as it has cores share a node.
    """

    def of_attempt(wildcards, attempt):
        most = None if workflow.local_exec else preflight.node_memory()
        if most and grouped(wildcards):
            most //= workflow.cores or 1
        return min(attempt * megabytes, most) if most else attempt * megabytes

    return of_attempt


def submission(wildcards):
    """The group of a run or of a scoring job on a cluster."""
    return None if workflow.local_exec else plan.submission(wildcards)


def one_of(names):
    """A pattern that no other name matches: a target that the plan does not have has no rule."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


wildcard_constraints:
    dataset=one_of(plan.datasets),
    features=one_of(plan.features),
    variant=one_of([*plan.controls, *plan.methods]),
    bits=one_of(plan.bits),
    seed=one_of({0, *plan.seeds}),


# With a limit on jobs per second, Snakemake looks at all jobs again a second after it last did, in
# one more chain for each job that ends.
onstart:
    if not workflow.local_exec and (
        problem := preflight.unquoted_path([workflow.basedir, sys.executable])
    ):
        sys.exit(problem)
    if missing := preflight.missing_files(state):
        sys.exit(missing)
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
    workflow.scheduler.print_progress = (
        True  # else --quiet hides from the screen which jobs end
    )
    if not workflow.touch:
        quiet.screen = screen
        jobs = list(workflow.dag.needrun_jobs())
        planned = resources.planned(jobs)
        needs = resources.needs(plan, planned)
        if workflow.local_exec and (problem := resources.shortage(needs)):
            sys.exit(problem)
        screen.start(jobs, *machine(), needs)
        if workflow.local_exec:
            launching.start_servers(plan, planned)
    if workflow.local_exec:
        screen.catch_interrupts()


onsuccess:
    screen.succeed()
    if screen.finished["report"]:
        shutil.rmtree(plan.partial_root, ignore_errors=True)


onerror:
    if screen.interrupted:
        screen.stop_interrupted()
    else:
        screen.fail(log)
        screen.make_partial_tables(PLAN)


rule all:
    input:
        paths(plan.outputs(Job("collect"))),
        paths(plan.outputs(Job("timing"))) if plan.timed else [],
        paths(plan.outputs(Job("report"))),
        str(EXPERIMENT_LIST) if plan.name else [],


rule dataset:
    input:
        inputs("dataset"),
    output:
        paths(plan.outputs(Job("dataset", (PLACE.dataset,)))),
    log:
        "logs/datasets/{dataset}.log",
    priority: 2
    conda:
        "environment.yaml"
    threads: workflow.cores
    resources:
        mem_mb=memory(8000),
    params:
        entry=lambda w: plan.datasets[w.dataset].entry_text,
    shell:
        "logged {log:q} python -m datasets {wildcards.dataset}"
        " --entry {params.entry:q} --threads {threads}"


# More than four threads of a network would not stay within 2 GiB.
rule features:
    input:
        inputs("features"),
    output:
        paths(plan.outputs(Job("features", (PLACE.dataset, PLACE.features)))),
    log:
        "logs/features/{dataset}/{features}.log",
    priority: 2
    conda:
        "environment.yaml"
    threads: lambda w: 4 if plan.features[w.features].uses_gpu else 1
    resources:
        gpu=lambda w: gpu(plan.features[w.features]),
        mem_mb=memory(8000),
    params:
        entry=lambda w: plan.features[w.features].entry_text,
    shell:
        "logged {log:q} python -m features extract {wildcards.dataset} {wildcards.features}"
        " --entry {params.entry:q} --threads {threads}"


rule neighbours:
    input:
        inputs("neighbours"),
    output:
        paths(plan.outputs(Job("neighbours", (PLACE.dataset, PLACE.features)))),
    log:
        "logs/features/{dataset}/{features}.neighbours.log",
    priority: 2
    conda:
        "environment.yaml"
    threads: workflow.cores
    resources:
        mem_mb=memory(8000),
    params:
        metric=lambda w: plan.features[w.features].neighbours,
    shell:
        "logged {log:q} python -m features neighbours {wildcards.dataset} {wildcards.features}"
        " --metric {params.metric} --threads {threads}"


rule views:
    input:
        inputs("views"),
    output:
        paths(plan.outputs(Job("views", (PLACE.dataset, PLACE.features)))),
    log:
        "logs/features/{dataset}/{features}.views.log",
    priority: 2
    conda:
        "environment.yaml"
    threads: lambda w: 4 if plan.features[w.features].uses_gpu else 1
    resources:
        gpu=lambda w: gpu(plan.features[w.features]),
        mem_mb=memory(8000),
    params:
        entry=lambda w: plan.features[w.features].entry_text,
    shell:
        "logged {log:q} python -m features views {wildcards.dataset} {wildcards.features}"
        " --entry {params.entry:q} --threads {threads}"


# Labels are no input here: every method is unsupervised. The longest jobs start first, so that none
# runs alone at the end.
rule encode:
    input:
        inputs("encode"),
    output:
        paths([RUN.codes, RUN.extras, RUN.record]),
    log:
        str(RUN.log),
    wildcard_constraints:
        variant=one_of(plan.methods),
    priority: lambda w: int(plan.methods[w.variant].uses_gpu)
    group:
        submission
    conda:
        "environment.yaml"
    resources:
        gpu=lambda w: gpu(plan.methods[w.variant]),
        mem_mb=memory(4000, submission),
        runtime=lambda w, attempt: attempt * (720 if plan.methods[w.variant].uses_gpu else 15),
    params:
        command=lambda w: launching.command(plan, w.variant),
        entry=lambda w: plan.methods[w.variant].entry_text,
    shell:
        "logged {log:q} python -m {params.command} {wildcards.dataset} {wildcards.features}"
        " {wildcards.variant} {wildcards.bits} {wildcards.seed}"
        " --entry {params.entry:q} --traceback {log:q}.traceback"


rule score:
    input:
        inputs("score"),
    output:
        paths([SCORE.metrics, SCORE.histograms, SCORE.record]),
    log:
        f"logs/{plan.root}/scores/{{dataset}}/{{features}}/{{variant}}.log",
    group:
        submission
    conda:
        "environment.yaml"
    resources:
        mem_mb=memory(2000, submission),
    params:
        root=f"--root {plan.root}",
        runs=lambda w: [
            f"{bits}:{seed}"
            for bits, seed in plan.scored(plan.score(Place(w.dataset, w.features), w.variant))
        ],
        rankings=f"--rankings {' '.join(plan.rankings)}" if plan.rankings else "",
    shell:
        "logged {log:q} python -m evaluation score {wildcards.dataset} {wildcards.features}"
        " {wildcards.variant} --runs {params.runs} {params.rankings} {params.root}"
        " --threads {threads}"


rule collect:
    input:
        inputs("collect"),
    output:
        f"{plan.root}/metrics.csv",
        report(f"{plan.root}/runs.csv", caption="report/templates/runs.rst", category="Data"),
        report(
            f"{plan.root}/statistics.csv",
            caption="report/templates/statistics.rst",
            category="Data",
        ),
        report(
            f"{plan.root}/comparisons.csv",
            caption="report/templates/comparisons.rst",
            category="Data",
        ),
        f"{plan.root}/experiment.json",
    log:
        f"logs/{plan.root}/collect.log",
    conda:
        "environment.yaml"
    resources:
        mem_mb=memory(4000),
    params:
        plan=PLAN,
    shell:
        "logged {log:q} python -m experiments collect --plan {params.plan:q}"


# It waits for all runs and asks for every core, so that nothing else is running.
rule timing:
    input:
        inputs("timing"),
    output:
        paths(plan.outputs(Job("timing"))),
    log:
        f"logs/{plan.root}/timing.log",
    conda:
        "environment.yaml"
    threads: workflow.cores
    resources:
        gpu=lambda w: max(
            gpu(variant) for variant in [*plan.features.values(), *plan.methods.values()]
        ),
        runtime=lambda w, attempt: attempt * 720,
    params:
        plan=PLAN,
    shell:
        "logged {log:q} python -m experiments timing --plan {params.plan:q}"


rule report:
    input:
        inputs("report"),
    output:
        report(
            f"{plan.root}/report/index.html", caption="report/templates/page.rst", category="Page"
        ),
        report(
            directory(f"{plan.root}/report/tables"),
            patterns=["{table}.csv"],
            caption="report/templates/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        report(
            directory(f"{plan.root}/report/figures"),
            patterns=["{figure}.svg"],
            caption="report/templates/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        f"{plan.root}/report/report.json",
    log:
        f"logs/{plan.root}/report.log",
    conda:
        "environment.yaml"
    threads: workflow.cores
    params:
        root=f"--results {plan.root}",
    shell:
        "logged {log:q} python -m report {params.root} --threads {threads}"


# The list of all experiments but the default one: it is rewritten whenever one of them is reported.
rule experiments:
    input:
        lambda w: REPORT if state.problem(Job("report")) else ancient(REPORT),
    output:
        str(EXPERIMENT_LIST),
    log:
        "logs/results/experiments.log",
    conda:
        "environment.yaml"
    shell:
        "logged {log:q} python -m report --experiments"


# At any time, also while another command runs: snakemake --nolock partial
rule partial:
    log:
        f"logs/{plan.root}/partial.log",
    conda:
        "environment.yaml"
    params:
        plan=PLAN,
        root=f"--results {plan.partial_root}",
    shell:
        "logged {log:q} python -m experiments partial --running --plan {params.plan:q}"
        " && logged {log:q} python -m report --partial {params.root}"
