// Package main writes the dashboards: Go in, JSON out. See README.md.
package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The two sources of data, as provisioning/datasources.yml names them.
var (
	metrics = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("nilometer-prometheus")}
	archive = common.DataSourceRef{Type: cog.ToPtr(sqlType), Uid: cog.ToPtr("nilometer-sql")}
)

// Units as Grafana spells them.
const (
	seconds = "s"
	ratio   = "percentunit"
	octets  = "bytes"
	flow    = "suffix: m³/s"
	count   = "none"
	rate    = "cps"
)

const (
	green  = "green"
	orange = "orange"
	red    = "red"
	blue   = "blue"
)

// promql asks Prometheus over the time range of the dashboard.
func promql(expr, legend string) cog.Builder[variants.Dataquery] {
	return prometheus.NewDataqueryBuilder().Expr(expr).LegendFormat(legend).Range().Datasource(metrics)
}

// now asks Prometheus for the newest value alone.
func now(expr, legend string) cog.Builder[variants.Dataquery] {
	return prometheus.NewDataqueryBuilder().Expr(expr).LegendFormat(legend).Instant().Datasource(metrics)
}

// rows asks Prometheus for the newest values as a table.
func rows(expr string) cog.Builder[variants.Dataquery] {
	return prometheus.NewDataqueryBuilder().Expr(expr).Instant().Format(prometheus.PromQueryFormatTable).Datasource(metrics)
}

// graded colours values from each step on; the first begins at nothing.
func graded(first string, steps ...dashboard.Threshold) cog.Builder[dashboard.ThresholdsConfig] {
	all := append([]dashboard.Threshold{{Color: first}}, steps...)
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

func from(value float64, color string) dashboard.Threshold {
	return dashboard.Threshold{Value: cog.ToPtr(value), Color: color}
}

// mapped says numbers as words.
func mapped(words ...dashboard.ValueMap) []dashboard.ValueMapping {
	var mappings []dashboard.ValueMapping
	for at := range words {
		mappings = append(mappings, dashboard.ValueMapping{ValueMap: &words[at]})
	}
	return mappings
}

func word(value, text, color string) dashboard.ValueMap {
	result := dashboard.ValueMappingResult{Text: cog.ToPtr(text), Color: cog.ToPtr(color)}
	return dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: map[string]dashboard.ValueMappingResult{value: result}}
}

// number is one value, large.
func number(title, description, unit string) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(description).Unit(unit).Datasource(metrics).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		ColorMode(common.BigValueColorModeValue).GraphMode(common.BigValueGraphModeNone).Orientation(common.VizOrientationAuto).Span(4).Height(4)
}

// pointed says what is shown of the point below the cursor: all series there.
func pointed() *common.VizTooltipOptionsBuilder {
	return common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)
}

// lines are series over time.
func lines(title, description, unit string) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Title(title).Description(description).Unit(unit).Datasource(metrics).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(pointed()).LineWidth(1.5).FillOpacity(0).ShowPoints(common.VisibilityModeNever).Span(12).Height(8)
}

// listed is a table.
func listed(title, description string) *table.PanelBuilder {
	return table.NewPanelBuilder().Title(title).Description(description).
		Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{})).Span(24).Height(8)
}

// states is a bar of states over time.
func states(title, description string) *statetimeline.PanelBuilder {
	return statetimeline.NewPanelBuilder().Title(title).Description(description).Tooltip(pointed()).Span(24).Height(6)
}

// property of a field's override.
func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

// board is what all dashboards have in common.
func board(uid, title, description string) *dashboard.DashboardBuilder {
	links := dashboard.NewDashboardLinkBuilder("Nilometer").Type(dashboard.DashboardLinkTypeDashboards).
		Tags([]string{"nilometer"}).AsDropdown(true).IncludeVars(true).KeepTime(true)
	return dashboard.NewDashboardBuilder(title).Uid(uid).Description(description).Tags([]string{"nilometer"}).
		Timezone("browser").Readonly().Refresh("1m").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Links([]cog.Builder[dashboard.DashboardLink]{links})
}
