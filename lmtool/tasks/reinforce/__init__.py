"""Reinforcement learning of texts: answers are drawn from the model, judged, and made more or less likely.

config      settings                        objective   judged samples to a loss
advantages  rewards to advantages           rewards     ids to rewards, on the host
penalties   entropy and KL of tokens        task        draw, judge, learn
"""
