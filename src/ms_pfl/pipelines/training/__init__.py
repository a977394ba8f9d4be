"""Five paradigms from one template."""
