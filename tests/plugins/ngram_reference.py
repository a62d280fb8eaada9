"""Interpolated modified Kneser-Ney smoothing as the papers write it: slow, with dictionaries, one n-gram at a time."""

from __future__ import annotations

from collections import Counter, defaultdict

BOS = -1


class Reference:
    """A model of lines of ids.

    Args:
        lines: Without end of line.
        order: The highest n.
        vocab_size: V.
        eos_id: The end of a line.
        as_lmplz: Take one n-gram's plain count for its adjusted count in the counts of counts, as `lmplz` does.
    """

    def __init__(self, lines, order, vocab_size, eos_id, *, as_lmplz=False):
        self.order, self.vocab_size, self.eos_id = order, vocab_size, eos_id
        self.counts = {n: Counter() for n in range(1, order + 1)}
        for line in lines:
            words = [BOS, *line, eos_id]
            for n in range(1, order + 1):
                for start in range(len(words) - n + 1):
                    self.counts[n][tuple(words[start : start + n])] += 1
        del self.counts[1][BOS,]  # the start of a line is never predicted
        self.adjusted = {n: self._adjusted(n) for n in range(1, order + 1)}
        self.discounts = {n: self._discounts(n, lines if as_lmplz else None) for n in range(1, order + 1)}
        self.continuations = defaultdict(list)
        for n in range(1, order + 1):
            for ngram in self.adjusted[n]:
                self.continuations[ngram[:-1]].append(ngram)

    def _adjusted(self, n):
        """Heafield et al. 2013, section 3.2: the number of different words before it, with two exceptions."""
        if n == self.order:
            return dict(self.counts[n])
        before = defaultdict(set)
        for longer in self.counts[n + 1]:
            before[longer[1:]].add(longer[0])
        return {g: self.counts[n][g] if g[0] == BOS else len(before[g]) for g in self.counts[n]}

    def _discounts(self, n, lines):
        """Chen & Goodman 1998, equation 26; D1, D2, D3+."""
        adjusted = dict(self.adjusted[n])
        if lines is not None and n < self.order:
            last = self._last_ngram(lines)
            if BOS not in last[-n:-1] and last[-n] != BOS:
                adjusted[last[-n:]] = self.counts[n][last[-n:]]
        n1, n2, n3, n4 = (sum(count == k for count in adjusted.values()) for k in (1, 2, 3, 4))
        if 0 in (n1, n2, n3):
            return 0.5, 1.0, 1.5
        y = n1 / (n1 + 2 * n2)
        found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
        return found if min(found) > 0 else (0.5, 1.0, 1.5)

    def _last_ngram(self, lines):
        """The last of all n-grams of the highest order, sorted from the last word to the first."""
        number = {BOS: 0, self.eos_id: 1}
        for line in lines:
            for word in line:
                number.setdefault(word, len(number))
        padded = [(BOS,) * (self.order - 1) + (*line, self.eos_id) for line in lines]
        ngrams = [words[i : i + self.order] for words in padded for i in range(len(words) - self.order + 1)]
        return max(ngrams, key=lambda ngram: [number[word] for word in reversed(ngram)])

    def _discount(self, ngram):
        return self.discounts[len(ngram)][min(self.adjusted[len(ngram)][ngram], 3) - 1]

    def backoff(self, context):
        """The weight of the shorter context; 1 if this one was never seen."""
        ngrams = self.continuations[context]
        if not ngrams:
            return 1.0
        return sum(map(self._discount, ngrams)) / sum(self.adjusted[len(g)][g] for g in ngrams)

    def prob(self, word, context):
        """p(word | context); the context's words are those of the line so far, `BOS` first."""
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        lower = self.prob(word, context[1:]) if context else 1 / self.vocab_size
        prob = self.backoff(context) * lower
        ngram = (*context, word)
        if ngram in self.adjusted[len(ngram)]:
            total = sum(self.adjusted[len(g)][g] for g in self.continuations[context])
            prob += (self.adjusted[len(ngram)][ngram] - self._discount(ngram)) / total
        return prob
