"""What scores a model: evaluation, feature networks, references, and codes found by optimisation."""
