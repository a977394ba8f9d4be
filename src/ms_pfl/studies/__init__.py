"""Studies beside the main job, a folder each: train, compare, show."""
