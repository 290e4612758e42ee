package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

const (
	// A million cubic metres: reservoirs hold tens to thousands.
	water = "suffix: hm³"
	// what is judged every day
	daily = "'streamflow', 'root_zone', 'precipitation', 'snow'"
)

// drought is the same rivers by the week: how dry, since when, and how much is missing.
func drought() *dashboard.DashboardBuilder {
	classes := mapped(word("-1", "none", green), word("0", "D0", "#efe2c4"), word("1", "D1", "#d8b878"), word("2", "D2", "#b98232"), word("3", "D3", "#8a4f16"), word("4", "D4", "#4d2a05"))
	return board("nilometer-drought", "Nilometer: drought", "How dry for the season, since when, and how much is missing.").
		Time("now-1y", "now").
		WithVariable(stationVariable()).
		WithPanel(listed("Stations by dryness", "The newest day of each index.").Datasource(archive).
			OverrideByName("percentile", []dashboard.DynamicConfigValue{property("unit", "percent"), property("decimals", 1)}).
			OverrideByName("deficit", []dashboard.DynamicConfigValue{property("unit", water)}).
			WithTarget(records(`SELECT s.name AS station, d.index, d.class, d.percentile, d.since, d.duration_days AS days, d.deficit_m3 / 1e6 AS deficit
FROM drought d JOIN station s ON s.id = d.catchment
JOIN (SELECT catchment, max(valid_time) AS valid_time FROM drought GROUP BY catchment) n ON n.catchment = d.catchment AND n.valid_time = d.valid_time ORDER BY d.percentile, s.name, d.index`))).
		WithPanel(lines("Percentile for the season", "Of a day: below 30 is D0, below 2 D4.", "percent").Datasource(archive).Min(0).Max(100).Height(10).
			WithTarget(series("A", `SELECT valid_time AS time, index AS metric, percentile AS value FROM drought WHERE catchment = '$station' AND index IN (`+daily+`) AND $__timeFilter(valid_time) ORDER BY 1`))).
		WithPanel(lines("Percentile of the last months", "Precipitation, soil and streamflow over 3 and 12 months.", "percent").Datasource(archive).Min(0).Max(100).Height(10).
			WithTarget(series("A", `SELECT valid_time AS time, index AS metric, percentile AS value FROM drought WHERE catchment = '$station' AND index IN ('spi_3', 'ssmi_3', 'ssi_3', 'spi_12', 'ssmi_12', 'ssi_12') AND $__timeFilter(valid_time) ORDER BY 1`))).
		WithPanel(lines("Deficit", "Water that is missing since the drought began; 1 hm³ is a million m³.", water).Datasource(archive).
			WithTarget(series("A", `SELECT valid_time AS time, index AS metric, deficit_m3 / 1e6 AS value FROM drought WHERE catchment = '$station' AND $__timeFilter(valid_time) ORDER BY 1`))).
		WithPanel(states("Class now and since the scrapes began", "Of each station.").Datasource(metrics).Span(12).Height(8).
			Mappings(classes).
			WithTarget(promql(`nilometer_station_drought_class`, "{{station}}")))
}
