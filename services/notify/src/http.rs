//! HTTP: one request, and what its answer means.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};

use crate::receiver::Failure;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client for one receiver.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    Client::builder().timeout(PATIENCE).user_agent("nilometer").build()
}

/// Sends a request; gives the answer's body.
pub(crate) async fn send(request: RequestBuilder) -> Result<String, Failure> {
    // The address may hold a token.
    let answer = request.send().await.map_err(|error| Failure::down(&error.without_url()))?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| Failure::down(&error.without_url()))?;
    if status.is_success() {
        return Ok(body);
    }
    let said: String = body.chars().take(200).collect();
    // What is wrong with the request itself stays wrong.
    let later =
        !matches!(status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY);
    Err(Failure { why: format!("{status}: {said}"), later })
}
