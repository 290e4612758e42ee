//! The PostgreSQL protocol: psql, psycopg, Grafana and whatever else speaks it. Statements go through the same allow-list and limits as elsewhere.

use std::{fmt::Debug, sync::Arc};

use arrow::datatypes::DataType;
use arrow_pg::datatypes::{
    arrow_schema_to_pg_fields, df::deserialize_parameters_with_server_types, encode_recordbatch, into_pg_type,
};
use async_trait::async_trait;
use datafusion::{
    logical_expr::LogicalPlan,
    sql::{parser::Statement, sqlparser::ast},
};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use futures::{Sink, SinkExt as _, StreamExt as _, stream};
use nilometer_serve::{Access, Problem};
use pgwire::{
    api::{
        ClientInfo, ClientPortalStore, ConnectionGuard, ConnectionHandle, ConnectionManager, PgWireConnectionState,
        PidSecretKeyGenerator as _, RandomPidSecretKeyGenerator, Type,
        auth::{
            DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
            save_startup_parameters_to_metadata,
        },
        cancel::DefaultCancelHandler,
        portal::{Format, Portal},
        query::{ExtendedQueryHandler, SimpleQueryHandler},
        results::{FieldInfo, QueryResponse, Response},
        stmt::QueryParser,
        store::PortalStore,
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, PgWireFrontendMessage, startup::Authentication},
    types::format::FormatOptions,
};

use crate::{
    Engine, Rows, SqlError, parameters,
    postgres_settings::{self as settings, Answered},
    statement::{self, LONGEST_TEXT},
};

/// The handlers of all connections.
pub(crate) struct Door {
    pub(crate) startup: Arc<Startup>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) cancel: Arc<DefaultCancelHandler>,
}

impl Door {
    pub(crate) fn new(engine: Engine, access: Access) -> Self {
        let connections = Arc::new(ConnectionManager::new());
        let queries = Queries {
            access: access.clone(),
            engine: engine.clone(),
            parser: Arc::new(Parser { engine, rewrites: PostgresCompatibilityParser::new() }),
        };
        Self {
            startup: Arc::new(Startup { access, connections: connections.clone() }),
            queries: Arc::new(queries),
            cancel: Arc::new(DefaultCancelHandler::new(connections)),
        }
    }
}

/// Lets in who has a token of scope `read` as the password; where reading is open, every client. The name of the user means nothing.
pub(crate) struct Startup {
    access: Access,
    connections: Arc<ConnectionManager>,
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if self.access.reading_is_open() {
                    return self.let_in(client, None).await;
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                client.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password()?.password;
                self.access.reader(Some(&password)).await.map_err(|problem| not_admitted(&problem))?;
                self.let_in(client, Some(password)).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Startup {
    async fn let_in<C>(&self, client: &mut C, token: Option<String>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (pid, secret_key) = RandomPidSecretKeyGenerator::default().generate(client);
        client.set_pid_and_secret_key(pid, secret_key.clone());
        let (handle, guard) = self.connections.register(pid, secret_key);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert::<ConnectionGuard>(guard);
        client.session_extensions().insert(LetIn { token });
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        parameters.in_hot_standby = true;
        finish_authentication(client, &parameters).await
    }
}

/// What a client was let in with.
struct LetIn {
    /// none where reading is open
    token: Option<String>,
}

fn not_admitted(problem: &Problem) -> PgWireError {
    let (severity, code) = ("FATAL".to_owned(), "28P01".to_owned());
    PgWireError::UserError(Box::new(ErrorInfo::new(severity, code, problem.detail().to_owned())))
}

/// Answers statements.
pub(crate) struct Queries {
    access: Access,
    engine: Engine,
    parser: Arc<Parser>,
}

impl Queries {
    /// A connection has no end, and a token has one: it is looked at before each statement.
    async fn admit<C: ClientInfo + ?Sized>(&self, client: &C) -> PgWireResult<()> {
        let let_in = client.session_extensions().get::<LetIn>();
        let token = let_in.as_ref().and_then(|let_in| let_in.token.as_deref());
        self.access.reader(token).await.map_err(|problem| not_admitted(&problem))
    }

    async fn rows<C: ClientInfo + ?Sized>(
        &self,
        client: &C,
        plan: LogicalPlan,
        format: &Format,
    ) -> PgWireResult<Response> {
        let rows = self.engine.run(plan).await.map_err(error_of)?;
        respond(client, rows, format)
    }
}

#[async_trait]
impl SimpleQueryHandler for Queries {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.admit(client).await?;
        let statements = self.parser.statements(query)?;
        // None is begun where one of them is refused.
        statements.iter().try_for_each(|statement| self.parser.accept(statement))?;
        let mut responses = Vec::new();
        for statement in statements {
            let response = match settings::answer(client, &statement)? {
                Some(answered) => answered.into_response(&Format::UnifiedText)?,
                None => {
                    let plan = self.engine.plan(Statement::Statement(Box::new(statement))).await.map_err(error_of)?;
                    self.rows(client, plan, &Format::UnifiedText).await?
                }
            };
            responses.push(response);
        }
        if responses.is_empty() {
            responses.push(Response::EmptyQuery);
        }
        Ok(responses)
    }
}

/// A statement that was parsed: its plan, or none where it is about the connection alone.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    statement: Box<ast::Statement>,
    plan: Option<Arc<LogicalPlan>>,
}

