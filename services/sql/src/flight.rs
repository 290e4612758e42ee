//! Flight SQL: Arrow from end to end, for ADBC, JDBC and whatever else speaks it. Statements go through the same allow-list and limits as elsewhere.
//!
//! The service keeps nothing between two requests: the handle of a statement is the statement ([`Prepared`]).

use std::{net::SocketAddr, pin::Pin};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
    ipc::writer::IpcWriteOptions,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc,
    Ticket,
    decode::FlightRecordBatchStream,
    encode::FlightDataEncoderBuilder,
    error::FlightError,
    flight_service_server::{FlightService, FlightServiceServer},
    sql::{
        ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionClosePreparedStatementRequest,
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, ActionEndTransactionRequest,
        CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
        CommandPreparedStatementQuery, CommandStatementQuery, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
        TicketStatementQuery,
        server::{FlightSqlService, PeekableFlightDataStream},
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use nilometer_serve::{Access, Problem, Site};
use prost::{Message as _, bytes::Bytes};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Request, Response, Status, Streaming,
    metadata::MetadataMap,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{Engine, SqlError, flight_prepared::Prepared, flight_schema as schema};

/// Streams of one connection at once.
const STREAMS: u32 = 64;
/// Bytes of the values of parameters.
const LONGEST_VALUES: usize = 64 << 10;
/// What every transaction is called: nothing is written in one.
const TRANSACTION: &[u8] = b"read";

/// Answers at `address` until the process ends, over TLS where certificate and key are given as PEM. Returns where it listens.
///
/// # Errors
/// When the address cannot be listened on, or certificate and key not be used.
pub async fn serve(
    address: SocketAddr,
    tls: Option<(Vec<u8>, Vec<u8>)>,
    site: &Site,
    engine: Engine,
) -> Result<(SocketAddr, JoinHandle<()>), Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let door = Door { engine, access: Access::of_site(site, bound.ip()) };
    let mut server = Server::builder().max_concurrent_streams(STREAMS);
    if let Some((certificate, key)) = tls {
        server = server.tls_config(ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)))?;
    }
    let routes = server.add_service(FlightServiceServer::new(door));
    let serving = tokio::spawn(async move {
        if let Err(error) = routes.serve_with_incoming(TcpIncoming::from(listener)).await {
            tracing::error!(%error, "Flight SQL ended");
        }
    });
    Ok((bound, serving))
}

/// The service of all connections.
struct Door {
    engine: Engine,
    access: Access,
}

type Rows = <Door as FlightService>::DoGetStream;

impl Door {
    /// Lets in who may read.
    async fn admit(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let given = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let token = given.map(|given| token_of(given).unwrap_or_default());
        self.access.reader(token.as_deref()).await.map_err(|problem| unauthenticated(&problem))
    }

    async fn info(
        &self,
        statement: &Prepared,
        ticket: Bytes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let (columns, _) = statement.columns(&self.engine).await.map_err(|error| status_of(&error))?;
        described(&columns, ticket, request)
    }

    async fn rows(&self, statement: &Prepared) -> Result<Response<Rows>, Status> {
        let rows = statement.rows(&self.engine).await.map_err(|error| status_of(&error))?;
        let columns = rows.schema();
        let batches = rows.map_err(|error| FlightError::Tonic(Box::new(status_of(&error))));
        Ok(encoded(columns, batches))
    }
}

#[tonic::async_trait]
impl FlightSqlService for Door {
    type FlightService = Self;

