"""Reinforcement learning of texts: they are drawn from the model, judged, and made more or less likely.

config      settings                        rewards    ids to rewards, on the host
advantages  rewards to advantages           policy     networks that draw, and say what of
penalties   entropy and KL of tokens        exploring  draw, judge, learn
objective   judged samples to a loss        task, lm   from text to text, and language models
prompts     lines that are gone on from
"""
