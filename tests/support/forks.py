"""Tests that fork."""

from __future__ import annotations

import os

import pytest

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"),
    reason="Windows has no fork, so no child that could inherit a thread, a lock or a connection",
)
