"""N-gram models as the papers write them: slow, with dictionaries and fractions, one n-gram at a time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from fractions import Fraction

BOS = -1

FALLBACK = (Fraction(1, 2), Fraction(1), Fraction(3, 2))
FALLBACK_SINGLE = (Fraction(3, 4),) * 3


class Reference:
    """A smoothed model of lines of ids; n-grams are tuples, `BOS` first at the start of a line.

    Args:
        lines: Without end of line.
        order: The highest n.
        vocab_size: V.
        eos_id: The end of a line.
        smoothing: As in the settings of the model, like `add_k`, `prune` and `unknown`.
        unk_id: What `unknown` is about.
        as_lmplz: Take one n-gram's plain count for its adjusted count in the counts of counts, as `lmplz` does.
    """

    def __init__(
        self,
        lines,
        order,
        vocab_size,
        eos_id,
        *,
        smoothing="modified-kneser-ney",
        add_k=1,
        prune=(),
        unknown="word",
        unk_id=None,
        as_lmplz=False,
    ):
        self.order, self.vocab_size, self.eos_id = order, vocab_size, eos_id
        self.smoothing, self.add_k = smoothing, Fraction(add_k)
        if unknown == "skip":
            lines = [[word for word in line if word != unk_id] for line in lines]
        never = unk_id if unknown == "mass" else None
        self.counts = {n: Counter() for n in range(1, order + 1)}
        for line in lines:
            words = [BOS, *line, eos_id]
            for n in range(1, order + 1):
                ngrams = (tuple(words[start : start + n]) for start in range(len(words) - n + 1))
                self.counts[n].update(ngram for ngram in ngrams if never not in ngram)
        del self.counts[1][BOS,]  # the start of a line is never predicted
        self.adjusted = {n: self._adjusted(n) for n in range(1, order + 1)}
        self.discounts = {n: self._discounts(n, lines if as_lmplz else None) for n in range(1, order + 1)}
        self.seen = defaultdict(list)
        for n in range(1, order + 1):
            for ngram in self.counts[n]:
                self.seen[ngram[:-1]].append(ngram)
        thresholds = [*prune, *prune[-1:] * order, *(0,) * order]
        self.is_kept = {g: c > thresholds[n - 1] for n in self.counts for g, c in self.counts[n].items()}
        self._cache = {}

    # Counts -----------------------------------------------------------------------------------------------------------

    def _adjusted(self, n):
        """Heafield et al. 2013, section 3.2: the number of different words before it, with two exceptions."""
        if n == self.order or "kneser-ney" not in self.smoothing:
            return dict(self.counts[n])
        before = defaultdict(set)
        for longer in self.counts[n + 1]:
            before[longer[1:]].add(longer[0])
        # Where an unknown word that no n-gram holds is all that was seen before it, it counts once.
        return {g: self.counts[n][g] if g[0] == BOS else max(len(before[g]), 1) for g in self.counts[n]}

    def _discounts(self, n, lines):
        """D1, D2 and D3+, or what takes their place."""
        adjusted = dict(self.adjusted[n])
        if lines is not None and n < self.order:
            last = self._last_ngram(lines)
            if BOS not in last[-n:-1] and last[-n] != BOS:
                adjusted[last[-n:]] = self.counts[n][last[-n:]]
        n1, n2, n3, n4 = (sum(count == k for count in adjusted.values()) for k in (1, 2, 3, 4))
        if self.smoothing != "modified-kneser-ney":
            return (Fraction(n1, n1 + 2 * n2),) * 3 if n1 and n2 else FALLBACK_SINGLE
        if 0 in (n1, n2, n3):
            return FALLBACK
        # Chen & Goodman 1998, equation 26.
        y = Fraction(n1, n1 + 2 * n2)
        found = 1 - 2 * y * Fraction(n2, n1), 2 - 3 * y * Fraction(n3, n2), 3 - 4 * y * Fraction(n4, n3)
        return found if min(found) > 0 else FALLBACK

    def _last_ngram(self, lines):
        """The last of all n-grams of the highest order, sorted from the last word to the first."""
        number = {BOS: 0, self.eos_id: 1}
        for line in lines:
            for word in line:
                number.setdefault(word, len(number))
        padded = [(BOS,) * (self.order - 1) + (*line, self.eos_id) for line in lines]
        ngrams = [words[i : i + self.order] for words in padded for i in range(len(words) - self.order + 1)]
        return max(ngrams, key=lambda ngram: [number[word] for word in reversed(ngram)])

    # Probabilities ----------------------------------------------------------------------------------------------------

    def prob(self, word, context):
        """p(word | context); the context's words are those of the line so far, `BOS` first."""
        return float(self.exact_prob(word, context))

    def backoff(self, context):
        """The weight of the shorter context; 1 if this one was never seen; None where nothing backs off to it."""
        backoff = self.exact_backoff(context)
        return None if backoff is None else float(backoff)

    def exact_prob(self, word, context):
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        key = (*context, word)
        if key not in self._cache:
            lower = self.exact_prob(word, context[1:]) if context else Fraction(1, self.vocab_size)
            self._cache[key] = self._kept_prob(key, lower) if self.is_kept.get(key) else self._backed_off(key, lower)
        return self._cache[key]

    def _backed_off(self, ngram, lower):
        return self.exact_backoff(ngram[:-1]) * lower

    def exact_backoff(self, context):
        key = "backoff", context
        if key not in self._cache:
            self._cache[key] = self._backoff(context) if self.seen[context] else Fraction(1)
        return self._cache[key]

    def _count(self, ngram):
        return Fraction(self.adjusted[len(ngram)][ngram])

    def _total(self, context):
        return sum(map(self._count, self.seen[context]))

    def _pruned(self, context):
        return sum(self._count(g) for g in self.seen[context] if not self.is_kept[g])

    def _discount(self, ngram):
        return self.discounts[len(ngram)][min(self.adjusted[len(ngram)][ngram], 3) - 1]

    def _kept_prob(self, ngram, lower):
        """p of an n-gram that was seen and is kept, given that of the shorter context."""
        context, count = ngram[:-1], self._count(ngram)
        total, types = self._total(context), len(self.seen[context])
        match self.smoothing:
            case "modified-kneser-ney" | "kneser-ney" | "absolute":
                return (count - self._discount(ngram)) / total + self.exact_backoff(context) * lower
            case "witten-bell":
                return count / (total + types) + self.exact_backoff(context) * lower
            case "add-k":
                return (count + self.add_k) / (total + self.add_k * self.vocab_size)
            case "stupid-backoff":
                return count / total / self._sum_of_scores(context)

    def _backoff(self, context):
        """What is left to all other words, over what they have in the shorter context."""
        kept = [g for g in self.seen[context] if self.is_kept[g]]
        total, types = self._total(context), len(self.seen[context])
        match self.smoothing:
            case "modified-kneser-ney" | "kneser-ney" | "absolute":
                return (sum(map(self._discount, kept)) + self._pruned(context)) / total
            case "witten-bell":
                return (types + self._pruned(context)) / (total + types)
            case "add-k":
                left = 1 - sum(self._kept_prob(g, None) for g in kept)
                return left / self._unkept(context) if len(kept) < self.vocab_size else None
            case "stupid-backoff":
                if len(kept) == self.vocab_size:
                    return None
                return self._score_of_others(context) / self._sum_of_scores(context)

    def _lower(self, ngram):
        return self.exact_prob(ngram[-1], ngram[1:-1]) if len(ngram) > 1 else Fraction(1, self.vocab_size)

    def _unkept(self, context):
        """What all words that the context does not keep have in the shorter one."""
        return Fraction(1) - sum(self._lower(g) for g in self.seen[context] if self.is_kept[g])

    def _score_of_others(self, context):
        """Brants et al. 2007: 0.4; and what was pruned."""
        return Fraction(2, 5) + self._pruned(context) / self._total(context) / self._unkept(context)

    def _sum_of_scores(self, context):
        kept = [g for g in self.seen[context] if self.is_kept[g]]
        total = sum(self._count(g) / self._total(context) for g in kept)
        if len(kept) < self.vocab_size:
            total += self._score_of_others(context) * self._unkept(context)
        return total

    def ngrams(self):
        """All n-grams of the model: what is kept, and every word."""
        words = {(word,) for word in range(self.vocab_size)}
        return words | {ngram for ngram, is_kept in self.is_kept.items() if is_kept}


