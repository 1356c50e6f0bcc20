# One training run an experiment, and its measured results.


rule train:
    input:
        shards=lambda w: PLAN.shard_indexes(w.experiment),
        # A gate only: data whose axes are wrong are not trained on.
        audits=lambda w: [
            ancient(f"{OUT}/audits/{dataset}.json")
            for dataset in PLAN.config.experiments[w.experiment].datasets
        ],
        # Shards stored in layers are composited while training, from the bank itself.
        bank=PLAN.bank() if PLAN.config.shards.storage == "layers" else [],
    output:
        report(
            f"{OUT}/runs/{{experiment}}/train.json",
            caption="../../report/captions/metrics.rst",
            category="Metrics",
            labels={"experiment": "{experiment}", "what": "training"},
        ),
    log:
        f"{OUT}/logs/train/{{experiment}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/train/{{experiment}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: lambda w: PLAN.train_threads(w.experiment)
    resources:
        # Most new attempts go on after a wall time, and need no more memory than the first.
        mem_mb=lambda w, attempt: 16000 * min(attempt, 2),
        runtime=720,
        gpu=lambda w: PLAN.gpus(w.experiment),
    params:
        seed=SEED,
        settings=lambda w: PLAN.experiment(w.experiment),
        run=lambda w: f"{OUT}/runs/{w.experiment}",
        code=PLAN.code("train"),
    # SIGTERM, SIGHUP and SIGUSR1 are the trainer's: it saves and leaves, and the shell must outlive it.
    shell:
        "trap : TERM HUP USR1; "
        "python -m training train --name {wildcards.experiment} --seed {params.seed} --settings {params.settings:q} "
        "--shards {input.shards:q} --run {params.run:q} --log {log:q}"


# Photographs of known objects, to judge on and never to train on.
rule photographs:
    output:
        f"{OUT}/photographs/{{photographs}}.npz",
    log:
        f"{OUT}/logs/photographs/{{photographs}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/photographs/{{photographs}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 8000 * attempt,
        runtime=60,
    params:
        settings=lambda w: PLAN.photographs(w.photographs),
        contents=lambda w: PLAN.photograph_contents(w.photographs),
        code=PLAN.code("photographs"),
    shell:
        "python -m pipeline photographs --settings {params.settings:q} -o {output:q} --log {log:q}"


rule evaluate:
    input:
        run=f"{OUT}/runs/{{experiment}}/train.json",
        shards=lambda w: PLAN.shard_indexes(w.experiment),
        classified=PLAN.classified(),
        photographs=PLAN.photograph_files(),
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
            if PLAN.photograph_files()
            else []
        ),
    log:
        f"{OUT}/logs/evaluate/{{experiment}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/evaluate/{{experiment}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 8
    resources:
        mem_mb=lambda w, attempt: 16000 * attempt,
        runtime=240,
        gpu=lambda w: min(1, PLAN.gpus(w.experiment)),
    params:
        run=lambda w: f"{OUT}/runs/{w.experiment}",
        settings=PLAN.section("evaluation"),
        code=PLAN.code("evaluate"),
    shell:
        "python -m training evaluate --run {params.run:q} --shards {input.shards:q} --settings {params.settings:q} "
        "--photographs {input.photographs:q} --classify-shards {input.classified:q} "
        "-o {output.results:q} --log {log:q}"
