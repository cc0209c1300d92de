"""Shared by every test."""

from hypothesis import settings

# A deadline measures the machine, not the code: on a busy one it fails tests that are right.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")
