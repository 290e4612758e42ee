package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// operations answers the five questions of a platform engineer's morning: is all of it up and in time, do the inputs come, is anything behind or slow,
// is there room, and do people get what is made.
func operations() *dashboard.DashboardBuilder {
	return board("nilometer-operations", "Nilometer: operations", "Is all of it up and in time; do inputs come; is anything behind; is there room; do people get it.").
		Time("now-6h", "now").
		WithRow(dashboard.NewRowBuilder("Up and in time")).
		WithPanel(number("Processes up", "Processes that answered the last scrape, of those that are scraped.", ratio).
			Thresholds(graded(red, from(1, green))).
			WithTarget(now(`avg(up{job="nilometer"})`, "up"))).
		WithPanel(number("Forecasts behind", "Event time of the role forecast behind what has been read from the sources.", seconds).
			Thresholds(graded(green, from(3600, orange), from(7200, red))).
			WithTarget(now(`max(role:nilometer_event_time_lag_seconds:max{role="forecast"})`, "behind"))).
		WithPanel(number("Alerts of the system", "Rules of ops/prometheus that fire now.", count).
			Thresholds(graded(green, from(1, red))).
			WithTarget(now(`count(ALERTS{alertname=~"Nilometer.+", alertstate="firing"}) or vector(0)`, "firing"))).
		WithPanel(number("Silent gauges", "Of the gauges that are watched.", ratio).
			Thresholds(graded(green, from(0.01, orange), from(0.2, red))).
			WithTarget(now(`sum(nilometer_gauges{data="silent"}) / sum(nilometer_gauges)`, "silent"))).
		WithPanel(number("Dead letters in an hour", "Rows that could not be used; dead_letter.v1 has them with the reason.", count).
			Thresholds(graded(green, from(1, orange))).
			WithTarget(now(`sum(increase(nilometer_dead_letters_total[1h])) or vector(0)`, "rows"))).
		WithPanel(number("Room for the store", "Free share of the disk that the store lies on.", ratio).
			Thresholds(graded(red, from(0.1, orange), from(0.25, green))).
			WithTarget(now(`min(nilometer_store_free_bytes / nilometer_store_size_bytes)`, "free"))).
		WithRow(dashboard.NewRowBuilder("Inputs")).
		WithPanel(lines("Since the newest arrival", "Event time since a source gave its last row.", seconds).
			WithTarget(promql(`source:nilometer_since_arrival_seconds:max`, "{{source}}"))).
		WithPanel(lines("Rows of a source", "Rows that became observations or forcing.", rate).
			WithTarget(promql(`sum by (source) (deriv(nilometer_source_rows[5m]))`, "{{source}}"))).
		WithPanel(lines("Gauges", "By what they deliver.", count).
			WithTarget(promql(`sum by (data) (nilometer_gauges)`, "{{data}}"))).
		WithPanel(lines("Rows in the balance", "Every row that was received has one of these fates; what is received and has none is a lost row.", count).
			WithTarget(promql(`sum by (fate) (nilometer_rows{role="forecast"})`, "{{fate}}"))).
		WithRow(dashboard.NewRowBuilder("Flow")).
		WithPanel(lines("Messages not read yet", "By role, the topic where it is most.", count).
			WithTarget(promql(`max by (role) (role_topic_partition:nilometer_lag_messages:max)`, "{{role}}"))).
		WithPanel(lines("Messages handled", "By role, in a second.", rate).
			WithTarget(promql(`role:nilometer_messages:rate5m`, "{{role}}"))).
		WithPanel(lines("Time of a message, 99 of 100", "By role.", seconds).
			WithTarget(promql(`role:nilometer_role_seconds:p99_5m > 0`, "{{role}}"))).
		WithPanel(lines("Time until the log has a message", "99 of 100, and half.", seconds).
			WithTarget(promql(`histogram_quantile(0.99, sum by (le) (rate(nilometer_log_append_seconds_bucket[5m])))`, "99 of 100")).
			WithTarget(promql(`histogram_quantile(0.5, sum by (le) (rate(nilometer_log_append_seconds_bucket[5m])))`, "half"))).
		WithRow(dashboard.NewRowBuilder("Room")).
		WithPanel(lines("Memory", "Resident, by process.", octets).
			WithTarget(promql(`process_resident_memory_bytes{job="nilometer"}`, "{{instance}}"))).
		WithPanel(lines("Processors in use", "By process.", count).
			WithTarget(promql(`rate(process_cpu_seconds_total{job="nilometer"}[5m])`, "{{instance}}"))).
		WithRow(dashboard.NewRowBuilder("Service")).
		WithPanel(lines("Requests", "By status, in a second.", rate).
			WithTarget(promql(`status:nilometer_serve_requests:rate5m`, "{{status}}"))).
		WithPanel(lines("Time of an answer, 99 of 100", "", seconds).
			WithTarget(promql(`nilometer_serve_request_seconds:p99_5m`, "99 of 100"))).
		WithPanel(lines("Clients that listen", "To streams; and those that were cut as too slow, in five minutes.", count).
			WithTarget(promql(`sum(nilometer_serve_stream_clients)`, "listening")).
			WithTarget(promql(`sum(increase(nilometer_serve_stream_cuts_total[5m]))`, "cut"))).
		WithPanel(lines("SQL", "Queries by outcome, in a second.", rate).
			WithTarget(promql(`sum by (outcome) (rate(nilometer_serve_sql_queries_total[5m]))`, "{{outcome}}")))
}
