//! ONNX Runtime's shared library and its execution providers.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use nilometer_packages::Provider;
use ort::{
    environment::Environment,
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

use crate::RuntimeError;

/// The loaded library. A process has one; opening it again gives the same.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    providers: Vec<Provider>,
}

impl Runtime {
    /// Loads the library from `library`, else from `ORT_DYLIB_PATH`, else from the folder that `ops/setup` fills.
    ///
    /// # Errors
    /// [`RuntimeError::Library`] says what was tried.
    pub fn open(library: Option<&Path>, providers: &[Provider]) -> Result<Self, RuntimeError> {
        // ort keeps one environment a process and drops it with its last user; keep it for good.
        static LOADED: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let (environment, path) = match &*loaded {
            Some((environment, path)) => (environment.clone(), path.clone()),
            None => {
                let path = find(library)?;
                let fail = |detail: String| RuntimeError::Library { detail: format!("{}: {detail}", path.display()) };
                let environment = ort::init_from(&path)
                    .map_err(|e| fail(e.to_string()))?
                    .with_name("nilometer")
                    .with_telemetry(false)
                    .build()
                    .map_err(|e| fail(e.to_string()))?;
                *loaded = Some((environment.clone(), path.clone()));
                (environment, path)
            }
        };
        Ok(Self { environment, library: path, providers: providers.to_vec() })
    }

    /// A session on the first provider asked for. No fall-back: what cannot be had is an error.
    pub(crate) fn session(&self, name: &str, graph: &[u8]) -> Result<Session, RuntimeError> {
        let ort = |detail: String| RuntimeError::Ort { what: name.to_owned(), detail };
        // Scan graphs gain nothing from threads within an operator; parallelism is across partitions.
        let mut builder = Session::builder(&self.environment)
            .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::Level3)?))
            .and_then(|b| Ok(b.with_intra_threads(1)?))
            .and_then(|b| Ok(b.with_flush_to_zero()?))
            .map_err(|e| ort(e.to_string()))?;
        if self.providers.first() == Some(&Provider::Cuda) {
            builder = on_cuda(builder).map_err(|detail| RuntimeError::Provider {
                provider: Provider::Cuda,
                library: self.library.clone(),
                detail,
            })?;
        }
        builder.commit_from_memory(graph).map_err(|e| ort(e.to_string()))
    }
}

/// Where the nodes of a package's graphs would run on CUDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaReport {
    /// every node of the graph has a CUDA kernel
    All,
    /// some would fall back to the processor, as ONNX Runtime says
    FallsBack(String),
    /// this library or machine has no CUDA, so it is not known
    Unknown(String),
}

impl Runtime {
    /// Asks ONNX Runtime to place a whole graph on CUDA, without the processor to fall back on.
    #[must_use]
    pub fn cuda_report(&self, graph: &[u8]) -> CudaReport {
        match Session::builder(&self.environment).map_err(|e| e.to_string()).and_then(on_cuda) {
            Err(e) => CudaReport::Unknown(first_line(&e)),
            Ok(builder) => match builder
                .with_config_entry("session.disable_cpu_ep_fallback", "1")
                .map_err(|e| e.to_string())
                .and_then(|mut b| b.commit_from_memory(graph).map_err(|e| e.to_string()))
            {
                Ok(_) => CudaReport::All,
                Err(e) => CudaReport::FallsBack(first_line(&e)),
            },
        }
    }
}

/// The builder with CUDA as the provider of every node; or why it cannot be had.
#[cfg(feature = "cuda")]
fn on_cuda(builder: SessionBuilder) -> Result<SessionBuilder, String> {
    builder.with_execution_providers([ort::ep::CUDA::default().build().error_on_failure()]).map_err(|e| e.to_string())
}

#[cfg(not(feature = "cuda"))]
fn on_cuda(_: SessionBuilder) -> Result<SessionBuilder, String> {
    Err("this build has no CUDA; accepted is one with the feature cuda".to_owned())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn find(configured: Option<&Path>) -> Result<PathBuf, RuntimeError> {
    let named = configured.map(Path::to_owned).or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from));
    if let Some(path) = named {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(RuntimeError::Library { detail: format!("{} does not exist", path.display()) })
        };
    }
    // From the working folder upwards: a run from a sub-folder of the checkout finds it too.
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors()
        .flat_map(|folder| std::fs::read_dir(folder.join(".cache/onnxruntime")).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime.so")))
        .max()
        .ok_or_else(|| RuntimeError::Library {
            detail: format!(
                "none is configured and no .cache/onnxruntime/libonnxruntime.so.* exists at or above {}",
                here.display()
            ),
        })
}
