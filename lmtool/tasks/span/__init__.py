"""Extractive question answering: an answer is a span of the context that a question comes with.

config      settings                       network     embed, read, score where answers begin and end
questions   documents to question, context task        loss and parameters
spans       all spans of a context         predictor   the trained model
batches     questions to training batches  spelling    places of ids in the text that they are of
"""
