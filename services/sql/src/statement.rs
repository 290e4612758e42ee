//! Statements: what may be asked. Everything that is not named here is refused, by every protocol.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::{
    parser::{DFParserBuilder, Statement},
    sqlparser::{
        ast::{self, ObjectName, Query, SetExpr, Visit, Visitor},
        dialect::PostgreSqlDialect,
    },
};

use crate::SqlError;

/// Bytes of a text at most.
pub(crate) const LONGEST_TEXT: usize = 64 << 10;
/// How deep a statement may be nested.
const DEEPEST: usize = 50;
/// Tables of a statement, those of a `WITH` as often as it is named: plans grow with them.
const MOST_TABLES: usize = 64;
/// Characters of a statement that a refusal repeats.
const REPEATED: usize = 60;

/// The one statement of a text, where it is accepted.
pub(crate) fn parse(text: &str) -> Result<Statement, SqlError> {
    if text.len() > LONGEST_TEXT {
        return Err(SqlError::Statement(format!("the text has {} bytes; accepted are {LONGEST_TEXT}", text.len())));
    }
    let parsed = DFParserBuilder::new(text)
        .with_dialect(&PostgreSqlDialect {})
        .with_recursion_limit(DEEPEST)
        .build()
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|error| SqlError::Statement(error.strip_backtrace()))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => accept(statement),
        (None, _) => {
            Err(SqlError::Statement("the text has no statement; accepted is one SELECT, EXPLAIN or SHOW".into()))
        }
        (Some(_), false) => Err(SqlError::Refused { what: "more than one statement".to_owned() }),
    }
}

fn accept(statement: Statement) -> Result<Statement, SqlError> {
    match &statement {
        Statement::Statement(inner) if reads(inner) => Ok(statement),
        Statement::Explain(explained) => match &*explained.statement {
            Statement::Statement(inner) if is_query(inner) => Ok(statement),
            inner => Err(refused(inner)),
        },
        _ => Err(refused(&statement)),
    }
}

/// Whether a statement only reads.
pub(crate) fn reads(statement: &ast::Statement) -> bool {
    match statement {
        ast::Statement::ShowTables { .. }
        | ast::Statement::ShowColumns { .. }
        | ast::Statement::ShowVariable { .. } => true,
        ast::Statement::ExplainTable { .. } => true,
        ast::Statement::Explain { statement, .. } => is_query(statement),
        _ => is_query(statement),
    }
}

/// Whether a statement is a query through and through: PostgreSQL lets a query write, in `WITH`, by `SELECT INTO` and by locks.
fn is_query(statement: &ast::Statement) -> bool {
    matches!(statement, ast::Statement::Query(_)) && statement.visit(&mut Reads::default()).is_continue()
}

/// Walks a statement as long as it only reads, and not too many tables.
#[derive(Default)]
struct Reads {
    /// tables of each query that is being walked, the innermost last
    tables: Vec<usize>,
    /// the names that queries of a `WITH` have, by where these lie
    names: HashMap<*const Query, String>,
    /// tables of what a `WITH` names
    named: HashMap<String, usize>,
}

impl Visitor for Reads {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        if recursive || !query.locks.is_empty() || writes(&query.body) {
            return ControlFlow::Break(());
        }
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.names.insert(&raw const *named.query, named.alias.name.value.to_lowercase());
        }
        self.tables.push(0);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let known = self.named.get(&name.to_string().to_lowercase());
        let tables = self.tables.last_mut().map(|tables| {
            *tables = tables.saturating_add(known.copied().unwrap_or(1));
            *tables
        });
        if tables.is_some_and(|tables| tables > MOST_TABLES) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = self.tables.pop().unwrap_or(0);
        match self.names.get(&(&raw const *query)) {
            Some(name) => drop(self.named.insert(name.clone(), tables.max(1))),
            None => {
                if let Some(outer) = self.tables.last_mut() {
                    *outer = outer.saturating_add(tables);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn writes(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_some(),
        SetExpr::SetOperation { left, right, .. } => writes(left) || writes(right),
        SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => false,
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => true,
    }
}

/// Why a statement is refused, with its begin.
pub(crate) fn refused(statement: &impl ToString) -> SqlError {
    let text = statement.to_string();
    let what = match text.char_indices().nth(REPEATED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    SqlError::Refused { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_is_accepted() {
        for text in [
            "SELECT 1",
            "select * from forecast where catchment = 'a';",
            "WITH x AS (SELECT 1 AS y) SELECT * FROM x UNION ALL VALUES (2)",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT count(*) FROM forecast",
            "SHOW TABLES",
            "SHOW COLUMNS FROM forecast",
            "DESCRIBE forecast",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text).err());
        }
    }

    #[test]
    fn what_writes_sets_or_never_ends_is_refused() {
        for text in [
            "COPY forecast TO '/tmp/x.parquet'",
            "COPY (SELECT 1) TO 's3://bucket/x'",
            "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc'",
            "CREATE TABLE x AS SELECT 1",
            "CREATE VIEW x AS SELECT 1",
            "CREATE FUNCTION x() RETURNS INT LANGUAGE SQL AS 'SELECT 1'",
            "DROP TABLE forecast",
            "INSERT INTO forecast SELECT * FROM forecast",
            "UPDATE forecast SET mean = 0",
            "DELETE FROM forecast",
            "TRUNCATE forecast",
            "SET datafusion.execution.target_partitions = 4096",
            "RESET datafusion.runtime.memory_limit",
            "PREPARE x AS SELECT 1",
            "EXECUTE x",
            "SELECT * INTO x FROM forecast",
            "SELECT * FROM forecast FOR UPDATE",
            "WITH x AS (DELETE FROM forecast RETURNING *) SELECT * FROM x",
            "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x",
            "SELECT (WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n FROM x) SELECT max(n) FROM x)",
            "EXPLAIN DELETE FROM forecast",
            "EXPLAIN ANALYZE INSERT INTO forecast SELECT * FROM forecast",
            "EXPLAIN COPY forecast TO '/tmp/x'",
            "SELECT 1; SELECT 2",
            "GRANT ALL ON forecast TO public",
            "VACUUM",
            "LISTEN x",
            "CALL x()",
            "BEGIN",
            "",
            "nonsense",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        // Each doubles the one before it.
        let doubled: Vec<String> =
            (1..12).map(|n| format!("w{n} AS (SELECT a.mean FROM w{} a, w{} b)", n - 1, n - 1)).collect();
        let doubled = |n: usize| {
            format!("WITH w0 AS (SELECT mean FROM forecast), {} SELECT * FROM w{n}", doubled[..n].join(", "))
        };
        assert!(parse(&doubled(5)).is_ok() && parse(&doubled(11)).is_err());
        assert!(parse(&format!("SELECT 1 FROM forecast{}", ", forecast".repeat(100))).is_err());
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(parse(&deep).is_err());
        assert!(parse(&format!("SELECT '{}'", "x".repeat(LONGEST_TEXT))).is_err());
        let error = parse("DROP TABLE forecast").unwrap_err().to_string();
        assert!(error.contains("DROP TABLE forecast") && error.contains("accepted is"), "{error}");
    }
}
