//! Model packages: what a model is, verified, whether it lies in a folder or in a store. Nothing here runs a graph.
//!
//! ```text
//! folder ──Mixture::load───▶ Mixture ──members──▶ Package: card, graphs, weights, every file with the hash that its card states
//! store  ──PackageStore::load──┘  └──PackageStore::publish──▶ models/SHA-256/FILE
//! ```

mod card;
mod files;
mod mixture;
mod package;
mod provider;
mod signature;
mod store;

use std::path::PathBuf;

pub use card::{Attribute, Card, FEEDBACK, Input, Output, Skill, State, Training, Weight};
pub use mixture::{Member, Mixture};
pub use package::{Package, Selection, Tensor, read_tensors};
pub use provider::Provider;
pub use store::{MODELS, PackageStore, PackageStoreError};

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// a file of the package cannot be read
    #[error("{path}: cannot be read")]
    Read {
        /// the file
        path: PathBuf,
        /// why not
        #[source]
        source: std::io::Error,
    },
    /// the card is not TOML of a card's shape
    #[error("{path}: not a model card")]
    Card {
        /// the card
        path: PathBuf,
        /// where and why
        #[source]
        source: Box<toml::de::Error>,
    },
    /// the card or a file contradicts itself or the card; every problem is listed
    #[error("{path}: {}", problems.join("; "))]
    Package {
        /// the package's folder
        path: PathBuf,
        /// what is wrong, each with what is accepted
        problems: Vec<String>,
    },
    /// a catchment that the package has no parameters for
    #[error("model {model} has no parameters for catchment {catchment:?}; it has {known}")]
    UnknownCatchment {
        /// package name
        model: String,
        /// the catchment asked for
        catchment: String,
        /// those that it has
        known: String,
    },
    /// attributes that do not fit the package
    #[error("model {model}: {given}; accepted is one finite number a catchment for each of its attributes: {wanted}")]
    Attributes {
        /// package name
        model: String,
        /// what was given
        given: String,
        /// the card's attributes
        wanted: String,
    },
}
