"""Units, contexts and explanations to and from Neuronpedia."""
