"""What the descriptor's target names."""

import optax


def lion(config, *, total_steps, num_data):
    """An optax transformation from the settings."""
    return optax.lion(config.learning_rate, weight_decay=config.weight_decay)
