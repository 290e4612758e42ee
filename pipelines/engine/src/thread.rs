//! Where work goes that computes or blocks.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{JoinError, spawn_blocking},
};

/// Does `work` on a thread that may block, so that it does not hold up the reactor. On a runtime of one thread, as a simulation
/// has, it is done in place: nothing then happens but in the order that the simulation chose.
///
/// # Errors
/// [`JoinError`] when it panicked on its thread, or the runtime is ending.
pub async fn off_reactor<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(work());
    }
    // Its log lines are those of the turn that asked for it.
    let span = tracing::info_span!("compute");
    spawn_blocking(move || span.in_scope(work)).await
}
