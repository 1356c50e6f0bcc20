# From addresses to training shards; the unit of work is a shard of a data set.


# The embedded default data: archives in the layouts of the real sets, served by a file:// mirror.
rule generate:
    input:
        unpack(needs("generate")),
    output:
        product=directory(f"{OUT}/mirror/{{dataset}}"),
        made=f"{OUT}/made/generate/{{dataset}}.json",
    log:
        f"{OUT}/logs/generate/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/generate/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.graph.sourced("procedural")),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        made=made("generate"),
        seed=SEED,
        settings=lambda w: PLAN.generate(w.dataset),
    shell:
        "python -m pipeline generate --dataset {wildcards.dataset} --seed {params.seed} "
        "--settings {params.settings:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


KEEP = "--keep" if PLAN.place.apart else ""


rule fetch:
    input:
        unpack(needs("fetch")),
    output:
        product=f"{OUT}/archives/{{dataset}}.json",
        contents=beside("fetch", dataset="{dataset}"),
        made=f"{OUT}/made/fetch/{{dataset}}.json",
    log:
        f"{OUT}/logs/fetch/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/fetch/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.graph.archived),
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=2880,
    params:
        made=made("fetch"),
        seed=SEED,
        settings=lambda w: PLAN.fetch(w.dataset),
        keep=KEEP,
        mirror=lambda w, input: (
            shlex.join(["--mirror", *input.mirror]) if input.get("mirror") else ""
        ),
    shell:
        "python -m pipeline fetch --dataset {wildcards.dataset} --seed {params.seed} --settings {params.settings:q} "
        "{params.mirror} {params.keep} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


# One rule a data set, since each has its own number of shard lists.
for _name, _rule in PLAN.index_rules().items():

    rule:
        name:
            _rule
        input:
            unpack(lambda w, name=_name: needs("index")({"dataset": name})),
        output:
            lists=[PLAN.graph.list_file(_name, shard) for shard in PLAN.shards(_name)],
            rejects=f"{OUT}/index/{_name}/rejects.jsonl",
            beside=beside("index", dataset=_name),
            made=f"{OUT}/made/index/{_name}.json",
        log:
            f"{OUT}/logs/index/{_name}.jsonl",
        benchmark:
            f"{OUT}/benchmarks/index/{_name}.tsv"
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            made=lambda w, name=_name: PLAN.made("index")({"dataset": name}),
            seed=SEED,
            name=_name,
            settings=PLAN.index(_name),
            shards=len(PLAN.shards(_name)),
            folder=lambda w, output: os.path.dirname(output.rejects),
        shell:
            "python -m pipeline index --dataset {params.name} --seed {params.seed} --settings {params.settings:q} "
            "--archives {input.archives:q} --shards {params.shards} -o {params.folder:q} --log {log:q} "
            "&& made {output.made:q} {params.made:q}"


rule prepare:
    input:
        unpack(needs("prepare")),
    output:
        product=f"{OUT}/prepared/{{dataset}}/{{shard}}.zip",
        made=f"{OUT}/made/prepare/{{dataset}}/{{shard}}.json",
    log:
        f"{OUT}/logs/prepare/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/prepare/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(3000),
        runtime=each_attempt(120),
    params:
        made=made("prepare"),
        shapes=lambda w: here(PLAN.graph.list_file(w.dataset, w.shard)),
        archives=lambda w: here(f"{OUT}/archives/{w.dataset}.json"),
        settings=lambda w: PLAN.prepare(w.dataset),
    shell:
        "python -m pipeline prepare --settings {params.settings:q} "
        "--archives {params.archives:q} --shard {params.shapes:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


rule voxelize:
    input:
        unpack(needs("voxelize")),
    output:
        product=f"{OUT}/voxels/{{dataset}}/{{shard}}.zip",
        made=f"{OUT}/made/voxelize/{{dataset}}/{{shard}}.json",
    log:
        f"{OUT}/logs/voxelize/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/voxelize/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/voxelize.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(2000),
        runtime=each_attempt(60),
    params:
        made=made("voxelize"),
        settings=PLAN.section("voxels"),
    shell:
        "python -m voxelize shard --settings {params.settings:q} --prepared {input.prepared:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


