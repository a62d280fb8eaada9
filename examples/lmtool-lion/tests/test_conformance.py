"""Whether lmtool finds in Lion what it expects of an optimizer."""

from lmtool.testing import conformance


@conformance("optimizer", "lion", config={"learning_rate": 0.01})
def test_lion(check):
    check()
