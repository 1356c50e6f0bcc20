# One training run an experiment, and its measured results.


rule train:
    input:
        unpack(needs("train")),
        suspended=lambda w: PLAN.suspended(w.experiment),
    output:
        product=report(
            f"{OUT}/runs/{{experiment}}/train.json",
            caption="../../report/captions/metrics.rst",
            category="Metrics",
            labels={"experiment": "{experiment}", "what": "training"},
        ),
        beside=beside("train", experiment="{experiment}"),
        made=f"{OUT}/made/train/{{experiment}}.json",
    log:
        f"{OUT}/logs/train/{{experiment}}.jsonl",
        *([PLAN.graph.suspended("{experiment}")] if PLAN.place.apart else []),
    benchmark:
        f"{OUT}/benchmarks/train/{{experiment}}.tsv"
    priority: 10  # it takes longest; galleries are made beside it
    conda:
        "../../envs/train.yaml"
    threads: lambda w: PLAN.train_threads(w.experiment, gpu=may_use_gpu(w.experiment))
    resources:
        # Most new attempts go on after a wall time, and need no more memory than the first.
        mem_mb=lambda w, attempt: 16000 * min(attempt, 2),
        runtime=720,
        gpu=lambda w: PLAN.gpus(w.experiment),
    params:
        made=made("train"),
        seed=SEED,
        settings=lambda w: PLAN.experiment(w.experiment),
        run=lambda w: here(f"{OUT}/runs/{w.experiment}"),
        in_pieces=in_pieces,
        launcher=lambda w, resources: in_words(
            lambda: PLAN.launcher(w.experiment, resources)
        ),
    # SIGTERM, SIGHUP and SIGUSR1 are the trainer's: it saves and leaves, and the shell must outlive it.
    shell:
        "trap : TERM HUP USR1; {params.in_pieces}"
        "{params.launcher} train --name {wildcards.experiment} --seed {params.seed} --settings {params.settings:q} "
        "--shards {input.shards:q} --audits {input.audits:q} --run {params.run:q} --log {log[0]:q} "
        "&& made {output.made:q} {params.made:q}"


# Photographs of known objects, to judge on and never to train on.
rule photographs:
    input:
        unpack(needs("photographs")),
    output:
        product=f"{OUT}/photographs/{{photographs}}.npz",
        made=f"{OUT}/made/photographs/{{photographs}}.json",
    log:
        f"{OUT}/logs/photographs/{{photographs}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/photographs/{{photographs}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(8000),
        runtime=60,
    params:
        made=made("photographs"),
        settings=lambda w: PLAN.photographs(w.photographs),
    shell:
        "python -m pipeline photographs --settings {params.settings:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


rule evaluate:
    input:
        unpack(needs("evaluate")),
    output:
        results=report(
            f"{OUT}/runs/{{experiment}}/results.json",
            caption="../../report/captions/results.rst",
            category="Metrics",
            labels={"experiment": "{experiment}", "what": "held-out shapes"},
        ),
        predictions=f"{OUT}/runs/{{experiment}}/predictions.npz",
        samples=f"{OUT}/runs/{{experiment}}/samples.npz",
        table=f"{OUT}/runs/{{experiment}}/results.md",
        latent=f"{OUT}/runs/{{experiment}}/latent.npz",
        interpolations=f"{OUT}/runs/{{experiment}}/interpolations.npz",
        photographs=(
            [f"{OUT}/runs/{{experiment}}/photographs.npz"]
            if PLAN.config.photographs
            else []
        ),
        made=f"{OUT}/made/evaluate/{{experiment}}.json",
    log:
        f"{OUT}/logs/evaluate/{{experiment}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/evaluate/{{experiment}}.tsv"
    priority: 10
    conda:
        "../../envs/train.yaml"
    threads: 8
    resources:
        mem_mb=each_attempt(16000),
        runtime=240,
        gpu=lambda w: min(1, PLAN.gpus(w.experiment)),
    params:
        made=made("evaluate"),
        run=lambda w: here(f"{OUT}/runs/{w.experiment}"),
        settings=PLAN.section("evaluation"),
    shell:
        "python -m training evaluate --run {params.run:q} --shards {input.shards:q} --settings {params.settings:q} "
        "--photographs {input.photographs:q} --classify-shards {input.classified:q} "
        "-o {output.results:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


# The network in a page: pictures in, shapes out, without a server.
rule page:
    input:
        unpack(needs("page")),
    output:
        product=f"{OUT}/runs/{{experiment}}/try.html",
        made=f"{OUT}/made/page/{{experiment}}.json",
    log:
        f"{OUT}/logs/page/{{experiment}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/page/{{experiment}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(4000),
        runtime=30,
    params:
        made=made("page"),
        run=lambda w: here(f"{OUT}/runs/{w.experiment}"),
    shell:
        "python -m training page --run {params.run:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"
