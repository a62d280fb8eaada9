"""What the descriptor's target names."""

import numpy as np


class ShortSentence:
    """A text of 4 to 15 words that ends with a full stop is worth 1, any other nothing."""

    takes, names, signature = "texts", ("short_sentence",), "words:4-15"
    judges_alone = True  # references change nothing, so there need be none

    def __init__(self, config):
        pass  # there are no settings

    def judge(self, hypothesis, references):
        words = hypothesis.split()
        return float(4 <= len(words) <= 15 and words[-1].endswith("."))

    def statistics(self, hypothesis, references):
        return np.array([self.judge(hypothesis, references), 1.0])

    def figures(self, totals):
        return {"short_sentence": float(100 * totals[0] / totals[1])}
