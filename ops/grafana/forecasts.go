package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// forecasts answers the five questions of a forecaster's morning: which rivers, when and how sure; what changed; do the gauges read; were forecasts good;
// and how dry it is.
func forecasts() *dashboard.DashboardBuilder {
	return board("nilometer-forecasts", "Nilometer: forecasts and skill", "Which rivers need attention, when and how sure; what changed; do gauges read; were forecasts good; how dry is it.").
		Time("now-2d", "now").
		WithRow(dashboard.NewRowBuilder("Now")).
		WithPanel(listed("Rivers to watch", "Thresholds that are reached within the horizon, the likeliest first.").Datasource(archive).
			OverrideByName("chance", []dashboard.DynamicConfigValue{property("unit", ratio), property("decimals", 0)}).
			OverrideByName("level", []dashboard.DynamicConfigValue{property("unit", flow)}).
			OverrideByName("peak", []dashboard.DynamicConfigValue{property("unit", flow), property("decimals", 1)}).
			WithTarget(records(`SELECT s.name AS station, e.threshold_name AS threshold, e.level_m3_s AS level, e.probability AS chance, e.crossing_q10 AS "from", e.crossing_q90 AS "to", e.peak_q50 AS peak, e.issue_time AS issue
FROM event e JOIN station s ON s.id = e.catchment
JOIN (SELECT catchment, max(issue_time) AS issue_time FROM event GROUP BY catchment) n ON n.catchment = e.catchment AND n.issue_time = e.issue_time
WHERE e.probability >= 0.05
ORDER BY e.probability DESC`))).
		WithPanel(lines("Chance by station and threshold", "Each issue, within its horizon.", ratio).Min(0).Max(1).
			WithTarget(promql(`nilometer_station_threshold_probability_ratio`, "{{station}} {{threshold}}"))).
		WithPanel(lines("Newest readings", "Of each station.", flow).
			WithTarget(promql(`nilometer_station_observed_cubic_meters_per_second`, "{{station}}"))).
		WithPanel(states("Alert state", "Of each station.").Datasource(metrics).
			Mappings(mapped(word("0", "normal", green), word("1", "watch", orange), word("2", "warning", red))).
			WithTarget(promql(`nilometer_station_alert_state`, "{{station}}"))).
		WithPanel(states("What gauges deliver", "Silence is no state of a river.").Datasource(metrics).
			Mappings(mapped(word("0", "in time", green), word("1", "late", orange), word("2", "silent", red))).
			WithTarget(promql(`nilometer_station_data_state`, "{{station}}"))).
		WithRow(dashboard.NewRowBuilder("Skill")).
		WithPanel(lines("Readings within the 90 % band", "Over two weeks, by lead time; accepted are 85 to 95 %.", ratio).Min(0).Max(1).
			Thresholds(graded(red, from(0.85, green), from(0.95, red))).
			ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeLine)).
			WithTarget(promql(`lead_model:nilometer_coverage90:ratio_14d`, "{{model}} {{lead}}"))).
		WithPanel(lines("Skill over persistence", "1 less the CRPS over that of persistence, over two weeks: above 0 the forecast is better.", count).Max(1).
			Thresholds(graded(red, from(0, green))).
			ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeLine)).
			WithTarget(promql(`lead_model_beside:nilometer_crps_skill:ratio_14d{beside="persistence"}`, "{{model}} {{lead}}"))).
		WithPanel(lines("Forecasts that met a reading", "Over two weeks, by lead time.", count).
			WithTarget(promql(`lead_model:nilometer_scored:increase14d`, "{{model}} {{lead}}"))).
		WithPanel(lines("Efficiency of the means", "Median over catchments and lead times since the start.", count).Max(1).
			WithTarget(promql(`max by (model, lead) (nilometer_score_nse_median{shadow="false"})`, "{{model}} {{lead}}"))).
		WithRow(dashboard.NewRowBuilder("Alerts of the last two days")).
		WithPanel(listed("What was said", "Each change of an alert, the newest first.").Datasource(archive).
			WithTarget(records(`SELECT time, station_name AS station, kind, state, change, text FROM alert WHERE $__timeFilter(time) ORDER BY time DESC LIMIT 50`)))
}
