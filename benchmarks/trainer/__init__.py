"""The training update beside the usual loop, on the CPU and on a GPU."""
