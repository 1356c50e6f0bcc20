# From addresses to training shards; the unit of work is a shard of a data set.


# The embedded default data: archives in the layouts of the real sets, served by a file:// mirror.
rule generate:
    output:
        directory(f"{OUT}/mirror/{{dataset}}"),
    log:
        f"{OUT}/logs/generate/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/generate/{{dataset}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        seed=SEED,
        settings=lambda w: PLAN.generate(w.dataset),
        code=PLAN.code("generate"),
    shell:
        "python -m pipeline generate --dataset {wildcards.dataset} --seed {params.seed} "
        "--settings {params.settings:q} -o {output:q} --log {log:q}"


rule fetch:
    input:
        mirror=lambda w: (
            f"{OUT}/mirror/{w.dataset}"
            if w.dataset in PLAN.datasets_from("generated")
            else []
        ),
    output:
        f"{OUT}/archives/{{dataset}}.json",
    log:
        f"{OUT}/logs/fetch/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/fetch/{{dataset}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=2880,
    params:
        settings=lambda w: PLAN.fetch(w.dataset),
        mirror=lambda w, input: (
            shlex.join(["--mirror", input.mirror]) if input.get("mirror") else ""
        ),
    shell:
        "python -m pipeline fetch --dataset {wildcards.dataset} --settings {params.settings:q} "
        "{params.mirror} -o {output:q} --log {log:q}"


# One rule a data set, since each has its own fixed number of shard lists.
for _name in ARCHIVED:

    rule:
        name:
            f"index_{_name.replace('-', '_').replace('.', '_')}"
        input:
            f"{OUT}/archives/{_name}.json",
        output:
            lists=PLAN.per_shard("index", _name, ".tsv"),
            rejects=f"{OUT}/index/{_name}/rejects.jsonl",
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
            seed=SEED,
            name=_name,
            settings=PLAN.index(_name),
            folder=lambda w, output: os.path.dirname(output.rejects),
            code=PLAN.code("index"),
        shell:
            "python -m pipeline index --dataset {params.name} --seed {params.seed} --settings {params.settings:q} "
            "--archives {input:q} -o {params.folder:q} --log {log:q}"


rule prepare:
    input:
        shapes=f"{OUT}/index/{{dataset}}/{{shard}}.tsv",
        # The lists hold each mesh's checksum: a fetched archive that changed nothing in a shard re-runs nothing.
        archives=ancient(f"{OUT}/archives/{{dataset}}.json"),
    output:
        f"{OUT}/prepared/{{dataset}}/{{shard}}.zip",
    log:
        f"{OUT}/logs/prepare/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/prepare/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 120 * attempt,
    params:
        settings=lambda w: PLAN.prepare(w.dataset),
        code=PLAN.code("prepare"),
    shell:
        "python -m pipeline prepare --settings {params.settings:q} "
        "--archives {input.archives:q} --shard {input.shapes:q} -o {output:q} --log {log:q}"


rule voxelize:
    input:
        f"{OUT}/prepared/{{dataset}}/{{shard}}.zip",
    output:
        f"{OUT}/voxels/{{dataset}}/{{shard}}.zip",
    log:
        f"{OUT}/logs/voxelize/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/voxelize/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/voxelize.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 2000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        settings=PLAN.section("voxels"),
        code=PLAN.code("voxelize"),
    shell:
        "python -m voxelize shard --settings {params.settings:q} --prepared {input:q} -o {output:q} --log {log:q}"


rule render:
    input:
        f"{OUT}/prepared/{{dataset}}/{{shard}}.zip",
    output:
        f"{OUT}/renders/{{dataset}}/{{shard}}.h5",
    log:
        f"{OUT}/logs/render/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/render/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 240 * attempt,
    params:
        seed=SEED,
        settings=PLAN.section("render"),
        code=PLAN.code("render"),
    shell:
        "python -m render shard --seed {params.seed} --settings {params.settings:q} --prepared {input:q} "
        "-o {output:q} --log {log:q}"


# What a source publishes is taken over instead of made: voxels in place of voxelize, views in place of render.
if PLAN.imported("voxels"):

    ruleorder: import_voxels > voxelize

    rule import_voxels:
        input:
            shapes=f"{OUT}/index/{{dataset}}/{{shard}}.tsv",
            archives=ancient(f"{OUT}/archives/{{dataset}}.json"),
        output:
            f"{OUT}/voxels/{{dataset}}/{{shard}}.zip",
        log:
            f"{OUT}/logs/import_voxels/{{dataset}}-{{shard}}.jsonl",
        benchmark:
            f"{OUT}/benchmarks/import_voxels/{{dataset}}-{{shard}}.tsv"
        wildcard_constraints:
            dataset=one_of(PLAN.imported("voxels")),
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=lambda w, attempt: 2000 * attempt,
            runtime=lambda w, attempt: 60 * attempt,
        params:
            settings=lambda w: PLAN.import_voxels(w.dataset),
            code=PLAN.code("import_voxels"),
        shell:
            "python -m pipeline import_voxels --settings {params.settings:q} --archives {input.archives:q} "
            "--shard {input.shapes:q} -o {output:q} --log {log:q}"


