"""The Kedro pipelines: thin nodes over the domain packages."""
