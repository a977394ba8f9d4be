"""Methods: what of a model travels between sites, what stays, and how a site trains in a round."""
