package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// models is the model in force beside its shadow, and what assimilation makes of readings.
func models() *dashboard.DashboardBuilder {
	return board("nilometer-models", "Nilometer: models", "The model in force beside its shadow; what readings do to states; what the system learns.").
		Time("now-7d", "now").
		WithPanel(number("Weights taken", "That the log put in force, in a week.", count).
			WithTarget(now(`sum(increase(nilometer_forecast_weight_swaps_total{outcome="taken"}[7d]))`, "taken"))).
		WithPanel(number("Weights refused", "In a week; the log says why.", count).Thresholds(graded(green, from(1, red))).
			WithTarget(now(`sum(increase(nilometer_forecast_weight_swaps_total{outcome="refused"}[7d]))`, "refused"))).
		WithPanel(number("Shifted gauges", "Whose readings are not assimilated.", count).Thresholds(graded(green, from(1, orange))).
			WithTarget(now(`sum(nilometer_readings_shifted) or vector(0)`, "shifted"))).
		WithPanel(number("States behind", "The tick that states have not reached yet.", seconds).Thresholds(graded(green, from(21600, orange))).
			WithTarget(now(`max(nilometer_forecast_state_lag_seconds)`, "behind"))).
		WithPanel(number("Steps filled in", "Steps since the start whose forcing was missing.", count).
			WithTarget(now(`max(nilometer_forecast_filled_steps)`, "steps"))).
		WithPanel(number("Water that does not add up", "Residual of the budget, which is rounding.", "lengthmm").
			WithTarget(now(`max(nilometer_forecast_water_budget_residual_mm)`, "residual"))).
		WithPanel(lines("CRPS by lead time, in force and shadow", "Sum of a day over the mean flow; lower is better, on the same pairs as persistence.", count).
			WithTarget(promql(`sum by (lead, model, shadow) (increase(nilometer_score_crps_total{of="forecast", beside="persistence"}[1d]))`, "{{model}} {{lead}} shadow {{shadow}}"))).
		WithPanel(lines("Readings beside their spread", "Innovations in units of their expected spread: 0.5, 0.9 of them lie within. About 0.7 and 1.6 where the ensemble is honest.", count).
			WithTarget(promql(`histogram_quantile(0.5, sum by (le) (rate(nilometer_forecast_innovation_normalised_bucket[1h])))`, "half")).
			WithTarget(promql(`histogram_quantile(0.9, sum by (le) (rate(nilometer_forecast_innovation_normalised_bucket[1h])))`, "nine of ten"))).
		WithPanel(lines("Late rows and rewinds", "In an hour.", count).
			WithTarget(promql(`sum(increase(nilometer_forecast_late_rows_placed_total[1h]))`, "rows placed")).
			WithTarget(promql(`sum(increase(nilometer_forecast_rewinds_total[1h]))`, "rewinds"))).
		WithPanel(lines("Suspect readings", "In an hour.", count).
			WithTarget(promql(`sum(increase(nilometer_forecast_suspect_readings_total[1h]))`, "suspect")))
}
