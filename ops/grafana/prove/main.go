// Command prove asks every question of every dashboard: PromQL of a real Prometheus, SQL of the service by pgx, the driver that Grafana has. Each has
// to give rows of the kind that its panel draws, in a range that fits the panel's unit; the answers are drawn as SVG, a file a dashboard.
//
//	go run ./prove -prometheus http://127.0.0.1:9090 -sql postgres://desk@127.0.0.1:5432/nilometer -from … -to … -station V3524010 -out pictures
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// panel is what prove needs of a panel's JSON.
type panel struct {
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	GridPos     grid     `json:"gridPos"`
	Targets     []target `json:"targets"`
	Options     struct {
		Legend struct {
			ShowLegend bool `json:"showLegend"`
		} `json:"legend"`
	} `json:"options"`
	FieldConfig struct {
		Defaults  field      `json:"defaults"`
		Overrides []override `json:"overrides"`
	} `json:"fieldConfig"`
	Panels []panel `json:"panels"`
}

type grid struct{ H, W, X, Y int }

type field struct {
	Unit       string         `json:"unit"`
	Min        *float64       `json:"min"`
	Max        *float64       `json:"max"`
	Mappings   []mapping      `json:"mappings"`
	Thresholds *thresholds    `json:"thresholds"`
	Custom     map[string]any `json:"custom"`
}

type thresholds struct {
	Steps []struct {
		Value *float64 `json:"value"`
		Color string   `json:"color"`
	} `json:"steps"`
}

type mapping struct {
	Options map[string]struct {
		Text  string `json:"text"`
		Color string `json:"color"`
	} `json:"options"`
}

type override struct {
	Matcher struct {
		Id      string `json:"id"`
		Options any    `json:"options"`
	} `json:"matcher"`
	Properties []struct {
		Id    string `json:"id"`
		Value any    `json:"value"`
	} `json:"properties"`
}

type target struct {
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	Instant      bool   `json:"instant"`
	RawSql       string `json:"rawSql"`
	Format       string `json:"format"`
}

type board struct {
	Uid    string  `json:"uid"`
	Title  string  `json:"title"`
	Panels []panel `json:"panels"`
}

// one is a series, or a single value, by time.
type one struct {
	name   string
	times  []time.Time
	values []float64
}

// answer is what the targets of a panel gave.
type answer struct {
	series []one
	header []string
	cells  [][]string
}

type range_ struct{ from, to time.Time }

type asker struct {
	prometheus string
	sql        *pgx.Conn
	station    string
	event      range_ // of SQL: the time of what is forecast
	clock      range_ // of Prometheus: the time of the scrapes
}

func main() {
	var asks asker
	var from, to, address, folder, out string
	flag.StringVar(&asks.prometheus, "prometheus", "http://127.0.0.1:9090", "address of a Prometheus that scrapes the service")
	flag.StringVar(&address, "sql", "", "address of serve.postgres, as postgres://desk@127.0.0.1:5432/nilometer")
	flag.StringVar(&asks.station, "station", "V3524010", "value of $station")
	flag.StringVar(&from, "from", "", "begin of the time range of SQL, RFC 3339")
	flag.StringVar(&to, "to", "", "its end")
	flag.StringVar(&folder, "dashboards", "dashboards", "folder of the dashboards")
	flag.StringVar(&out, "out", "", "folder for the pictures; none are drawn where it is absent")
	since := flag.Duration("since", 15*time.Minute, "how far back Prometheus is asked")
	may := flag.String("may-be-empty", "", "titles of panels that may have no rows here, by semicolons")
	flag.Parse()
	ctx := context.Background()
	now := time.Now()
	asks.clock = range_{now.Add(-*since), now}
	asks.event = range_{must(time.Parse(time.RFC3339, from)), must(time.Parse(time.RFC3339, to))}
	asks.sql = must(pgx.Connect(ctx, address))
	defer asks.sql.Close(ctx)
	files := must(filepath.Glob(filepath.Join(folder, "*.json")))
	sort.Strings(files)
	passed, failed, empty := 0, 0, 0
	for _, file := range files {
		var of board
		if err := json.Unmarshal(must(os.ReadFile(file)), &of); err != nil {
			panic(err)
		}
		var drawn []drawing
		for _, panel := range flat(of.Panels) {
			answer, err := asks.panel(ctx, panel)
			if err == nil {
				err = fits(panel, answer)
			}
			switch {
			case err == errEmpty && contains(*may, panel.Title):
				empty++
				fmt.Printf("empty   %s: %s\n", of.Title, panel.Title)
			case err != nil:
				failed++
				fmt.Printf("FAILED  %s: %s: %v\n", of.Title, panel.Title, err)
			case panel.Type != "row":
				passed++
			}
			drawn = append(drawn, drawing{panel, answer})
		}
		if out != "" {
			span := asks.clock
			if err := os.WriteFile(filepath.Join(out, of.Uid+".svg"), []byte(draw(of.Title, drawn, span, asks.event)), 0o644); err != nil {
				panic(err)
			}
		}
	}
	fmt.Printf("%d passed, %d failed, %d without rows here\n", passed, failed, empty)
	if failed > 0 {
		os.Exit(1)
	}
}

// flat gives the panels of rows too, each once.
func flat(panels []panel) []panel {
	var all []panel
	for _, of := range panels {
		all = append(all, of)
		all = append(all, flat(of.Panels)...)
	}
	return all
}

func contains(list, title string) bool {
	for _, of := range strings.Split(list, ";") {
		if strings.TrimSpace(of) == title {
			return true
		}
	}
	return false
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}
