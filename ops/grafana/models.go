package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

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
		WithPanel(number("States behind", "Event time between the state and the newest tick, as long as a step waits for its forcing.", seconds).
			WithTarget(now(`max(nilometer_forecast_state_lag_seconds)`, "behind"))).
		WithPanel(number("Steps filled in", "Steps since the start whose forcing was missing.", count).
			WithTarget(now(`max(nilometer_forecast_filled_steps)`, "steps"))).
		WithPanel(number("Water that does not add up", "Residual of the budget, which is rounding.", "lengthmm").
			WithTarget(now(`max(nilometer_forecast_water_budget_residual_mm)`, "residual"))).
		WithPanel(lines("CRPS over that of persistence, in force and shadow", "Of two weeks, on the same pairs; below 1 the forecast is better.", count).
			WithTarget(promql(`label_replace(label_replace(
  sum by (lead, model, shadow) (increase(nilometer_score_crps_total{of="forecast", beside="persistence"}[14d])) / sum by (lead, model, shadow) (increase(nilometer_score_crps_total{of="persistence", beside="persistence"}[14d])),
  "is", "in force", "shadow", "false"), "is", "shadow", "shadow", "true")`, "{{model}} {{lead}} {{is}}"))).
		WithPanel(lines("Readings within their expected spread", "Share of the innovations of an hour within one and two standard deviations: 68 and 95 % where the ensemble is honest.", ratio).Min(0).Max(1).
			WithTarget(promql(within(1), "one")).
			WithTarget(promql(within(2), "two"))).
		WithPanel(lines("Late rows and rewinds", "In an hour.", count).
			WithTarget(promql(`sum(increase(nilometer_forecast_late_rows_placed_total[1h]))`, "rows placed")).
			WithTarget(promql(`sum(increase(nilometer_forecast_rewinds_total[1h]))`, "rewinds"))).
		WithPanel(lines("Suspect readings", "In an hour.", count).
			WithTarget(promql(`sum(increase(nilometer_forecast_suspect_readings_total[1h]))`, "suspect")))
}

// within is the share of innovations between so many standard deviations.
func within(deviations int) string {
	below := func(bound int) string {
		return fmt.Sprintf(`sum(rate(nilometer_forecast_innovation_normalised_bucket{le=~"%d(\\.0)?"}[1h]))`, bound)
	}
	// Rates of counters that have just begun are extrapolated, each by itself.
	return fmt.Sprintf("clamp_max((%s - %s) / sum(rate(nilometer_forecast_innovation_normalised_count[1h])), 1)", below(deviations), below(-deviations))
}
