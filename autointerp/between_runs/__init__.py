"""Do runs differ, by how much, how surely? SAE against SAE, explainer against explainer, layer against layer."""
