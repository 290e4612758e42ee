"""The six-hourly models of gauges in the layout of the Northwest River Forecast Center."""
