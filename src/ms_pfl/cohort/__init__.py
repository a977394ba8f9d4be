"""From registry tables to labelled episodes, their features, and splits by patient."""
