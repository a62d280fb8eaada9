"""Whether lmtool finds in the GRU what it expects of a backbone."""

from lmtool.testing import conformance


@conformance("model", "gru", config={"hidden_size": 16})
def test_gru(check):
    check()
