//! A build without the feature `sql`: what asks for it is refused.

use std::io::Write;

use anyhow::{Result, bail};
use nilometer_definitions::Pipeline;
use nilometer_serve::{Format, Routes, Site};

const WITHOUT: &str = "this build has no SQL; accepted is one with the feature sql";

/// No routes.
///
/// # Errors
/// When the definition names an address for SQL.
#[allow(clippy::unused_async, reason = "the same as with SQL")]
pub async fn open(site: &Site) -> Result<Routes> {
    let options = &site.pipeline().serve;
    for (key, address) in [("postgres", options.postgres), ("flight", options.flight)] {
        if let Some(address) = address {
            bail!("serve.{key} is {address}, but {WITHOUT}, or no such key");
        }
    }
    Ok(Routes::default())
}

/// Refuses.
///
/// # Errors
/// Always.
#[allow(clippy::unused_async, reason = "the same as with SQL")]
pub async fn query(_: &str, _: Option<&Pipeline>, _: &str, _: Format, _: &mut (impl Write + ?Sized)) -> Result<()> {
    bail!(WITHOUT)
}
