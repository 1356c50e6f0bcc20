"""The sections of config.yaml as types, one file a section; `pipeline.config` puts them together."""
