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
        f"{OUT}/runs/{{experiment}}/train.json",
    log:
        f"{OUT}/logs/train/{{experiment}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/train/{{experiment}}.tsv"
    threads: 8
    resources:
        mem_mb=lambda w, attempt: 16000 * attempt,
        runtime=720,
    params:
        seed=SEED,
        settings=lambda w: PLAN.experiment(w.experiment),
        run=lambda w: f"{OUT}/runs/{w.experiment}",
        code=PLAN.code("train"),
    shell:
        "python -m training train --name {wildcards.experiment} --seed {params.seed} --settings {params.settings:q} "
        "--shards {input.shards:q} --run {params.run:q} --log {log:q}"


rule evaluate:
    input:
        run=f"{OUT}/runs/{{experiment}}/train.json",
        shards=lambda w: PLAN.shard_indexes(w.experiment),
    output:
        f"{OUT}/runs/{{experiment}}/results.json",
        f"{OUT}/runs/{{experiment}}/predictions.npz",
        f"{OUT}/runs/{{experiment}}/samples.npz",
    log:
        f"{OUT}/logs/evaluate/{{experiment}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/evaluate/{{experiment}}.tsv"
    threads: 8
    resources:
        mem_mb=lambda w, attempt: 16000 * attempt,
        runtime=240,
    params:
        run=lambda w: f"{OUT}/runs/{w.experiment}",
        code=PLAN.code("evaluate"),
    shell:
        "python -m training evaluate --run {params.run:q} --shards {input.shards:q} -o {output[0]:q} --log {log:q}"
