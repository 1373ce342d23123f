"""The evaluation of models: scores, feature networks, references, and codes found by optimisation."""
