"""Whether lmtool finds in the judge of sentences what it expects of an evaluator."""

from lmtool.testing import conformance


@conformance("evaluator", "short-sentence")
def test_short_sentence(check):
    check()
