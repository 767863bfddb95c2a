"""The list of plugins that provide fixtures shared by tests in several folders."""

pytest_plugins = ["tests.plugins.mlflow_server", "tests.plugins.postgres"]
