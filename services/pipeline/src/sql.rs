//! SQL: its routes, and the addresses of the other protocols, where the definition names them; and what one query of a store answers.

use std::{io::Write, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use axum_server::tls_rustls::RustlsConfig;
use futures::TryStreamExt as _;
use nilometer_definitions::Pipeline;
use nilometer_serve::{Format, Routes, Site};
use nilometer_sql::{Engine, Limits, Source, encode, routes, serve_flight, serve_postgres};

use crate::storage;

/// Listens where the definition says, and gives the routes of the service. What listens does so until the process ends.
///
/// # Errors
/// When an address cannot be listened on, or a file of TLS not be used.
pub async fn open(site: &Site) -> Result<Routes> {
    let engine = Engine::of_site(site).context("SQL cannot be answered")?;
    let options = &site.pipeline().serve;
    if let Some(address) = options.postgres {
        let tls = match options.tls() {
            Some((certificate, key)) => Some(RustlsConfig::from_pem_file(certificate, key).await?.get_inner()),
            None => None,
        };
        let listening = serve_postgres(address, tls, site, engine.clone()).await;
        let (bound, _) = listening.with_context(|| format!("serve.postgres {address} cannot be listened on"))?;
        tracing::info!("SQL by the PostgreSQL protocol at {bound}");
    }
    if let Some(address) = options.flight {
        let tls = options.tls().map(|(certificate, key)| pem(certificate).and_then(|first| Ok((first, pem(key)?))));
        let listening = serve_flight(address, tls.transpose()?, site, engine.clone()).await;
        let listening = listening.map_err(|error| anyhow::anyhow!("{error}"));
        let (bound, _) = listening.with_context(|| format!("serve.flight {address} cannot be listened on"))?;
        tracing::info!("Flight SQL at {bound}");
    }
    Ok(routes(engine))
}

fn pem(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Writes what a query answers of the archive of a store, without limits of time and rows. The tables of stations are those of the definition, and
/// empty without one.
///
/// # Errors
/// When the store has no archive, or the query has no answer.
pub async fn query(
    store: &str,
    pipeline: Option<&Pipeline>,
    text: &str,
    format: Format,
    out: &mut (impl Write + ?Sized),
) -> Result<()> {
    /// A query of its own process waits for nothing but itself.
    const A_DAY: Duration = Duration::from_secs(86_400);
    const HALF_OF_SMALL_MACHINES_MIB: usize = 4_096;
    let source = Source {
        site: None,
        archive: storage::archive(store).await?,
        catchments: pipeline.map(|pipeline| pipeline.catchments.clone()).unwrap_or_default(),
    };
    let limits = Limits { memory_mib: HALF_OF_SMALL_MACHINES_MIB, time: A_DAY, rows: u64::MAX };
    let engine = Engine::new(source, limits)?;
    let mut encoded = Box::pin(encode(format, engine.query(text).await?));
    while let Some(chunk) = encoded.try_next().await? {
        out.write_all(&chunk)?;
    }
    out.flush()?;
    Ok(())
}