if PLAN.imported("views"):

    ruleorder: import_views > render

    rule import_views:
        input:
            shapes=f"{OUT}/index/{{dataset}}/{{shard}}.tsv",
            archives=ancient(f"{OUT}/archives/{{dataset}}.json"),
            prepared=lambda w: (
                f"{OUT}/prepared/{w.dataset}/{w.shard}.zip"
                if w.dataset in PLAN.prepared
                else []
            ),
        output:
            f"{OUT}/renders/{{dataset}}/{{shard}}.h5",
        log:
            f"{OUT}/logs/import_views/{{dataset}}-{{shard}}.jsonl",
        benchmark:
            f"{OUT}/benchmarks/import_views/{{dataset}}-{{shard}}.tsv"
        wildcard_constraints:
            dataset=one_of(PLAN.imported("views")),
        conda:
            "../../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=lambda w, attempt: 2000 * attempt,
            runtime=lambda w, attempt: 60 * attempt,
        params:
            settings=lambda w: PLAN.import_views(w.dataset),
            code=PLAN.code("import_views"),
            prepared=lambda w, input: (
                shlex.join(["--prepared", input.prepared]) if input.prepared else ""
            ),
        shell:
            "python -m pipeline import_views --settings {params.settings:q} --archives {input.archives:q} "
            "--shard {input.shapes:q} {params.prepared} -o {output:q} --log {log:q}"


rule rooms:
    output:
        directory(f"{OUT}/mirror/backgrounds"),
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
        seed=SEED,
        pictures=BACKGROUNDS.count,
        code=PLAN.code("rooms"),
    shell:
        "python -m pipeline rooms --seed {params.seed} --count {params.pictures} -o {output:q} --log {log:q}"


rule fetch_backgrounds:
    output:
        f"{OUT}/archives/backgrounds.json",
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
        settings=PLAN.section("backgrounds"),
    shell:
        "python -m pipeline fetch --backgrounds --settings {params.settings:q} -o {output:q} --log {log:q}"


rule backgrounds:
    input:
        PLAN.background_input(),
    output:
        f"{OUT}/backgrounds/bank.npz",
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
        seed=SEED,
        settings=PLAN.section("backgrounds"),
        contents=PLAN.background_contents(),
        source=lambda w, input: PLAN.background_source(input),
        render_px=PLAN.config.render.size_px,
        code=PLAN.code("backgrounds"),
    shell:
        "python -m render backgrounds --seed {params.seed} --settings {params.settings:q} "
        "--render-px {params.render_px} --source {params.source:q} -o {output:q} --log {log:q}"


rule pack:
    input:
        renders=f"{OUT}/renders/{{dataset}}/{{shard}}.h5",
        voxels=f"{OUT}/voxels/{{dataset}}/{{shard}}.zip",
        bank=PLAN.bank(),
    output:
        f"{OUT}/shards/{{dataset}}/{{shard}}.h5",
    log:
        f"{OUT}/logs/pack/{{dataset}}-{{shard}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/pack/{{dataset}}-{{shard}}.tsv"
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
    params:
        seed=SEED,
        settings=PLAN.pack(),
        bank=shlex.join(["--bank", *PLAN.bank()]) if PLAN.bank() else "",
        code=PLAN.code("pack"),
    shell:
        "python -m render pack --seed {params.seed} --settings {params.settings:q} --renders {input.renders:q} "
        "--voxels {input.voxels:q} {params.bank} -o {output:q} --log {log:q}"


# Which shapes were lost, where and why; too many are an error.
rule ledger:
    input:
        index=f"{OUT}/index/{{dataset}}/rejects.jsonl",
        lists=lambda w: PLAN.per_shard("index", w.dataset, ".tsv"),
        prepared=lambda w: (
            PLAN.per_shard("prepared", w.dataset, ".zip")
            if w.dataset in PLAN.prepared
            else []
        ),
        voxels=lambda w: PLAN.per_shard("voxels", w.dataset, ".zip"),
        renders=lambda w: PLAN.per_shard("renders", w.dataset, ".h5"),
    output:
        report(
            f"{OUT}/ledger/{{dataset}}.tsv",
            caption="../../report/captions/ledger.rst",
            category="Audits",
            labels={"data set": "{dataset}", "what": "ledger"},
        ),
    log:
        f"{OUT}/logs/ledger/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/ledger/{{dataset}}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=lambda w: PLAN.ledger(w.dataset),
        folder=lambda w: f"{OUT}/index/{w.dataset}",
    shell:
        "python -m pipeline ledger --dataset {wildcards.dataset} --settings {params.settings:q} "
        "--index {params.folder:q} --packs {input.prepared:q} {input.voxels:q} {input.renders:q} "
        "-o {output:q} --log {log:q}"


# Written last: a data set that has its index is whole.
rule shard_index:
    input:
        shards=lambda w: PLAN.per_shard("shards", w.dataset, ".h5"),
        ledger=f"{OUT}/ledger/{{dataset}}.tsv",
    output:
        f"{OUT}/shards/{{dataset}}/index.json",
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
    shell:
        "python -m pipeline shards index {input.shards:q} -o {output:q} --log {log:q}"
