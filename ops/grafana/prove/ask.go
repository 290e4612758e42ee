package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var errEmpty = errors.New("no rows")

// panel asks all targets of a panel.
func (asks asker) panel(ctx context.Context, of panel) (answer, error) {
	var all answer
	for _, target := range of.Targets {
		var err error
		if target.RawSql != "" {
			err = asks.rows(ctx, target, &all)
		} else {
			err = asks.promql(target, &all)
		}
		if err != nil {
			return all, err
		}
	}
	if of.Type != "row" && len(all.series) == 0 && len(all.cells) == 0 {
		return all, errEmpty
	}
	return all, nil
}

var timeFilter = regexp.MustCompile(`\$__timeFilter\(([^)]*)\)`)

// expanded is a text with Grafana's variables and macros in place.
func (asks asker) expanded(text string) string {
	between := fmt.Sprintf("$1 BETWEEN '%s' AND '%s'", asks.event.from.UTC().Format(time.RFC3339), asks.event.to.UTC().Format(time.RFC3339))
	return strings.ReplaceAll(timeFilter.ReplaceAllString(text, between), "$station", asks.station)
}

func (asks asker) rows(ctx context.Context, target target, all *answer) error {
	rows, err := asks.sql.Query(ctx, asks.expanded(target.RawSql))
	if err != nil {
		return err
	}
	defer rows.Close()
	var header []string
	for _, column := range rows.FieldDescriptions() {
		header = append(header, column.Name)
	}
	by := map[string]*one{}
	var order []string
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		if target.Format == "table" {
			var cells []string
			for _, value := range values {
				cells = append(cells, cell(value))
			}
			all.cells = append(all.cells, cells)
			continue
		}
		at, ok := values[0].(time.Time)
		if !ok || header[0] != "time" {
			return fmt.Errorf("the first column of a series is %s of type %T; accepted is time", header[0], values[0])
		}
		// A column `metric` names the series of the column behind it; else each column is a series.
		named := len(header) > 1 && header[1] == "metric"
		for column := 1; column < len(values); column++ {
			name := header[column]
			if named {
				if column == 1 {
					continue
				}
				name = fmt.Sprint(values[1])
			}
			number, ok := values[column].(float64)
			if !ok {
				if values[column] == nil {
					continue
				}
				return fmt.Errorf("column %s is of type %T; accepted is a number", name, values[column])
			}
			if by[name] == nil {
				by[name] = &one{name: name}
				order = append(order, name)
			}
			by[name].times = append(by[name].times, at)
			by[name].values = append(by[name].values, number)
		}
	}
	if target.Format == "table" {
		all.header = header
	}
	for _, name := range order {
		all.series = append(all.series, *by[name])
	}
	return rows.Err()
}

func cell(value any) string {
	switch of := value.(type) {
	case nil:
		return ""
	case time.Time:
		return of.UTC().Format("2006-01-02 15:04")
	case float64:
		return strconv.FormatFloat(of, 'g', 4, 64)
	default:
		return fmt.Sprint(of)
	}
}

func (asks asker) promql(target target, all *answer) error {
	query := url.Values{"query": {asks.expanded(target.Expr)}}
	path := "query"
	if !target.Instant {
		path = "query_range"
		query.Set("start", strconv.FormatInt(asks.clock.from.Unix(), 10))
		query.Set("end", strconv.FormatInt(asks.clock.to.Unix(), 10))
		query.Set("step", "5")
	}
	response, err := http.PostForm(asks.prometheus+"/api/v1/"+path, query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var given struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  []any
				Values [][]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&given); err != nil {
		return err
	}
	if given.Status != "success" {
		return errors.New(given.Error)
	}
	for _, result := range given.Data.Result {
		if result.Value != nil {
			result.Values = [][]any{result.Value}
		}
		series := one{name: legend(target.LegendFormat, result.Metric)}
		for _, pair := range result.Values {
			number, err := strconv.ParseFloat(pair[1].(string), 64)
			if err != nil || math.IsNaN(number) {
				continue
			}
			seconds, fraction := math.Modf(pair[0].(float64))
			series.times = append(series.times, time.Unix(int64(seconds), int64(fraction*1e9)))
			series.values = append(series.values, number)
		}
		if len(series.values) > 0 {
			all.series = append(all.series, series)
		}
	}
	return nil
}

var label = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// legend is the name of a series: labels in the place of their names.
func legend(format string, labels map[string]string) string {
	return label.ReplaceAllStringFunc(format, func(of string) string { return labels[label.FindStringSubmatch(of)[1]] })
}

// fits says where the values of a panel are not what its unit stands for.
func fits(of panel, given answer) error {
	defaults := of.FieldConfig.Defaults
	low, high := math.Inf(-1), math.Inf(1)
	switch defaults.Unit {
	case "percentunit":
		low, high = 0, 1
	case "percent":
		low, high = 0, 100
	case "bytes", "s", "suffix: m³/s", "suffix: hm³", "cps":
		low = 0
	}
	asked := map[string]string{"s": "seconds", "bytes": "bytes"}
	for _, target := range of.Targets {
		if word := asked[defaults.Unit]; word != "" && target.Expr != "" && !strings.Contains(target.Expr, word) {
			return fmt.Errorf("the unit is %s and the expression has no %s: %s", defaults.Unit, word, target.Expr)
		}
	}
	for _, series := range given.series {
		for _, value := range series.values {
			// Rounding of rates.
			if value < low-1e-6 || value > high+1e-6 {
				return fmt.Errorf("%s is %v; the unit %s has %v to %v", series.name, value, defaults.Unit, low, high)
			}
		}
		if len(defaults.Mappings) > 0 {
			for _, value := range series.values {
				if _, _, ok := mapped(defaults.Mappings, value); !ok {
					return fmt.Errorf("%s is %v, which no mapping of the panel says", series.name, value)
				}
			}
		}
	}
	return nil
}

// mapped is the word and the colour of a value.
func mapped(mappings []mapping, value float64) (string, string, bool) {
	for _, of := range mappings {
		if found, ok := of.Options[strconv.FormatFloat(value, 'f', -1, 64)]; ok {
			return found.Text, found.Color, true
		}
	}
	return "", "", false
}
