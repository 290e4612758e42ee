package main

import (
	"fmt"
	"html"
	"math"
	"regexp"
	"strings"
	"time"
)

// drawing is a panel beside what its targets gave.
type drawing struct {
	panel  panel
	answer answer
}

// Of the picture, px.
const (
	column = 60
	line   = 34
	gap    = 8
)

var palette = []string{"#3a6ea5", "#b97d00", "#4e7d3a", "#b3261e", "#7a5a96", "#2a7f86", "#8a5a3a", "#5f676e", "#a3446f", "#6b7a1f"}

var colours = map[string]string{"green": "#4e7d3a", "orange": "#b97d00", "red": "#b3261e", "blue": "#3a6ea5", "text": "#161a1d"}

func colour(name string) string {
	if known, ok := colours[name]; ok {
		return known
	}
	if strings.HasPrefix(name, "#") {
		return name
	}
	return "#5f676e"
}

// draw makes a picture of a dashboard. It is no Grafana: it honours place, title, unit, thresholds, mappings, limits, legend, time range, and of the
// overrides width, dash, colour and fillBelowTo.
func draw(title string, all []drawing, clock, event range_) string {
	var body strings.Builder
	bottom := 0
	for _, of := range all {
		at := of.panel.GridPos
		x, y, w, h := at.X*column+gap/2, 56+at.Y*line+gap/2, at.W*column-gap, at.H*line-gap
		bottom = max(bottom, y+h)
		if of.panel.Type == "row" {
			fmt.Fprintf(&body, `<text class="row" x="%d" y="%d">%s</text>`, x+4, y+18, html.EscapeString(of.panel.Title))
			continue
		}
		fmt.Fprintf(&body, `<g><rect class="panel" x="%d" y="%d" width="%d" height="%d" rx="3"/><text class="title" x="%d" y="%d">%s</text>`, x, y, w, h, x+10, y+18, html.EscapeString(of.panel.Title))
		inside := box{x + 10, y + 28, w - 20, h - 36}
		switch {
		case len(of.answer.series) == 0 && len(of.answer.cells) == 0:
			fmt.Fprintf(&body, `<text class="none" x="%d" y="%d">no rows</text>`, x+w/2, y+h/2)
		case of.panel.Type == "stat":
			body.WriteString(number(of, inside))
		case of.panel.Type == "table":
			body.WriteString(listed(of, inside))
		case of.panel.Type == "state-timeline":
			body.WriteString(states(of, inside, clock))
		default:
			body.WriteString(lines(of, inside, clock, event))
		}
		body.WriteString("</g>\n")
	}
	width, height := 24*column, bottom+12
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d"><style>
text{font:12px system-ui,sans-serif;fill:#454c53;font-variant-numeric:tabular-nums}.head{font-size:20px;font-weight:600;fill:#161a1d}.row{font-size:14px;font-weight:600;fill:#161a1d}
.title{font-weight:600;fill:#161a1d}.panel{fill:#fff;stroke:#d8dbdd}.grid{stroke:#e8eaeb}.axis{stroke:#7b838a}.none{text-anchor:middle;fill:#5f676e}.end{text-anchor:end}.middle{text-anchor:middle}
</style><rect width="100%%" height="100%%" fill="#fbfbf9"/><text class="head" x="8" y="32">%s</text>
%s</svg>
`, width, height, width, height, html.EscapeString(title), body.String())
}

type box struct{ x, y, w, h int }

// said is a value with its unit.
func said(value float64, unit string) string {
	switch unit {
	case "percentunit":
		return fmt.Sprintf("%.3g %%", value*100)
	case "percent":
		return fmt.Sprintf("%.3g %%", value)
	case "s":
		switch {
		case value == 0 || value >= 0.1 && value < 120:
			return fmt.Sprintf("%.3g s", value)
		case value < 0.1:
			return fmt.Sprintf("%.3g ms", value*1e3)
		case value < 7200:
			return fmt.Sprintf("%.3g min", value/60)
		default:
			return fmt.Sprintf("%.3g h", value/3600)
		}
	case "bytes":
		for _, name := range []string{"B", "KiB", "MiB", "GiB"} {
			if value < 1024 {
				return fmt.Sprintf("%.3g %s", value, name)
			}
			value /= 1024
		}
		return fmt.Sprintf("%.3g TiB", value)
	case "cps":
		return fmt.Sprintf("%.3g /s", value)
	case "lengthmm":
		return fmt.Sprintf("%.2g mm", value)
	default:
		_, suffix, _ := strings.Cut(unit, "suffix:")
		return short(value) + suffix
	}
}

// short is a number of four digits at most, without an exponent where people read one.
func short(value float64) string {
	if size := math.Abs(value); size >= 1000 && size < 1e7 {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.3g", value)
}

func number(of drawing, in box) string {
	defaults, values := of.panel.FieldConfig.Defaults, of.answer.series[0].values
	value := values[len(values)-1]
	shown := "#161a1d"
	if defaults.Thresholds != nil {
		for _, step := range defaults.Thresholds.Steps {
			if step.Value == nil || value >= *step.Value {
				shown = colour(step.Color)
			}
		}
	}
	return fmt.Sprintf(`<text class="middle" x="%d" y="%d" style="font-size:30px;font-weight:600;fill:%s">%s</text>`, in.x+in.w/2, in.y+in.h/2+12, shown, said(value, defaults.Unit))
}

func listed(of drawing, in box) string {
	var out strings.Builder
	units := map[string]string{}
	for _, override := range of.panel.FieldConfig.Overrides {
		for _, property := range override.Properties {
			if name, ok := override.Matcher.Options.(string); ok && property.Id == "unit" {
				units[name], _ = property.Value.(string)
			}
		}
	}
	wide := make([]int, len(of.answer.header))
	rows := append([][]string{of.answer.header}, of.answer.cells...)
	for at, row := range rows {
		for column := range row {
			if unit := units[of.answer.header[column]]; unit != "" && at > 0 {
				var value float64
				if _, err := fmt.Sscan(row[column], &value); err == nil {
					row[column] = said(value, unit)
				}
			}
			wide[column] = max(wide[column], min(len([]rune(row[column])), 80))
		}
	}
	total := 0
	for _, width := range wide {
		total += width + 2
	}
	for at, row := range rows {
		y := in.y + 14 + at*20
		if y > in.y+in.h {
			break
		}
		x := float64(in.x)
		for column, text := range row {
			style := ""
			if at == 0 {
				style = ` style="font-weight:600"`
			}
			fmt.Fprintf(&out, `<text x="%.0f" y="%d"%s>%s</text>`, x, y, style, html.EscapeString(cut(text, wide[column])))
			x += math.Min(7.2, float64(in.w)/float64(total)) * float64(wide[column]+2)
		}
	}
	return out.String()
}

func cut(text string, length int) string {
	runes := []rune(text)
	if len(runes) <= length {
		return text
	}
	return string(runes[:length-1]) + "…"
}

func states(of drawing, in box, span range_) string {
	var out strings.Builder
	left, right := float64(in.x+120), float64(in.x+in.w)
	x := scale(span, left, right)
	height := min(22, (in.h-20)/max(1, len(of.answer.series)))
	for row, series := range of.answer.series {
		y := in.y + row*height
		fmt.Fprintf(&out, `<text x="%d" y="%d">%s</text>`, in.x, y+height-6, html.EscapeString(cut(series.name, 18)))
		for at := 0; at < len(series.values); {
			last := at
			for last+1 < len(series.values) && series.values[last+1] == series.values[at] {
				last++
			}
			end := right
			if last+1 < len(series.times) {
				end = x(series.times[last+1])
			}
			word, name, _ := mapped(of.panel.FieldConfig.Defaults.Mappings, series.values[at])
			begin := x(series.times[at])
			fmt.Fprintf(&out, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, begin, y+2, math.Max(1, end-begin), height-4, colour(name))
			if end-begin > 60 {
				fmt.Fprintf(&out, `<text x="%.1f" y="%d" style="fill:#fff">%s</text>`, begin+6, y+height-6, html.EscapeString(word))
			}
			at = last + 1
		}
	}
	return out.String() + ticks(span, x, in.y+in.h-2, left, right)
}

// style is what the overrides say of a series.
type style struct {
	width, opacity float64
	colour, below  string
	dashed         bool
}

func styled(of panel, series string, at int) style {
	width, _ := of.FieldConfig.Defaults.Custom["lineWidth"].(float64)
	given := style{width: width, colour: palette[at%len(palette)]}
	for _, override := range of.FieldConfig.Overrides {
		name, _ := override.Matcher.Options.(string)
		matches := name == series
		if override.Matcher.Id == "byRegexp" {
			matches = regexp.MustCompile(strings.Trim(name, "/")).MatchString(series)
		}
		if !matches {
			continue
		}
		for _, property := range override.Properties {
			switch property.Id {
			case "custom.lineWidth":
				given.width, _ = property.Value.(float64)
			case "custom.fillOpacity":
				given.opacity, _ = property.Value.(float64)
			case "custom.fillBelowTo":
				given.below, _ = property.Value.(string)
			case "custom.lineStyle":
				given.dashed = true
			case "color":
				if fixed, ok := property.Value.(map[string]any); ok {
					given.colour = colour(fmt.Sprint(fixed["fixedColor"]))
				}
			}
		}
	}
	return given
}

func lines(of drawing, in box, clock, event range_) string {
	var out strings.Builder
	span := clock
	for _, target := range of.panel.Targets {
		if target.RawSql != "" {
			span = event
		}
	}
	defaults := of.panel.FieldConfig.Defaults
	low, high := math.Inf(1), math.Inf(-1)
	for _, series := range of.answer.series {
		for _, value := range series.values {
			low, high = math.Min(low, value), math.Max(high, value)
		}
	}
	low = math.Min(low, 0)
	if defaults.Min != nil {
		low = *defaults.Min
	}
	if defaults.Max != nil {
		high = *defaults.Max
	} else {
		high += (high - low) * 0.08
	}
	if high <= low {
		high = low + 1
	}
	legend := 0
	if of.panel.Options.Legend.ShowLegend {
		legend = 18
	}
	left, right, top, bottom := float64(in.x+64), float64(in.x+in.w), float64(in.y+4), float64(in.y+in.h-legend-18)
	x := scale(span, left, right)
	y := func(value float64) float64 { return bottom - (value-low)/(high-low)*(bottom-top) }
	for at := 0; at <= 4; at++ {
		value := low + (high-low)*float64(at)/4
		fmt.Fprintf(&out, `<path class="grid" d="M%.0f %.1fH%.0f"/><text class="end" x="%.0f" y="%.1f">%s</text>`, left, y(value), right, left-6, y(value)+4, said(value, defaults.Unit))
	}
	if custom, ok := defaults.Custom["thresholdsStyle"].(map[string]any); ok && custom["mode"] == "line" && defaults.Thresholds != nil {
		for _, step := range defaults.Thresholds.Steps {
			if step.Value != nil && *step.Value >= low && *step.Value <= high {
				fmt.Fprintf(&out, `<path d="M%.0f %.1fH%.0f" stroke="%s" stroke-width="1"/>`, left, y(*step.Value), right, colour(step.Color))
			}
		}
	}
	points := map[string][]string{}
	for _, series := range of.answer.series {
		for at := range series.values {
			if !series.times[at].Before(span.from) && !series.times[at].After(span.to) {
				points[series.name] = append(points[series.name], fmt.Sprintf("%.1f %.1f", x(series.times[at]), y(series.values[at])))
			}
		}
	}
	for at, series := range of.answer.series {
		with := styled(of.panel, series.name, at)
		if lower := points[with.below]; with.below != "" && len(lower) > 0 {
			back := make([]string, 0, len(lower))
			for last := len(lower) - 1; last >= 0; last-- {
				back = append(back, lower[last])
			}
			fmt.Fprintf(&out, `<path d="M%sL%sZ" fill="%s" fill-opacity="%.2f"/>`, strings.Join(points[series.name], "L"), strings.Join(back, "L"), with.colour, with.opacity/100)
		}
	}
	begin := float64(in.x)
	for at, series := range of.answer.series {
		with, dash := styled(of.panel, series.name, at), ""
		if with.dashed {
			dash = ` stroke-dasharray="8 6"`
		}
		if with.width > 0 && len(points[series.name]) > 0 {
			fmt.Fprintf(&out, `<path d="M%s" fill="none" stroke="%s" stroke-width="%.1f"%s/>`, strings.Join(points[series.name], "L"), with.colour, with.width, dash)
		}
		if length := float64(len([]rune(series.name)))*6.6 + 26; legend > 0 && begin+length < right {
			fmt.Fprintf(&out, `<path d="M%.0f %dh12" stroke="%s" stroke-width="3"/><text x="%.0f" y="%d">%s</text>`, begin, in.y+in.h-6, with.colour, begin+16, in.y+in.h-2, html.EscapeString(series.name))
			begin += length
		}
	}
	return out.String() + ticks(span, x, int(bottom)+14, left, right)
}

func scale(span range_, left, right float64) func(time.Time) float64 {
	whole := span.to.Sub(span.from).Seconds()
	return func(at time.Time) float64 { return left + at.Sub(span.from).Seconds()/whole*(right-left) }
}

// ticks writes five times below an axis.
func ticks(span range_, x func(time.Time) float64, y int, left, right float64) string {
	var out strings.Builder
	format := "15:04"
	switch length := span.to.Sub(span.from); {
	case length < time.Hour:
		format = "15:04:05"
	case length > 20*24*time.Hour:
		format = "2 Jan"
	case length > 24*time.Hour:
		format = "2 Jan 15:04"
	}
	for at := 1; at < 5; at++ {
		of := span.from.Add(span.to.Sub(span.from) * time.Duration(at) / 5).Truncate(time.Second)
		fmt.Fprintf(&out, `<text class="middle" x="%.0f" y="%d">%s</text>`, x(of), y, of.UTC().Format(format))
	}
	return out.String()
}
