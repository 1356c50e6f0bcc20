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


# Of no effect but with --software-deployment-method apptainer; envs/Containerfile says how the image is made.
container: os.environ.get("SHAPES_IMAGE", "shapes.sif")


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
        PLAN.files("all"),


rule download_all:
    input:
        PLAN.files("download_all"),


rule voxelize_all:
    input:
        PLAN.files("voxelize_all"),


rule render_all:
    input:
        PLAN.files("render_all"),


# Every file that a target stands for is named, down to the small ones, so that one that was deleted comes back.
rule shards_all:
    input:
        PLAN.files("shards_all"),


rule samples:
    input:
        PLAN.files("samples"),


rule train_all:
    input:
        PLAN.files("train_all"),


rule evaluate_all:
    input:
        PLAN.files("evaluate_all"),