rule render:
    input:
        unpack(needs("render")),
    output:
        product=f"{OUT}/renders/{{dataset}}/{{shard}}.h5",
        made=f"{OUT}/made/render/{{dataset}}/{{shard}}.json",
    log:
        f"{OUT}/logs/render/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/render/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(3000),
        runtime=each_attempt(240),
    params:
        made=made("render"),
        seed=SEED,
        settings=PLAN.section("render"),
    shell:
        "python -m render shard --seed {params.seed} --settings {params.settings:q} --prepared {input.prepared:q} "
        "-o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


# What a source publishes is taken over instead of made: voxels in place of voxelize, views in place of render.
if PLAN.graph.imported("voxels"):

    ruleorder: import_voxels > voxelize

    rule import_voxels:
        input:
            unpack(needs("import_voxels")),
        output:
            product=f"{OUT}/voxels/{{dataset}}/{{shard}}.zip",
            made=f"{OUT}/made/import_voxels/{{dataset}}/{{shard}}.json",
        log:
            f"{OUT}/logs/import_voxels/{{dataset}}-{{shard}}.jsonl",
        benchmark:
            f"{OUT}/benchmarks/import_voxels/{{dataset}}-{{shard}}.tsv"
        wildcard_constraints:
            dataset=one_of(PLAN.graph.imported("voxels")),
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=each_attempt(2000),
            runtime=each_attempt(60),
        params:
            made=made("import_voxels"),
            shapes=lambda w: here(PLAN.graph.list_file(w.dataset, w.shard)),
            archives=lambda w: here(f"{OUT}/archives/{w.dataset}.json"),
            settings=lambda w: PLAN.import_voxels(w.dataset),
        shell:
            "python -m pipeline import_voxels --settings {params.settings:q} --archives {params.archives:q} "
            "--shard {params.shapes:q} -o {output.product:q} --log {log:q} "
            "&& made {output.made:q} {params.made:q}"


if PLAN.graph.imported("views"):

    ruleorder: import_views > render

    rule import_views:
        input:
            unpack(needs("import_views")),
        output:
            product=f"{OUT}/renders/{{dataset}}/{{shard}}.h5",
            made=f"{OUT}/made/import_views/{{dataset}}/{{shard}}.json",
        log:
            f"{OUT}/logs/import_views/{{dataset}}-{{shard}}.jsonl",
        benchmark:
            f"{OUT}/benchmarks/import_views/{{dataset}}-{{shard}}.tsv"
        wildcard_constraints:
            dataset=one_of(PLAN.graph.imported("views")),
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=each_attempt(2000),
            runtime=each_attempt(60),
        params:
            made=made("import_views"),
            shapes=lambda w: here(PLAN.graph.list_file(w.dataset, w.shard)),
            archives=lambda w: here(f"{OUT}/archives/{w.dataset}.json"),
            settings=lambda w: PLAN.import_views(w.dataset),
            prepared=lambda w, input: (
                shlex.join(["--prepared", *input.prepared])
                if input.get("prepared")
                else ""
            ),
        shell:
            "python -m pipeline import_views --settings {params.settings:q} --archives {params.archives:q} "
            "--shard {params.shapes:q} {params.prepared} -o {output.product:q} --log {log:q} "
            "&& made {output.made:q} {params.made:q}"


rule rooms:
    input:
        unpack(needs("rooms")),
    output:
        product=directory(f"{OUT}/mirror/backgrounds"),
        made=f"{OUT}/made/rooms.json",
    log:
        f"{OUT}/logs/rooms.jsonl",
    benchmark:
        f"{OUT}/benchmarks/rooms.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        made=made("rooms"),
        seed=SEED,
        pictures=BACKGROUNDS.count,
        planted="--broken" if PLAN.config.plants_faults else "",
    shell:
        "python -m pipeline rooms --seed {params.seed} --count {params.pictures} {params.planted} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


rule fetch_backgrounds:
    input:
        unpack(needs("fetch_backgrounds")),
    output:
        product=f"{OUT}/archives/backgrounds.json",
        contents=beside("fetch_backgrounds"),
        made=f"{OUT}/made/fetch_backgrounds.json",
    log:
        f"{OUT}/logs/fetch/backgrounds.jsonl",
    benchmark:
        f"{OUT}/benchmarks/fetch/backgrounds.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=2880,
    params:
        made=made("fetch_backgrounds"),
        settings=PLAN.section("backgrounds"),
        keep=KEEP,
    shell:
        "python -m pipeline fetch --backgrounds --settings {params.settings:q} {params.keep} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


