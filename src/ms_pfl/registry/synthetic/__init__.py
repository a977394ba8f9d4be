"""A synthetic registry: people, their disease, and how clinics record it."""
