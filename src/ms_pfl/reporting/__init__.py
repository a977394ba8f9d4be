"""What a person reads at the end of a run: Table 1, figures and the HTML report."""
