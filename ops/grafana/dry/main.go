// Writes eleven years of two made rivers, of which the last one is dry: what the dashboard of droughts is proven on, as the demonstration has none.
package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

const definition = `name = "dry"
data = "."

[time]
step = "1d"
from = "2010-01-01T00:00:00Z"
to = "2020-11-01T00:00:00Z"

[[catchment]]
id = "R1"
name = "Made river, upper"
area_km2 = 574.0
parameters = "01022500"

[[catchment]]
id = "R2"
name = "Made river, lower"
area_km2 = 769.0
parameters = "01031500"

%s
[model]
package = "%s"

[assimilation]
method = "none"
members = 1
seed = 1

[forecast]
horizon = "3d"
every = "7d"
scenario = "persistence"
wait = "0s"
state_every = "1d"

[drought]
years = 5
outlook_weeks = 0

[log]
store = "store"
snapshot_every = 365
retention = "36500d"
`

// variables of the model, as columns of one table.
var variables = []struct{ column, variable, unit string }{
	{"rain", "precipitation", "mm"},
	{"tmin", "minimum_air_temperature", "degC"},
	{"tmax", "maximum_air_temperature", "degC"},
	{"day", "day_length", "d"},
	{"sun", "shortwave_radiation", "W m-2"},
	{"vapour", "vapour_pressure", "Pa"},
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "accepted is FOLDER PACKAGE")
		os.Exit(2)
	}
	folder, pack := os.Args[1], os.Args[2]
	sources := ""
	for _, of := range variables {
		sources += fmt.Sprintf("[source.%s]\nkind = \"table\"\npath = \"weather.csv\"\nstation = { column = \"gauge\" }\ntime = { column = { name = \"time\", format = \"rfc3339\" } }\nvalue = \"%s\"\nvariable = \"%s\"\nunit = \"%s\"\nperiod = \"1d\"\n\n", of.column, of.column, of.variable, of.unit)
	}
	sources += "[source.flow]\nkind = \"table\"\npath = \"flow.csv\"\nstation = { column = \"gauge\" }\ntime = { column = { name = \"time\", format = \"rfc3339\" } }\nvalue = \"flow\"\nvariable = \"discharge\"\nunit = \"m3 s-1\"\nperiod = \"1d\"\n"
	write(folder, "dry.toml", func(out *bufio.Writer) { fmt.Fprintf(out, definition, sources, pack) })
	write(folder, "weather.csv", func(out *bufio.Writer) {
		fmt.Fprintln(out, "gauge,time,rain,tmin,tmax,day,sun,vapour")
		days(func(day time.Time, number int, season, rain float64) {
			for river := 1; river <= 2; river++ {
				fmt.Fprintf(out, "R%d,%s,%.2f,%.2f,%.2f,%.4f,%.1f,%.0f\n", river, day.Format(time.RFC3339), rain*(0.9+0.1*float64(river)),
					6-10*season, 16-11*season, 0.5-0.13*season, 200-100*season, 900-450*season)
			}
		})
	})
	write(folder, "flow.csv", func(out *bufio.Writer) {
		fmt.Fprintln(out, "gauge,time,flow")
		store := 60.0
		days(func(day time.Time, number int, season, rain float64) {
			drained := 0.03 * store
			store += rain - drained - math.Max(0, math.Min(store/60, 1)*(1.8-1.6*season))
			store = math.Max(store, 1)
			for river, area := range []float64{574, 769} {
				fmt.Fprintf(out, "R%d,%s,%.4f\n", river+1, day.Format(time.RFC3339), drained*area/86.4)
			}
		})
	})
}

// days gives each day its season (1 in the middle of winter, -1 in that of summer) and its rain in mm, the same at each run.
func days(each func(day time.Time, number int, season, rain float64)) {
	noise := uint32(20201101)
	for number := 1; number <= 3957; number++ {
		day := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, number)
		noise = noise*1664525 + 1013904223
		chance := float64(noise>>8) / float64(1<<24)
		rain := 0.0
		if chance < 0.35 {
			rain = -8 * math.Log(1-chance/0.35*0.999)
		}
		// From the spring of the last year on next to none falls.
		if number > 3957-220 {
			rain *= 0.15
		}
		each(day, number, math.Cos(2*math.Pi*float64(day.YearDay()-15)/365.25), rain)
	}
}

func write(folder, name string, content func(*bufio.Writer)) {
	file, err := os.Create(filepath.Join(folder, name))
	if err == nil {
		out := bufio.NewWriter(file)
		content(out)
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
