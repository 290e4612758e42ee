//! `nilometer token`: who may ask the service.

use std::io::Write as _;

use anyhow::Result;
use nilometer_engine::now;
use nilometer_pipeline::tokens;
use nilometer_schemas::Timestamp;
use nilometer_serve::Scope;
use nilometer_transforms::Span;

#[derive(clap::Subcommand)]
pub enum Arguments {
    /// Make a token and print it: it is shown once, the store keeps its SHA-256
    New {
        /// whose it is, as night-desk: stands in operator.v1 for what is done with it
        name: String,
        /// the store, as log.store names it
        #[arg(long)]
        store: String,
        /// read, operate (act on alerts) or admin
        #[arg(long, default_value = "read")]
        scope: Scope,
        /// how long it holds
        #[arg(long, default_value = "90d")]
        expires: Span,
    },
    /// The tokens that there are: names, scopes and ends, never the tokens
    List {
        /// the store, as log.store names it
        #[arg(long)]
        store: String,
    },
    /// Take a token back; the service refuses it within five seconds
    Revoke {
        /// its name
        name: String,
        /// the store, as log.store names it
        #[arg(long)]
        store: String,
    },
}

pub async fn run(arguments: Arguments) -> Result<()> {
    match arguments {
        Arguments::New { name, store, scope, expires } => {
            let expires: Timestamp = now().plus_s(expires.seconds());
            let token = tokens(&store, true).await?.new_token(&name, scope, expires).await?;
            eprintln!("{name}: {scope}, until {expires}. It is shown this once:");
            writeln!(std::io::stdout(), "{token}")?;
        }
        Arguments::List { store } => {
            let all = tokens(&store, false).await?.list().await?;
            let mut out = std::io::stdout().lock();
            for token in &all {
                let ended = if token.expires <= now() { "  ended" } else { "" };
                writeln!(out, "{:24} {:8} until {}{ended}", token.name, token.scope.name(), token.expires)?;
            }
            if all.is_empty() {
                writeln!(out, "no token: the service takes no action, and reading is open on this machine alone")?;
            }
        }
        Arguments::Revoke { name, store } => {
            tokens(&store, false).await?.revoke(&name).await?;
            writeln!(std::io::stdout(), "{name} is revoked")?;
        }
    }
    Ok(())
}
