use std::sync::Arc;

use crate::package_files::{below, load};

/// A `blend.toml` beside a package.
pub(crate) fn blend(bytes: &[u8]) {
    let mut files = below("exphydro/");
    files.insert("blend.toml".to_owned(), Arc::from(bytes));
    load(&files);
}
