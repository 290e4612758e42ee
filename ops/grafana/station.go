package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// stationVariable lets one station be chosen.
func stationVariable() *dashboard.QueryVariableBuilder {
	text := "SELECT id AS __value, name AS __text FROM station ORDER BY name"
	return dashboard.NewQueryVariableBuilder("station").Label("Station").Datasource(archive).
		Query(dashboard.StringOrMap{String: &text}).Refresh(dashboard.VariableRefreshOnDashboardLoad).Sort(dashboard.VariableSortDisabled)
}

// nowLine marks the time of the newest issue, which in a replay is not that of the clock.
func nowLine() *dashboard.AnnotationQueryBuilder {
	text := "SELECT max(issue_time) AS time, 'now' AS text FROM forecast_latest WHERE catchment = '$station'"
	return dashboard.NewAnnotationQueryBuilder().Name("now").Datasource(archive).Enable(true).IconColor(blue).
		Target(asked("Anno", "table", text))
}

// station is one river: what was read, what is forecast, how likely its thresholds are, and what readings did.
func station() *dashboard.DashboardBuilder {
	hidden := property("custom.lineWidth", 0)
	fan := func(to string, opacity float64) []dashboard.DynamicConfigValue {
		return []dashboard.DynamicConfigValue{hidden, property("custom.fillBelowTo", to), property("custom.fillOpacity", opacity), property("color", map[string]string{"mode": "fixed", "fixedColor": blue})}
	}
	bare := []dashboard.DynamicConfigValue{hidden, property("color", map[string]string{"mode": "fixed", "fixedColor": blue})}
	threshold := []dashboard.DynamicConfigValue{property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{8, 6}}), property("color", map[string]string{"mode": "fixed", "fixedColor": red})}
	return board("nilometer-station", "Nilometer: station", "One river: readings, forecast with its bands, thresholds, odds by issue, and what readings did.").
		Time("now-3d", "now+10d").
		WithVariable(stationVariable()).
		Annotations([]cog.Builder[dashboard.AnnotationQuery]{nowLine()}).
		WithPanel(lines("Discharge", "Readings, and the newest forecast: median, 50 and 90 % band; thresholds are dashed.", flow).Datasource(archive).Span(24).Height(14).Min(0).
			OverrideByName("observed", []dashboard.DynamicConfigValue{property("custom.lineWidth", 2), property("color", map[string]string{"mode": "fixed", "fixedColor": "text"})}).
			OverrideByName("q95", fan("q05", 15)).OverrideByName("q75", fan("q25", 30)).OverrideByName("q05", bare).OverrideByName("q25", bare).
			OverrideByName("q50", []dashboard.DynamicConfigValue{property("custom.lineWidth", 2), property("color", map[string]string{"mode": "fixed", "fixedColor": blue})}).
			OverrideByRegexp("/^threshold /", threshold).
			WithTarget(series("A", `SELECT valid_time AS time, value AS observed FROM observation WHERE variable = 'discharge' AND station = (SELECT station FROM station WHERE id = '$station') AND $__timeFilter(valid_time) ORDER BY 1`)).
			WithTarget(series("B", `SELECT valid_time AS time, q05, q25, q50, q75, q95 FROM forecast_latest WHERE catchment = '$station' AND $__timeFilter(valid_time) ORDER BY 1`)).
			WithTarget(series("C", `SELECT f.valid_time AS time, 'threshold ' || e.threshold_name AS metric, e.level_m3_s AS value FROM forecast_latest f JOIN event e ON e.catchment = f.catchment AND e.issue_time = f.issue_time WHERE f.catchment = '$station' AND $__timeFilter(f.valid_time) ORDER BY 1`))).
		WithPanel(lines("Chance of each threshold, by issue", "That it is reached within the horizon.", ratio).Datasource(archive).Min(0).Max(1).
			ShowPoints(common.VisibilityModeAlways).
			WithTarget(series("A", `SELECT issue_time AS time, threshold_name AS metric, probability AS value FROM event WHERE catchment = '$station' AND $__timeFilter(issue_time) ORDER BY 1`))).
		WithPanel(lines("Readings beside what was expected", "What the filter held each reading against.", flow).Datasource(archive).
			WithTarget(series("A", `SELECT valid_time AS time, observed, predicted AS expected FROM analysis WHERE catchment = '$station' AND variable = 'discharge' AND $__timeFilter(valid_time) ORDER BY 1`))).
		WithPanel(listed("Thresholds now", "What the newest issue says of each.").Datasource(archive).Span(12).
			OverrideByName("chance", []dashboard.DynamicConfigValue{property("unit", ratio), property("decimals", 0)}).
			OverrideByName("level", []dashboard.DynamicConfigValue{property("unit", flow)}).
			WithTarget(records(`SELECT threshold_name AS threshold, level_m3_s AS level, probability AS chance, crossing_q10 AS "from", crossing_q50 AS likeliest, crossing_q90 AS "to"
FROM event WHERE catchment = '$station' AND issue_time = (SELECT max(issue_time) FROM event WHERE catchment = '$station') ORDER BY level_m3_s`))).
		WithPanel(lines("Errors of forecasts", "CRPS of the forecast and of persistence, mean over lead times, by the hour that was forecast.", flow).Datasource(archive).
			WithTarget(series("A", `SELECT valid_time AS time, avg(crps) AS forecast, avg(crps_persistence) AS persistence FROM score WHERE catchment = '$station' AND shadow = false AND $__timeFilter(valid_time) GROUP BY valid_time ORDER BY 1`)))
}
