# For eyes: contact sheets, the check of the axes, the page.


rule sheet:
    input:
        unpack(needs("sheet")),
    output:
        product=report(
            f"{OUT}/samples/{{dataset}}/sheet.png",
            caption="../../report/captions/sheet.rst",
            category="Contact sheets",
            labels={"data set": "{dataset}"},
        ),
        made=f"{OUT}/made/sheet/{{dataset}}.json",
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
        made=made("sheet"),
        folder=lambda w: here(f"{OUT}/samples/{w.dataset}"),
        shapes=PLAN.config.report.shapes,
        bank=shlex.join(["--bank", *map(here, PLAN.bank())]) if PLAN.bank() else "",
    shell:
        "python -m render sheet --shards-index {input.index:q} --shapes {params.shapes} "
        "{params.bank} -o {params.folder:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


# Every shape with its views, mesh and voxels on one page. It does not wait for the audit: what the audit
# refuses is what one wants to look at.
rule gallery:
    input:
        unpack(needs("gallery")),
    output:
        product=f"{OUT}/samples/{{dataset}}/gallery.html",
        beside=beside("gallery", dataset="{dataset}"),
        made=f"{OUT}/made/gallery/{{dataset}}.json",
    log:
        f"{OUT}/logs/gallery/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/gallery/{{dataset}}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=each_attempt(3000),
        runtime=each_attempt(120),
    params:
        made=made("gallery"),
        prepared=lambda w: here(f"{OUT}/prepared/{w.dataset}"),
        shapes=PLAN.config.report.gallery_shapes,
        # A storage knows no empty folder.
        beside=lambda w, output: "".join(
            f"&& mkdir -p {shlex.quote(path)} && touch {shlex.quote(path)}/.whole "
            for path in output.get("beside", [])
        ),
        bank=shlex.join(["--bank", *map(here, PLAN.bank())]) if PLAN.bank() else "",
    shell:
        "python -m report gallery --shards-index {input.index:q} --prepared {params.prepared:q} "
        "--ledger {input.ledger:q} {params.bank} --shapes {params.shapes} -o {output.product:q} --log {log:q} "
        "{params.beside}&& made {output.made:q} {params.made:q}"


# A planted or real axis fault must not reach training unseen: this fails with advice.
rule audit:
    input:
        unpack(needs("audit")),
    output:
        product=report(
            f"{OUT}/audits/{{dataset}}.json",
            caption="../../report/captions/audit.rst",
            category="Audits",
            labels={"data set": "{dataset}", "what": "axes"},
        ),
        made=f"{OUT}/made/audit/{{dataset}}.json",
    log:
        f"{OUT}/logs/audit/{{dataset}}.jsonl",
    benchmark:
        f"{OUT}/benchmarks/audit/{{dataset}}.tsv"
    priority: 10  # trainings wait for it
    conda:
        "../../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        made=made("audit"),
    shell:
        "python -m render audit --shards-index {input.index:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"


rule report:
    input:
        unpack(needs("report")),
    output:
        product=report(
            f"{OUT}/report.html",
            caption="../../report/captions/page.rst",
            category="Results",
        ),
        made=f"{OUT}/made/report.json",
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
        made=made("report"),
        settings=PLAN.section("report"),
        out=lambda w, output: os.path.dirname(output.product),
    shell:
        "python -m report page --settings {params.settings:q} --output-dir {params.out:q} -o {output.product:q} --log {log:q} "
        "&& made {output.made:q} {params.made:q}"
