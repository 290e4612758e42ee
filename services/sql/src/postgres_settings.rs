//! What clients of PostgreSQL say of their connection: transactions, which mean nothing where nothing is written, and settings that change no answer.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Set};
use futures::stream;
use pgwire::{
    api::{
        ClientInfo, Type,
        portal::Format,
        results::{DataRowEncoder, FieldInfo, QueryResponse, Response, Tag},
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::response::TransactionStatus,
};

/// Settings that are accepted, and change nothing, with what `SHOW` says of them. Limits are those of the service.
const SETTINGS: [(&str, &str); 20] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, YMD"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("intervalstyle", "postgres"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_version", "16.6"),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "repeatable read"),
    ("transaction_read_only", "on"),
];

/// What is answered without a query.
pub(crate) enum Answered {
    /// this alone
    Done(&'static str),
    Begun,
    Ended(&'static str),
    /// the value of a setting
    Value(&'static str, &'static str),
}

/// Whether a statement is about the connection alone, and accepted.
pub(crate) fn is_setting(statement: &ast::Statement) -> bool {
    match statement {
        ast::Statement::Set(Set::SingleAssignment { variable, .. }) => setting(&variable.to_string()).is_some(),
        ast::Statement::Set(
            Set::SetTimeZone { .. } | Set::SetNames { .. } | Set::SetNamesDefault {} | Set::SetTransaction { .. },
        ) => true,
        ast::Statement::StartTransaction { .. }
        | ast::Statement::Commit { .. }
        | ast::Statement::Rollback { .. }
        | ast::Statement::Discard { .. }
        | ast::Statement::Deallocate { .. } => true,
        ast::Statement::ShowVariable { .. } => shown(statement).is_some(),
        _ => false,
    }
}

/// What a statement about the connection answers; none where it is a query.
pub(crate) fn answer<C: ClientInfo + ?Sized>(client: &C, statement: &ast::Statement) -> PgWireResult<Option<Answered>> {
    let failed = client.transaction_status() == TransactionStatus::Error;
    let answered = match statement {
        ast::Statement::Commit { .. } if failed => Answered::Ended("ROLLBACK"),
        ast::Statement::Commit { .. } => Answered::Ended("COMMIT"),
        ast::Statement::Rollback { .. } => Answered::Ended("ROLLBACK"),
        _ if failed => return Err(aborted()),
        ast::Statement::StartTransaction { .. } => Answered::Begun,
        ast::Statement::Set(_) if is_setting(statement) => Answered::Done("SET"),
        ast::Statement::Discard { .. } => Answered::Done("DISCARD ALL"),
        ast::Statement::Deallocate { .. } => Answered::Done("DEALLOCATE"),
        _ => match shown(statement) {
            Some((name, value)) => Answered::Value(name, value),
            None => return Ok(None),
        },
    };
    Ok(Some(answered))
}

/// The columns of what is answered.
pub(crate) fn columns(statement: &ast::Statement, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    Ok(shown(statement).map(|(name, _)| vec![column(name, format)]).unwrap_or_default())
}

/// What is answered, as the protocol has it.
pub(crate) fn respond(answered: Answered, format: &Format) -> PgWireResult<Response> {
    Ok(match answered {
        Answered::Done(tag) => Response::Execution(Tag::new(tag)),
        Answered::Begun => Response::TransactionStart(Tag::new("BEGIN")),
        Answered::Ended(tag) => Response::TransactionEnd(Tag::new(tag)),
        Answered::Value(name, value) => {
            let fields = Arc::new(vec![column(name, format)]);
            let mut row = DataRowEncoder::new(fields.clone());
            row.encode_field(&Some(value))?;
            let row = row.take_row();
            Response::Query(QueryResponse::new(fields, stream::iter([Ok(row)])))
        }
    })
}

fn column(name: &str, format: &Format) -> FieldInfo {
    FieldInfo::new(name.to_owned(), None, None, Type::VARCHAR, format.format_for(0))
}

fn setting(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.to_lowercase();
    SETTINGS.into_iter().find(|(known, _)| *known == name)
}

/// The setting that `SHOW` asks for.
fn shown(statement: &ast::Statement) -> Option<(&'static str, &'static str)> {
    let ast::Statement::ShowVariable { variable } = statement else { return None };
    let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
    match words.join(" ").as_str() {
        "time zone" => setting("timezone"),
        "transaction isolation level" => setting("transaction_isolation"),
        name => setting(name),
    }
}

fn aborted() -> PgWireError {
    let message = "the transaction has failed; accepted is ROLLBACK".to_owned();
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), "25P02".to_owned(), message)))
}
