package main

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
)

// sqlType is Grafana's PostgreSQL source, which serve.postgres answers.
const sqlType = "grafana-postgresql-datasource"

// sqlQuery is a query of that source, for which the SDK has no type.
type sqlQuery struct {
	RefId      string                `json:"refId,omitempty"`
	Datasource *common.DataSourceRef `json:"datasource,omitempty"`
	Format     string                `json:"format"`
	RawSql     string                `json:"rawSql"`
	RawQuery   bool                  `json:"rawQuery"`
	EditorMode string                `json:"editorMode"`
}

func (sqlQuery) ImplementsDataqueryVariant() {}
func (sqlQuery) DataqueryType() string       { return sqlType }

func (query sqlQuery) Validate() error {
	if query.RawSql == "" {
		return errors.New("a query has no text")
	}
	return nil
}

func (query sqlQuery) Equals(other variants.Dataquery) bool {
	same, ok := other.(sqlQuery)
	return ok && same.RawSql == query.RawSql && same.Format == query.Format && same.RefId == query.RefId
}

type sqlBuilder struct{ query sqlQuery }

func (builder sqlBuilder) Build() (variants.Dataquery, error) {
	return builder.query, builder.query.Validate()
}

// series asks SQL for a column `time` and a column a series.
func series(refId, text string) cog.Builder[variants.Dataquery] {
	return asked(refId, "time_series", text)
}

// records asks SQL for a table.
func records(text string) cog.Builder[variants.Dataquery] { return asked("A", "table", text) }

func asked(refId, format, text string) cog.Builder[variants.Dataquery] {
	return sqlBuilder{sqlQuery{RefId: refId, Datasource: &archive, Format: format, RawSql: text, RawQuery: true, EditorMode: "code"}}
}

// Strict decoding of a dashboard needs to know the type.
func init() {
	strict := func(raw []byte) (variants.Dataquery, error) {
		var query sqlQuery
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		return query, decoder.Decode(&query)
	}
	decode := func(raw []byte) (variants.Dataquery, error) {
		var query sqlQuery
		err := json.Unmarshal(raw, &query)
		return query, err
	}
	cog.NewRuntime().RegisterDataqueryVariant(variants.DataqueryConfig{
		Identifier:                 sqlType,
		DataqueryUnmarshaler:       decode,
		StrictDataqueryUnmarshaler: strict,
	})
}
