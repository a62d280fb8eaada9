"""Whether lmtool finds in minGRU what it expects of a backbone."""

from lmtool.testing import conformance


@conformance("model", "mingru", config={"hidden_size": 16})
def test_mingru(check):
    check()
