"""Classification of documents: batches of like lengths, a network with a head, and the trained classifier.

config      settings                       network     embed, read, pool, classify
documents   what is read of a document     task        loss and parameters
buckets     lengths to widths              predictor   the trained classifier
batches     documents to training batches  generative  a language model a class, and Bayes' rule
pooling     hidden states to a vector      vectors     pretrained word vectors
"""