class EntropyPruned:
    """What Stolcke 1998 leaves of a model, decided n-gram by n-gram, from the highest order.

    Args:
        model: Its unigrams all stay.
        threshold: An n-gram goes whose loss raises the model's own perplexity by less than this share.
        in_text: A context is as likely as it is frequent in the text; else as its words are in the model.
    """

    def __init__(self, model, threshold, *, in_text=True):
        self.in_text = in_text
        self.model, self.order, self.eos_id = model, model.order, model.eos_id
        self.continuations = defaultdict(list)
        for ngram in model.ngrams():
            self.continuations[ngram[:-1]].append(ngram)
        self.rises = {g: math.expm1(self._loss(g)) for g in model.ngrams() if len(g) > 1}
        self.kept = set()
        for ngram in sorted(model.ngrams(), key=len, reverse=True):
            begins_another = any(longer[:-1] == ngram for longer in self.kept)
            if len(ngram) == 1 or begins_another or self.rises[ngram] >= threshold:
                self.kept.add(ngram)
        self._backoffs = {}

    def ngrams(self):
        return self.kept

    def _loss(self, ngram):
        """Nats a word; equations 4 to 7."""
        context, word = ngram[:-1], ngram[-1]
        if len(self.continuations[context]) == self.model.vocab_size:
            return math.inf  # there is no back-off
        p, lower = self.model.prob(word, context), self.model.prob(word, context[1:])
        left = 1 - sum(self.model.exact_prob(g[-1], context) for g in self.continuations[context])
        lower_left = 1 - sum(self.model.exact_prob(g[-1], context[1:]) for g in self.continuations[context])
        new_backoff = (float(left) + p) / (float(lower_left) + lower)
        divergence = p * math.log(p / (new_backoff * lower))
        divergence += float(left) * math.log(self.model.backoff(context) / new_backoff)
        return self._marginal(context) * divergence

    def _marginal(self, context):
        """How often there is a context; a line starts as often as one ends."""
        if self.in_text:
            ngram = (self.eos_id,) if context == (BOS,) else context
            return self.model.counts[len(context)][ngram] / sum(self.model.counts[1].values())
        if context == (BOS,):
            return self.model.prob(self.eos_id, ())
        return self.model.prob(context[-1], context[:-1]) * (self._marginal(context[:-1]) if len(context) > 1 else 1)

    def backoff(self, context):
        if context not in self._backoffs:
            kept = [g for g in self.continuations[context] if g in self.kept]
            self._backoffs[context] = 1.0
            if len(kept) == self.model.vocab_size:
                return None
            if kept:
                left = 1 - math.fsum(self.prob(g[-1], context) for g in kept)
                lower_left = 1 - math.fsum(self.prob(g[-1], context[1:]) for g in kept)
                self._backoffs[context] = left / lower_left
        return self._backoffs[context]

    def prob(self, word, context):
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        if (*context, word) in self.kept:
            return self.model.prob(word, context)
        return self.backoff(context) * self.prob(word, context[1:])
