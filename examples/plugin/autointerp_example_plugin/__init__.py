"""An explainer, a simulator and a judge for autointerp, one module each. pyproject.toml registers them."""
