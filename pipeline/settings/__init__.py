"""The sections of config.yaml as types, one file a section; `pipeline.settings.config` puts them together."""
