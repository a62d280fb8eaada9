"""Models of other tools, and models for them: the ARPA format."""
