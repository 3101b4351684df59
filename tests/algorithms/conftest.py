"""What tests of algorithms share."""

import logging

import pytest


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the algorithms warn of."""
    caplog.set_level(logging.WARNING, logger="algorithms")
    return caplog
