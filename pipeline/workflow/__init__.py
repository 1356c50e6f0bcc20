"""The plan that the Snakefile reads: which jobs there are, which of them are out of date, and why.

    graph        the jobs, their files, and what each needs; pipeline/rules/*.smk takes its inputs from there
    plan         compares what each product was made from with what it would be made from now
    seen, heads  the settings, code and files that a stage depends on, and when two of these are the same
    lists        what is in the shape lists of each data set now
    records      what each product was made from: <output>/made/<rule>/...json
    damage       shards that were changed since they were made
    limits       shapes that took too long, when there is more time now
    published    what a run writes before its jobs start, and what a job reads of it
    sent         the settings that each command gets, and what its job asks a cluster for
    places       where products lie: in a folder that all jobs see, or in a storage
    why, console what a person is told

Begin reading with `plan`.
"""
