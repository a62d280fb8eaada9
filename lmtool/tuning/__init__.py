"""Hyper-parameter search: `lmtool tune`."""
