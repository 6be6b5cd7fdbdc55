"""Pictures of the dashboards, drawn with Grafana's own components: `python -m drawing` in `dashboards`."""
