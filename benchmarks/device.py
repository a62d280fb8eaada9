"""A training step of neural language models on a GPU, here and in PyTorch with cuDNN's LSTM, in turns.

    python benchmarks/device.py --torch-python torch-env/bin/python [--shapes awd-lstm] [--precision bfloat16]

As `neural_lm.py`, with its options, on larger shapes; prints the card's name. Times are those of whole turns, memory is
what each library's allocator held at most on the card. Both multiply float32 in TF32, JAX's default there. Ends with 2
where there is no GPU, or one of the libraries cannot use it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from neural_lm import Shape, parse, report

SHAPES = {
    "lstm-650": Shape("lstm", 2, 650),
    "lstm-1500": Shape("lstm", 2, 1500),
    "awd-lstm": Shape("lstm", 3, 1150, vocab=33_278, batch=80, bptt=70),
    "cnn": Shape("cnn", 13, 512, vocab=33_278, batch=32, bptt=70),
}
TORCH_CARD = "import torch; print(torch.cuda.get_device_name())"
JAX_CARD = "import jax; print(jax.devices('cuda')[0].device_kind)"


def card(python: str, program: str, library: str) -> str:
    """The name of the first GPU; ends with 2 if the library cannot use one."""
    found = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"error: {library} finds no GPU with {python}: {reason}", file=sys.stderr)
        sys.exit(2)
    return found.stdout.strip()


def main() -> None:
    options = parse(SHAPES, device="cuda", matrix=8192, steps=50, warm_up=20)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the two sides share the card
    card(sys.executable, JAX_CARD, "JAX")
    print(f"card: {card(options.torch_python, TORCH_CARD, 'PyTorch')}")
    report(options)


if __name__ == "__main__":
    main()
