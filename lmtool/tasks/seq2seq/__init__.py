"""Text to text: pairs of like lengths in a batch, an encoder, a decoder that attends to it, and the trained model.

config      settings                       network     encode, read the target so far, attend
pairs       what is read of a pair         task        loss and parameters
batches     pairs to training batches      predictor   the trained model
attention   where the decoder looks        copying     words of the source as an answer's
states      what goes from step to step
"""
