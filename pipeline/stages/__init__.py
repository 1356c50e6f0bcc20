"""The rules that belong to no other package: one module a rule."""
