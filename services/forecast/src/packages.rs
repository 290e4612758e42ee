//! Packages: the models that the log names, each loaded once a process.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use nilometer_engine::off_reactor;
use nilometer_packages::{MODELS, Mixture, PackageStore};

use crate::ForecastError;

/// The models of a store. Copies share what is loaded.
#[derive(Clone)]
pub struct Packages {
    store: PackageStore,
    loaded: Arc<Mutex<BTreeMap<String, Mixture>>>,
}

impl Packages {
    /// Those of a store, and the definition's own, which are there already.
    #[must_use]
    pub fn new(store: PackageStore, models: &Mixture) -> Self {
        let loaded = BTreeMap::from([(models.content_sha256().to_owned(), models.clone())]);
        Self { store, loaded: Arc::new(Mutex::new(loaded)) }
    }

    /// The models of this content; or why the store's are of no use.
    ///
    /// # Errors
    /// [`ForecastError::PackageStore`] when the store fails.
    pub(crate) async fn load(&self, content_sha256: &str) -> Result<Result<Mixture, String>, ForecastError> {
        if let Some(models) = self.loaded().get(content_sha256) {
            return Ok(Ok(models.clone()));
        }
        let files = self.store.fetch(content_sha256).await?;
        let origin = Path::new(MODELS).join(content_sha256);
        if files.is_empty() {
            let remedy = "put it there by `nilometer models publish`";
            return Ok(Err(format!("{} of log.store holds no package; {remedy}", origin.display())));
        }
        let models = match off_reactor(move || Mixture::of_files(&origin, &files)).await? {
            Ok(models) => models,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if models.content_sha256() != content_sha256 {
            return Ok(Err(format!("{MODELS}/{content_sha256} of log.store holds {}", models.content_sha256())));
        }
        self.loaded().insert(content_sha256.to_owned(), models.clone());
        Ok(Ok(models))
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Mixture>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
