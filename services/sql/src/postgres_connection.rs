//! Connections of the PostgreSQL protocol, over TLS where the service has a certificate: then nothing is answered in the clear.
//!
//! `pgwire` has TLS of its own behind a feature that brings a library under MPL-2.0; these are the few bytes before it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use nilometer_serve::{Access, Site};
use pgwire::{
    api::{ClientInfo as _, DefaultClient, NoopHandler, PgWireConnectionState},
    error::ErrorInfo,
    messages::{PgWireBackendMessage, PgWireFrontendMessage},
    tokio::server::{PgWireMessageServerCodec, process_error, process_message},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::codec::Framed;

use crate::{
    Engine,
    postgres::{Door, Prepared},
};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Behind a connection that could not be accepted.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a client may take until it is let in.
const LET_IN_WITHIN: Duration = Duration::from_secs(30);
/// How often a client that has begun a request is looked at for the rest of it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What a client asks for before it begins, in place of a version of the protocol.
const TLS_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
/// First byte of a TLS connection that is not asked for.
const TLS_RECORD: u8 = 0x16;

/// Answers at `address` until the process ends, over TLS where it is given. Returns where it listens.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    site: &Site,
    engine: Engine,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let door = Arc::new(Door::new(engine, Access::of_site(site, bound.ip())));
    let tls = tls.map(|config| {
        // Clients of PostgreSQL name no protocol of HTTP.
        let mut config = (*config).clone();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = tokio::spawn(async move {
        loop {
            let socket = match listener.accept().await {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Of too many open files, say, there is no end at once.
                    tracing::warn!(%error, "a connection of the PostgreSQL protocol was not accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!("{CONNECTIONS} connections of the PostgreSQL protocol are open; another was closed");
                continue;
            };
            let (door, tls) = (door.clone(), tls.clone());
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = answer(socket, tls, &door).await {
                    tracing::debug!(%error, "a connection of the PostgreSQL protocol broke");
                }
            });
        }
    });
    Ok((bound, accepting))
}

/// Answers a client until it leaves.
async fn answer(mut socket: TcpStream, tls: Option<TlsAcceptor>, door: &Door) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let Ok(first) = timeout(LET_IN_WITHIN, first_request(&mut socket, tls.is_some())).await else { return Ok(()) };
    let peer = socket.peer_addr()?;
    match (first?, tls) {
        (First::Tls, Some(tls)) => {
            let Ok(secure) = timeout(LET_IN_WITHIN, tls.accept(socket)).await else { return Ok(()) };
            converse(secure?, DefaultClient::new(peer, true), door).await
        }
        (First::Begin, Some(_)) => {
            let mut framed = framed(socket, DefaultClient::<()>::new(peer, false));
            let message = "this service is asked over TLS alone; accepted is sslmode=require".to_owned();
            let refusal = ErrorInfo::new("FATAL".to_owned(), "28000".to_owned(), message);
            framed.send(PgWireBackendMessage::ErrorResponse(refusal.into())).await
        }
        (First::Begin | First::Cancel | First::Tls, _) => converse(socket, DefaultClient::new(peer, false), door).await,
    }
}

enum First {
    Begin,
    Cancel,
    Tls,
}

/// Answers what a client asks for before it begins, and says what it begins with.
async fn first_request(socket: &mut TcpStream, has_tls: bool) -> io::Result<First> {
    loop {
        let mut head = [0; 8];
        while socket.peek(&mut head).await? < head.len() {
            if head[0] == TLS_RECORD && has_tls {
                return Ok(First::Tls);
            }
            // One that has closed has nothing more to peek at.
            if socket.peek(&mut head[..1]).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // What is there stays readable, so nothing says when there is more.
            sleep(LOOK_AGAIN).await;
        }
        if head[0] == TLS_RECORD && has_tls {
            return Ok(First::Tls);
        }
        let [.., a, b, c, d] = head;
        match u32::from_be_bytes([a, b, c, d]) {
            TLS_REQUEST => {
                socket.read_exact(&mut head).await?;
                socket.write_all(if has_tls { b"S" } else { b"N" }).await?;
                if has_tls {
                    return Ok(First::Tls);
                }
            }
            GSS_REQUEST => {
                socket.read_exact(&mut head).await?;
                socket.write_all(b"N").await?;
            }
            CANCEL_REQUEST => return Ok(First::Cancel),
            _ => return Ok(First::Begin),
        }
    }
}

fn framed<S, T>(socket: S, client: DefaultClient<T>) -> Framed<S, PgWireMessageServerCodec<T>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
{
    let mut framed = Framed::new(socket, PgWireMessageServerCodec::new(client));
    framed.set_state(PgWireConnectionState::AwaitingStartup);
    framed
}

/// Takes message by message. One that fails is answered with why, and the next is taken.
async fn converse<S>(socket: S, client: DefaultClient<Prepared>, door: &Door) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
{
    let mut socket = framed(socket, client);
    loop {
        let is_in = !matches!(
            socket.state(),
            PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
        );
        let next = if is_in { Ok(socket.next().await) } else { timeout(LET_IN_WITHIN, socket.next()).await };
        let Ok(Some(Ok(message))) = next else { return Ok(()) };
        if matches!(message, PgWireFrontendMessage::Terminate(_)) {
            return Ok(());
        }
        let is_extended = message.is_extended_query();
        let (startup, queries, cancel) = (door.startup.clone(), door.queries.clone(), door.cancel.clone());
        let copy = Arc::new(NoopHandler);
        if let Err(error) = process_message(message, &mut socket, startup, queries.clone(), queries, copy, cancel).await
        {
            process_error(&mut socket, error, is_extended).await?;
        }
    }
}