#[async_trait]
impl ExtendedQueryHandler for Queries {
    type Statement = Prepared;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        self.parser.clone()
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Prepared>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.admit(client).await?;
        let prepared = &portal.statement.statement;
        let answered = settings::answer(client, &prepared.statement)?;
        let plan = match (answered, &prepared.plan) {
            (Some(answered), _) => return answered.into_response(&portal.result_column_format),
            (None, Some(plan)) => plan,
            (None, None) => return Ok(Response::EmptyQuery),
        };
        let types = wired(plan)?;
        let inferred: Vec<Option<&DataType>> = types.iter().map(|(of, _)| of.as_ref()).collect();
        let wire: Vec<Option<&Type>> = types.iter().map(|(_, wire)| Some(wire)).collect();
        let values = deserialize_parameters_with_server_types(portal, &inferred, &wire)?;
        let plan = parameters::bound((**plan).clone(), &values).map_err(error_of)?;
        self.rows(client, plan, &portal.result_column_format).await
    }
}

/// Parses and plans, with the rewrites that clients of PostgreSQL need to look at what tables there are.
pub(crate) struct Parser {
    engine: Engine,
    rewrites: PostgresCompatibilityParser,
}

impl Parser {
    fn statements(&self, text: &str) -> PgWireResult<Vec<ast::Statement>> {
        if text.len() > LONGEST_TEXT {
            let detail = format!("the text has {} bytes; accepted are {LONGEST_TEXT}", text.len());
            return Err(self.refuse(SqlError::Statement(detail)));
        }
        self.rewrites.parse(text).map_err(|error| self.refuse(SqlError::Statement(error.to_string())))
    }

    /// Refuses what neither reads nor is about the connection.
    fn accept(&self, statement: &ast::Statement) -> PgWireResult<()> {
        if statement::reads(statement) || settings::is_setting(statement) {
            return Ok(());
        }
        Err(self.refuse(statement::refused(statement)))
    }

    fn refuse(&self, error: SqlError) -> PgWireError {
        self.engine.count(error.outcome());
        error_of(error)
    }
}

#[async_trait]
impl QueryParser for Parser {
    type Statement = Prepared;

    async fn parse_sql<C>(&self, client: &C, sql: &str, _: &[Option<Type>]) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = self.statements(sql)?;
        if statements.len() > 1 {
            return Err(self.refuse(SqlError::Refused { what: "more than one statement".to_owned() }));
        }
        let Some(statement) = statements.pop() else { return Ok(None) };
        self.accept(&statement)?;
        let plan = match settings::answer(client, &statement)? {
            Some(_) => None,
            None => {
                let plan = self.engine.plan(Statement::Statement(Box::new(statement.clone()))).await;
                Some(Arc::new(plan.map_err(error_of)?))
            }
        };
        Ok(Some(Prepared { statement: Box::new(statement), plan }))
    }

    fn get_parameter_types(&self, prepared: &Prepared) -> PgWireResult<Vec<Type>> {
        let Some(plan) = &prepared.plan else { return Ok(Vec::new()) };
        Ok(wired(plan)?.into_iter().map(|(_, wire)| wire).collect())
    }

    fn get_result_schema(&self, prepared: &Prepared, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        match &prepared.plan {
            Some(plan) => arrow_schema_to_pg_fields(plan.schema().as_arrow(), format, None),
            None => settings::columns(&prepared.statement, format),
        }
    }
}

/// The parameters of a plan in their order: what they are compared with, and how they travel.
fn wired(plan: &LogicalPlan) -> PgWireResult<Vec<(Option<DataType>, Type)>> {
    let wire = |of: Option<DataType>| {
        let wire = of.as_ref().map_or(Ok(Type::UNKNOWN), into_pg_type)?;
        Ok((of, wire))
    };
    parameters::types(plan).map_err(error_of)?.into_iter().map(wire).collect()
}

fn respond<C: ClientInfo + ?Sized>(client: &C, rows: Rows, format: &Format) -> PgWireResult<Response> {
    let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
    let fields = Arc::new(arrow_schema_to_pg_fields(&rows.schema(), format, Some(options))?);
    let of_rows = fields.clone();
    let encoded = rows.flat_map(move |batch| match batch {
        Ok(batch) => stream::iter(encode_recordbatch(of_rows.clone(), batch)).left_stream(),
        Err(error) => stream::iter([Err(error_of(error))]).right_stream(),
    });
    Ok(Response::Query(QueryResponse::new(fields, encoded)))
}

/// An error as PostgreSQL numbers them.
pub(crate) fn error_of(error: SqlError) -> PgWireError {
    let code = match &error {
        SqlError::Refused { .. } => "42501",
        SqlError::Statement(_) => "42601",
        SqlError::Time { .. } => "57014",
        SqlError::Rows { .. } => "54000",
        SqlError::Memory { .. } => "53200",
        SqlError::Busy { .. } => "53300",
        SqlError::Compacted => "40001",
        SqlError::Internal(_) => "XX000",
    };
    // Our own faults go to the log.
    let detail = error.problem().detail().to_owned();
    let message = if matches!(error, SqlError::Internal(_)) { detail } else { error.to_string() };
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message)))
}

impl Answered {
    fn into_response(self, format: &Format) -> PgWireResult<Response> {
        settings::respond(self, format)
    }
}