    /// Gives a client that has a password its token back, to send with each request.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status> {
        self.admit(request.metadata()).await?;
        let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = given.and_then(token_of).unwrap_or_default();
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let answers: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream::iter([Ok(answer)]));
        let mut response = Response::new(answers);
        if let Ok(bearer) = format!("Bearer {token}").parse() {
            response.metadata_mut().insert("authorization", bearer);
        }
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.admit(request.metadata()).await?;
        let ticket = TicketStatementQuery { statement_handle: query.query.clone().into() };
        self.info(&Prepared::new(query.query), ticket.as_any().encode_to_vec().into(), request).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        self.admit(request.metadata()).await?;
        self.rows(&Prepared::of(&ticket.statement_handle)?).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        self.admit(request.metadata()).await?;
        let statement = Prepared::new(query.query);
        let (columns, parameters) = statement.columns(&self.engine).await.map_err(|error| status_of(&error))?;
        let message = |schema: &Schema| {
            let message = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
            message.map(|IpcMessage(bytes)| bytes).map_err(arrow_failed)
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: statement.handle().map_err(arrow_failed)?,
            dataset_schema: message(&columns)?,
            parameter_schema: message(&parameters)?,
        })
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        self.admit(request.metadata()).await?;
        let given = request.into_inner().map_err(|status| FlightError::Tonic(Box::new(status)));
        let mut given = FlightRecordBatchStream::new_from_flight_data(given);
        // What is more than a row is refused before it is kept.
        let (mut first, mut rows) = (None, 0);
        while let Some(batch) = given.try_next().await? {
            rows += batch.num_rows();
            if rows > 1 || batch.get_array_memory_size() > LONGEST_VALUES {
                let detail =
                    format!("the parameters are more than a row or {LONGEST_VALUES} bytes; accepted is one row");
                return Err(Status::invalid_argument(detail));
            }
            first = first.or_else(|| Some(batch).filter(|batch| batch.num_rows() > 0));
        }
        let given = first.ok_or_else(|| Status::invalid_argument("no parameters; accepted is a row of them"))?;
        let bound = Prepared::of(&query.prepared_statement_handle)?.bind(given)?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(bound.handle().map_err(arrow_failed)?) })
    }

    async fn do_action_close_prepared_statement(
        &self,
        _: ActionClosePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        Ok(())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.admit(request.metadata()).await?;
        let statement = Prepared::of(&query.prepared_statement_handle)?;
        self.info(&statement, query.as_any().encode_to_vec().into(), request).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        self.admit(request.metadata()).await?;
        self.rows(&Prepared::of(&query.prepared_statement_handle)?).await
    }

    async fn do_action_begin_transaction(
        &self,
        _: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        self.admit(request.metadata()).await?;
        Ok(ActionBeginTransactionResult { transaction_id: Bytes::from_static(TRANSACTION) })
    }

    async fn do_action_end_transaction(
        &self,
        _: ActionEndTransactionRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        Ok(())
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described(&query.into_builder().schema(), query.as_any().encode_to_vec().into(), request)
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        self.admit(request.metadata()).await?;
        one(schema::catalogs(query))
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described(&query.clone().into_builder().schema(), query.as_any().encode_to_vec().into(), request)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        self.admit(request.metadata()).await?;
        one(schema::schemas(query))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described(&query.clone().into_builder().schema(), query.as_any().encode_to_vec().into(), request)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Result<Response<Rows>, Status> {
        self.admit(request.metadata()).await?;
        let tables = self.engine.tables().await.map_err(|error| status_of(&SqlError::Internal(Box::new(error))))?;
        one(schema::tables(query, &tables))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        described(&query.into_builder().schema(), query.as_any().encode_to_vec().into(), request)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        self.admit(request.metadata()).await?;
        one(schema::table_types(query))
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let columns = schema::server().map_err(Status::from)?.schema();
        described(&columns, query.as_any().encode_to_vec().into(), request)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        self.admit(request.metadata()).await?;
        one(schema::server().and_then(|server| query.into_builder(&server).build()))
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}

/// The columns of rows, and the ticket that fetches them.
fn described(
    columns: &Schema,
    ticket: Bytes,
    request: Request<FlightDescriptor>,
) -> Result<Response<FlightInfo>, Status> {
    let info = FlightInfo::new().try_with_schema(columns).map_err(arrow_failed)?;
    let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(request.into_inner())))
}

fn encoded(
    columns: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
) -> Response<Rows> {
    let encoded = FlightDataEncoderBuilder::new().with_schema(columns).build(batches).map_err(Status::from);
    Response::new(encoded.boxed())
}

fn one(batch: Result<RecordBatch, FlightError>) -> Result<Response<Rows>, Status> {
    let batch = batch.map_err(Status::from)?;
    Ok(encoded(batch.schema(), stream::iter([Ok(batch)])))
}

/// The token of a header: of a bearer, or the password of a user.
fn token_of(header: &str) -> Option<String> {
    if let Some(token) = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")) {
        return Some(token.trim().to_owned());
    }
    let (scheme, given) = header.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(given.trim()).ok())??;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

fn unauthenticated(problem: &Problem) -> Status {
    match problem.status() {
        401 => Status::unauthenticated(problem.detail()),
        403 => Status::permission_denied(problem.detail()),
        _ => Status::internal(problem.detail()),
    }
}

fn arrow_failed(error: ArrowError) -> Status {
    Status::internal(error.to_string())
}

fn status_of(error: &SqlError) -> Status {
    // Our own faults go to the log.
    let problem = error.problem();
    let message = error.to_string();
    match error {
        SqlError::Refused { .. } => Status::permission_denied(message),
        SqlError::Statement(_) => Status::invalid_argument(message),
        SqlError::Time { .. } => Status::deadline_exceeded(message),
        SqlError::Rows { .. } | SqlError::Memory { .. } => Status::resource_exhausted(message),
        SqlError::Busy { .. } | SqlError::Compacted => Status::unavailable(message),
        SqlError::Internal(_) => Status::internal(problem.detail()),
    }
}
