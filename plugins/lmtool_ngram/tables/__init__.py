"""The tables of a model: how they are kept, and how they are looked up."""
