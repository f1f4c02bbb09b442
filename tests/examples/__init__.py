"""The example programs, run as a user runs them."""

import pytest

# What the helper asserts is to be explained as in a test.
pytest.register_assert_rewrite("tests.examples.programs")
