"""The five learning paradigms: one short server program each."""
