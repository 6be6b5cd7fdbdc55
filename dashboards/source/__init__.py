"""The source of the dashboards: `python -m source` in `dashboards` writes them as JSON that Grafana imports."""
