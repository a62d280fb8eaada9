"""Settings of the evaluators."""

from __future__ import annotations

from lmtool.config import Config


class PerplexityConfig(Config):
    """Perplexity, by one definition for every model: total nats over the same text.

    A word is a whitespace-separated unit of the text. Each line ends in one end-of-line, which is predicted and counts
    as one token, one word and one byte.

    token_perplexity  exp(nats / tokens)
    word_perplexity   exp(nats / (words + lines)): can be compared across tokenizers
    bits_per_byte     nats / (ln 2 * bytes): can be compared across tokenizers
    …_without_oov     positions of unknown tokens left out of both sums
    oov_rate          unknown tokens / (tokens - lines)
    nats              total of the text

    Where the text holds unknown tokens the per-word and per-byte figures are lower bounds: the model gives `<unk>` to a
    class of words, not to the word that stands there.
    """
