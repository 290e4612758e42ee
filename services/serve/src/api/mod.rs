//! The API below `/api/v1`: an endpoint a function, the document of all made from them.

pub(crate) mod alerts;
mod explain;
pub(crate) mod forecast;
mod map;
mod models;
mod readiness;
mod readings;
pub(crate) mod rows;
mod station_metrics;
pub(crate) mod stations;
mod what_if;
pub(crate) mod when;

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::Semaphore;
use tower_http::{CompressionLevel, compression::CompressionLayer};
use twox_hash::XxHash64;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use station_metrics::station_metrics;

use crate::{
    Site,
    access::{Access, operators, readers},
    problem::Problem,
    rates::{Rates, described, paced},
    standards::{edr, fews},
    stream,
};

/// The longest body of a request, bytes.
const LONGEST_BODY: usize = 64 << 10;
/// Requests that are worked on at once; streams have their own limit.
const AT_ONCE: usize = 256;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nilometer",
        description = "Flood and drought forecasts as they are issued, what they rest on and how good they were. Times are RFC 3339 in UTC, flows m³ s⁻¹. Forecasts are automatic, not official.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&TokenScheme),
    servers((url = "/api/v1")),
)]
struct Api;

/// How tokens are given.
struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// The routes, by what they need.
struct Routes {
    reading: Router<Site>,
    streaming: Router<Site>,
    writing: Router<Site>,
}

/// Every route, with more for readers, and the document of all.
fn routes_and_document(more: crate::Routes) -> (Routes, Document) {
    let (reading, read) = OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(stations::list))
        .routes(routes!(stations::one))
        .routes(routes!(forecast::one))
        .routes(routes!(forecast::several))
        .routes(routes!(forecast::foresight))
        .routes(routes!(explain::explain))
        .routes(routes!(what_if::what_if))
        .routes(routes!(rows::of_station))
        .routes(routes!(readings::several))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::handover))
        .routes(routes!(map::map))
        .routes(routes!(models::in_force))
        .merge(more)
        .split_for_parts();
    let (streaming, streamed) =
        OpenApiRouter::new().routes(routes!(stream::events)).routes(routes!(stream::web_socket)).split_for_parts();
    let (writing, written) = OpenApiRouter::new().routes(routes!(alerts::act)).split_for_parts();
    (Routes { reading, streaming, writing }, described(read.merge_from(streamed).merge_from(written)))
}

/// The document of the API, OpenAPI 3.1.
#[must_use]
pub fn document() -> Document {
    routes_and_document(crate::Routes::default()).1
}

/// The routes of the service. Its readiness needs no token, as what watches processes has none.
pub(crate) fn router(site: Site, access: Access, more: crate::Routes) -> Router {
    let (Routes { reading, streaming, writing }, document) = routes_and_document(more);
    let document = Arc::new(document);
    let described = get(move || {
        let document = document.clone();
        async move { axum::Json(document.as_ref().clone()) }
    });
    let packed = CompressionLayer::new().quality(CompressionLevel::Fastest);
    let standards = Router::new()
        .nest("/edr", edr::router())
        .route("/edr/", get(edr::landing))
        .nest("/FewsWebServices/rest/fewspiservice/v1", fews::router())
        .route("/metrics/stations", get(station_metrics::scraped))
        .layer(from_fn(conditional))
        .layer(packed.clone())
        .layer(from_fn_with_state(access.clone(), readers));
    let reading = reading
        .route("/openapi.json", described)
        .route("/asyncapi.json", get(stream::document))
        .layer(Extension(Arc::<stations::Cached>::default()))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn(conditional))
        .layer(packed)
        .merge(streaming)
        .layer(from_fn_with_state(access.clone(), readers));
    let writing = writing.layer(DefaultBodyLimit::max(LONGEST_BODY)).layer(from_fn_with_state(access, operators));
    let in_hand = Arc::new(Semaphore::new(AT_ONCE));
    let api = reading.merge(writing).fallback(unknown);
    let counting = site.clone();
    let asked = Router::new().nest("/api/v1", api).merge(standards);
    let asked = match Rates::new(site.pipeline().serve.requests_per_s) {
        Some(rates) => asked.layer(from_fn_with_state(rates, paced)),
        None => asked,
    };
    asked
        .layer(from_fn(hosted))
        .layer(from_fn(plain))
        .layer(from_fn_with_state(in_hand, limited))
        .layer(from_fn_with_state(counting, counted))
        .route("/ready", get(readiness::ready))
        .with_state(site)
}

async fn unknown(request: Request) -> Problem {
    Problem::not_found(format!("{} is no path of the API; GET /api/v1/openapi.json has all", request.uri().path()))
}

/// HTTP/2 has the host in the address of the request, where answers do not look.
async fn hosted(mut request: Request, next: Next) -> Response {
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    next.run(request).await
}

/// Counts each request, whatever becomes of it.
async fn counted(State(site): State<Site>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    if let Some(metrics) = site.metrics() {
        metrics.requests.with_label_values(&[response.status().as_str()]).inc();
        metrics.seconds.observe(begun.elapsed().as_secs_f64());
    }
    response
}

/// Refuses what is more than is worked on at once, rather than letting all wait.
async fn limited(State(in_hand): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = in_hand.try_acquire() else {
        return Problem::too_many(format!("{AT_ONCE} requests are being worked on; accepted is to try again"))
            .into_response();
    };
    next.run(request).await
}

/// Makes refusals of the framework, which are plain text, problems as all others are.
async fn plain(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_text = content_type.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() && is_text) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let said = to_bytes(response.into_body(), LONGEST_BODY).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let said = if said.is_empty() { "accepted is what GET /api/v1/openapi.json says".to_owned() } else { said };
    let mut response = Problem::refused(status, said).into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Gives answers a tag, and no body to who has it already.
async fn conditional(request: Request, next: Next) -> Response {
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if !asks || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Answers are in memory by now.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "").into_response();
    };
    let tag = format!("\"{:016x}\"", XxHash64::oneshot(0, &bytes));
    let Ok(value) = HeaderValue::from_str(&tag) else { return Response::from_parts(parts, Body::from(bytes)) };
    parts.headers.insert(header::ETAG, value);
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    let is_known = |known: HeaderValue| {
        known.to_str().is_ok_and(|known| {
            known.split(',').any(|one| {
                matches!(one.trim().trim_start_matches("W/"), "*") || one.trim().trim_start_matches("W/") == tag
            })
        })
    };
    if known.is_some_and(is_known) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}
