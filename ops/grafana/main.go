package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The dashboards; a new one is a file of its own and a line here.
var all = []func() *dashboard.DashboardBuilder{operations, forecasts, station, drought, models}

func main() {
	plugins.RegisterDefaultPlugins()
	folder := "dashboards"
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	for _, of := range all {
		if err := write(folder, of()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// write builds a dashboard, decodes what it wrote strictly, and puts it into a file that has its name.
func write(folder string, builder *dashboard.DashboardBuilder) error {
	built, err := builder.Build()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		return err
	}
	var again dashboard.Dashboard
	var wrong cog.BuildErrors
	// Where nothing is wrong the SDK gives an empty list, and not no error.
	if err := again.UnmarshalJSONStrict(text); err != nil && (!errors.As(err, &wrong) || len(wrong) > 0) {
		return fmt.Errorf("%s: %w", *built.Uid, err)
	}
	return os.WriteFile(filepath.Join(folder, *built.Uid+".json"), append(text, '\n'), 0o644)
}
