//! `/metrics` and `/health`, and beside them the service where this process serves.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use axum_server::tls_rustls::RustlsConfig;
use nilometer_definitions::ServeOptions;
use nilometer_serve::Site;
use prometheus::TextEncoder;
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{exposition::Exposition, sql};

/// How each role fares.
#[derive(Debug, Clone, Default)]
pub struct Health {
    roles: Arc<Mutex<Vec<RoleHealth>>>,
}

#[derive(Debug, Clone, Serialize)]
struct RoleHealth {
    role: String,
    state: RoleState,
}

/// What a role does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleState {
    /// it works
    Running,
    /// its input is complete and so is its work
    Finished,
    /// it gave up, with the error
    Failed(String),
}

impl Health {
    /// Notes what a role does now.
    pub fn set(&self, role: &str, state: RoleState) {
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        match roles.iter_mut().find(|r| r.role == role) {
            Some(known) => known.state = state,
            None => roles.push(RoleHealth { role: role.to_owned(), state }),
        }
    }

    /// Says no more of a role that another process has now.
    pub fn forget(&self, role: &str) {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known.role != role);
    }

    fn render(&self) -> (StatusCode, String) {
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = roles.iter().any(|r| matches!(r.state, RoleState::Failed(_)));
        let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (status, serde_json::json!({"healthy": !failed, "roles": roles}).to_string())
    }
}

/// Serves at `address` until the process ends, over TLS where the options name its files. Returns where it listens, which tells the port when 0 was
/// asked for.
///
/// # Errors
/// When the address cannot be listened on, or a file of TLS cannot be used.
pub async fn serve(
    address: SocketAddr,
    options: &ServeOptions,
    shown: Exposition,
    health: Health,
    site: Option<Site>,
) -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("serve.address {address} cannot be listened on"))?;
    let bound = listener.local_addr()?;
    let mut routes = Router::new().route("/metrics", get(metrics)).with_state(shown).merge(
        Router::new()
            .route("/health", get(|State(health): State<Health>| async move { health.render() }))
            .with_state(health),
    );
    if let Some(site) = site {
        let sql = sql::open(&site).await?;
        routes = routes.merge(nilometer_serve::router(site, bound.ip(), sql));
    }
    let ended = |error: std::io::Error| tracing::error!(%error, "the server ended");
    // Each request knows who asks: rates are by address.
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let server = match options.tls() {
        None => tokio::spawn(async move { axum::serve(listener, routes).await.unwrap_or_else(ended) }),
        Some((certificate, key)) => {
            let config = RustlsConfig::from_pem_file(certificate, key).await.with_context(|| {
                let (certificate, key) = (certificate.display(), key.display());
                format!("serve.certificate {certificate} and serve.key {key} cannot be used; accepted are certificates and their private key, in PEM")
            })?;
            let server = axum_server::from_tcp_rustls(listener.into_std()?, config)?;
            tokio::spawn(async move { server.serve(routes).await.unwrap_or_else(ended) })
        }
    };
    Ok((bound, server))
}

async fn metrics(State(shown): State<Exposition>) -> (StatusCode, String) {
    match TextEncoder::new().encode_to_string(&shown.gather()) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
