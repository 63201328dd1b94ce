"""Correction by hand in a browser: a page of this machine alone, over NiiVue, and what it sends back."""
