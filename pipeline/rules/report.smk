# For eyes: contact sheets, the check of the axes, the page.


rule sheet:
    input:
        index=f"{OUT}/shards/{{dataset}}/index.json",
        bank=PLAN.bank(),
    output:
        report(
            f"{OUT}/samples/{{dataset}}/sheet.png",
            caption="../../report/captions/sheet.rst",
            category="Contact sheets",
            labels={"data set": "{dataset}"},
        ),
    log:
        f"{OUT}/logs/sheet/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/sheet/{{dataset}}.tsv"
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        folder=lambda w: f"{OUT}/samples/{w.dataset}",
        shapes=PLAN.config.report.shapes,
        bank=shlex.join(["--bank", *PLAN.bank()]) if PLAN.bank() else "",
        code=PLAN.code("sheet"),
    shell:
        "python -m render sheet --shards-index {input.index:q} --shapes {params.shapes} "
        "{params.bank} -o {params.folder:q} --log {log:q}"


# Every shape with its views, mesh and voxels on one page. It does not wait for the audit: what the audit
# refuses is what one wants to look at.
rule gallery:
    input:
        index=f"{OUT}/shards/{{dataset}}/index.json",
        ledger=f"{OUT}/ledger/{{dataset}}.tsv",
        prepared=lambda w: (
            PLAN.per_shard("prepared", w.dataset, ".zip")
            if w.dataset in PLAN.prepared
            else []
        ),
        bank=PLAN.bank(),
    output:
        f"{OUT}/samples/{{dataset}}/gallery.html",
    log:
        f"{OUT}/logs/gallery/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/gallery/{{dataset}}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=lambda w, attempt: 3000 * attempt,
        runtime=lambda w, attempt: 120 * attempt,
    params:
        prepared=lambda w: f"{OUT}/prepared/{w.dataset}",
        shapes=PLAN.config.report.gallery_shapes,
        bank=shlex.join(["--bank", *PLAN.bank()]) if PLAN.bank() else "",
        files=PLAN.gallery_files(),
        code=PLAN.code("gallery"),
    shell:
        "python -m report gallery --shards-index {input.index:q} --prepared {params.prepared:q} "
        "--ledger {input.ledger:q} {params.bank} --shapes {params.shapes} -o {output:q} --log {log:q}"


# A planted or real axis fault must not reach training unseen: this fails with advice.
rule audit:
    input:
        f"{OUT}/shards/{{dataset}}/index.json",
    output:
        report(
            f"{OUT}/audits/{{dataset}}.json",
            caption="../../report/captions/audit.rst",
            category="Audits",
            labels={"data set": "{dataset}", "what": "axes"},
        ),
    log:
        f"{OUT}/logs/audit/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/audit/{{dataset}}.tsv"
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=PLAN.code("audit"),
    shell:
        "python -m render audit --shards-index {input:q} -o {output:q} --log {log:q}"


rule report:
    input:
        sheets=expand(f"{OUT}/samples/{{dataset}}/sheet.png", dataset=PLAN.datasets),
        indexes=expand(f"{OUT}/shards/{{dataset}}/index.json", dataset=PLAN.datasets),
        audits=expand(f"{OUT}/audits/{{dataset}}.json", dataset=PLAN.datasets),
        ledgers=expand(f"{OUT}/ledger/{{dataset}}.tsv", dataset=PLAN.datasets),
        results=expand(
            f"{OUT}/runs/{{experiment}}/results.json", experiment=PLAN.experiments
        ),
    output:
        report(
            f"{OUT}/report.html",
            caption="../../report/captions/page.rst",
            category="Results",
        ),
    log:
        f"{OUT}/logs/report.jsonl",
    benchmark:
        f"{OUT}/benchmarks/report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=PLAN.section("report"),
        out=lambda w, output: os.path.dirname(output[0]),
        files=PLAN.report_files(),
        code=PLAN.code("report"),
    shell:
        "python -m report page --settings {params.settings:q} --output-dir {params.out:q} -o {output:q} --log {log:q}"
