"""Whether lmtool finds in the cautious AdamW what it expects of an optimizer."""

from lmtool.testing import conformance


@conformance("optimizer", "cautious", config={"learning_rate": 0.01})
def test_cautious(check):
    check()
