"""Explanations: what each explainer is shown, what it proposes, and how one candidate of several is chosen."""
