# From messy meshes to a trained 3D-VAE-GAN.  The user's command: snakemake --cores 16 train_all
#
#   config.yaml            what to build (checked before any job; --configfile presets/X.yaml for others)
#   pipeline/rules/*.smk   data -> train -> report; common.smk holds the plan and no rules
from snakemake.utils import min_version

min_version("9.0")


# A preset replaces config.yaml; merged, it would also build the demo's data sets.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "pipeline/rules/common.smk"
include: "pipeline/rules/data.smk"
include: "pipeline/rules/train.smk"
include: "pipeline/rules/report.smk"


localrules:
    all,
    download_all,
    voxelize_all,
    render_all,
    shards_all,
    samples,
    train_all,
    evaluate_all,
    # Where the network is: the nodes of a cluster often have none.
    fetch,
    fetch_backgrounds,


rule all:
    default_target: True
    input:
        f"{OUT}/report.html",
        expand(f"{OUT}/samples/{{dataset}}/gallery.html", dataset=PLAN.datasets),


rule download_all:
    input:
        expand(f"{OUT}/archives/{{dataset}}.json", dataset=ARCHIVED),


rule voxelize_all:
    input:
        [f for d in PLAN.datasets for f in PLAN.per_shard("voxels", d, ".zip")],


rule render_all:
    input:
        [f for d in PLAN.datasets for f in PLAN.per_shard("renders", d, ".h5")],


# The shards themselves are named, so that one that was deleted comes back.
rule shards_all:
    input:
        expand(f"{OUT}/shards/{{dataset}}/index.json", dataset=PLAN.datasets),
        [f for d in PLAN.datasets for f in PLAN.per_shard("shards", d, ".h5")],


rule samples:
    input:
        expand(f"{OUT}/samples/{{dataset}}/sheet.png", dataset=PLAN.datasets),
        expand(f"{OUT}/samples/{{dataset}}/gallery.html", dataset=PLAN.datasets),


rule train_all:
    input:
        expand(f"{OUT}/runs/{{experiment}}/train.json", experiment=PLAN.experiments),
        [f for d in PLAN.trained_on() for f in PLAN.per_shard("shards", d, ".h5")],


rule evaluate_all:
    input:
        expand(f"{OUT}/runs/{{experiment}}/results.json", experiment=PLAN.experiments),
