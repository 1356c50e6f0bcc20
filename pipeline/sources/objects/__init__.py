"""Sources of single files, with tables that say what each of them is, and under which licence."""