rule backgrounds:
    input:
        unpack(needs("backgrounds")),
    output:
        product=f"{OUT}/backgrounds/bank.npz",
        made=f"{OUT}/made/backgrounds.json",
    log:
        f"{OUT}/logs/backgrounds.jsonl",
    benchmark:
        f"{OUT}/benchmarks/backgrounds.tsv"
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=600,
    params:
        made=made("backgrounds"),
        seed=SEED,
        settings=PLAN.section("backgrounds"),
        source=lambda w, input: PLAN.background_source(input.get("source")),
        render_px=PLAN.config.render.size_px,
    shell:
        "python -m render backgrounds --seed {params.seed} --settings {params.settings:q} "
        "--render-px {params.render_px} --source {params.source:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


# Near-duplicates, of data sets that keep them on one side of the split.
rule clusters:
    input:
        unpack(needs("clusters")),
    output:
        product=f"{OUT}/clusters/{{dataset}}.json",
        made=f"{OUT}/made/clusters/{{dataset}}.json",
    log:
        f"{OUT}/logs/clusters/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/clusters/{{dataset}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(4000),
        runtime=each_attempt(60),
    params:
        made=made("clusters"),
        folder=lambda w: here(f"{OUT}/index/{w.dataset}"),
    shell:
        "python -m pipeline clusters --settings '{{}}' --index {params.folder:q} --voxels {input.voxels:q} "
        "-o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


# Composited views, voxels and splits: what is trained on.
rule pack:
    input:
        unpack(needs("pack")),
    output:
        product=f"{OUT}/shards/{{dataset}}/{{shard}}.h5",
        made=f"{OUT}/made/pack/{{dataset}}/{{shard}}.json",
    log:
        f"{OUT}/logs/pack/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/pack/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(3000),
        runtime=each_attempt(60),
    params:
        made=made("pack"),
        shapes=lambda w: here(PLAN.graph.list_file(w.dataset, w.shard)),
        seed=SEED,
        settings=PLAN.pack(),
        bank=shlex.join(["--bank", *map(here, PLAN.bank())]) if PLAN.bank() else "",
        clusters=clusters,
    shell:
        "python -m render pack --seed {params.seed} --settings {params.settings:q} --renders {input.renders:q} "
        "--voxels {input.voxels:q} --shapes {params.shapes:q} {params.bank} {params.clusters} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


# Which shapes were lost, where and why; too many are an error.
rule ledger:
    input:
        unpack(needs("ledger")),
    output:
        product=report(
            f"{OUT}/ledger/{{dataset}}.tsv",
            caption="../../report/captions/ledger.rst",
            category="Audits",
            labels={"data set": "{dataset}", "what": "ledger"},
        ),
        made=f"{OUT}/made/ledger/{{dataset}}.json",
    log:
        f"{OUT}/logs/ledger/{{dataset}}.jsonl",
        # A log, since it is to be looked at when there is too much in it.
        *([f"{OUT}/ledger/{{dataset}}.refused.tsv"] if PLAN.place.apart else []),
    benchmark:
        f"{OUT}/benchmarks/ledger/{{dataset}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        made=made("ledger"),
        settings=lambda w: PLAN.ledger(w.dataset),
        folder=lambda w: here(f"{OUT}/index/{w.dataset}"),
        clusters=clusters,
    shell:
        "python -m pipeline ledger --dataset {wildcards.dataset} --settings {params.settings:q} "
        "--index {params.folder:q} --packs {input.prepared:q} {input.voxels:q} {input.renders:q} "
        "{params.clusters} -o {output.product:q} --log {log[0]:q} "
        "&& made {output.made:q} {params.made:q}"


# Written last: a data set that has its index is whole.
rule shard_index:
    input:
        unpack(needs("shard_index")),
    output:
        product=f"{OUT}/shards/{{dataset}}/index.json",
        made=f"{OUT}/made/shard_index/{{dataset}}.json",
    log:
        f"{OUT}/logs/shard_index/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/shard_index/{{dataset}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        made=made("shard_index"),
        records=lambda w: here(f"{OUT}/made/pack/{w.dataset}"),
    shell:
        "python -m pipeline shards index {input.shards:q} --records {params.records:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"
