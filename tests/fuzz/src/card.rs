use std::sync::Arc;

use crate::package_files::{below, load};

/// The card of a package whose other files are whole.
pub(crate) fn card(bytes: &[u8]) {
    let mut files = below("");
    files.insert("card.toml".to_owned(), Arc::from(bytes));
    load(&files);
}
